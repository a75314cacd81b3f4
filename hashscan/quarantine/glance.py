"""All cases as a listing shows them. Apart from the `cabinet`, which brings everything that can be done with a case."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hashscan.errors import QuarantineError
from hashscan.model import Case, CaseState, Place
from hashscan.quarantine.store import CaseStore


@contextmanager
def failures(store: CaseStore) -> Iterator[None]:
    """What the system refuses becomes `QuarantineError`."""
    try:
        yield
    except OSError as error:
        raise QuarantineError(f"the vault {store.root} failed: {error}") from error


def listed(store: CaseStore, case_id: str) -> Case:
    """One case; `CaseState.DAMAGED` with the reason where its record cannot be read."""
    try:
        with failures(store):
            return store.read(case_id).case()
    except QuarantineError as error:
        return Case(case_id, CaseState.DAMAGED, Place(b"", b""), 0, "", "", "", 0.0, str(error))


def cases(store: CaseStore) -> Iterator[Case]:
    """All cases, oldest first. Raises `QuarantineError` where the vault cannot be read."""
    yield from sorted((listed(store, case_id) for case_id in store.ids()), key=lambda case: (case.opened, case.id))


def some_at(root: Path, case_ids: Sequence[str]) -> list[Case]:
    """These cases of the vault in this folder. Raises `QuarantineError` where the vault cannot be read."""
    store = CaseStore(root, time.time)
    return [listed(store, case_id) for case_id in case_ids]
