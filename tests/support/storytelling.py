"""A vault whose acts are told word for word: fixed clock, and a name in the place of each id."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import raw_lines, read_line
from hashscan.quarantine.proofs import Grounds
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import make_finding
from tests.support.interfering import stop

NOW = 1_790_000_000.0
GROUNDS = Grounds("acme", b'{"signed": "lists"}', lambda _: bytes(32))
MANNER = Manner("scan 7", grounds=GROUNDS, profile="nl", keep=86_400.0)

OPEN = Limits()


class Story:
    """A tree of three files and a vault over it; every id gets a name in what is told."""

    def __init__(self, top: Path) -> None:
        self.top, self.tree = top, top / "srv"
        self.tree.mkdir(parents=True)
        self.names: dict[str, str] = {}
        self.steps: list[str] = []

    def vault(self, limits: Limits = OPEN) -> Vault:
        return Vault(self.top / "vault", limits, lambda: NOW, manner=MANNER, step=self.steps.append)

    def take(self, name: str, limits: Limits = OPEN) -> str:
        path = self.tree / name
        path.write_bytes(b"harmless")
        case_id = self.vault(limits).handle(make_finding(path, self.tree, entry=f"entry of {name}")).case_id
        self.names[case_id] = f"<{name}>"
        return case_id

    def told(self, text: str) -> str:
        for case_id, name in self.names.items():
            text = text.replace(case_id, name)
        return text.replace(str(self.top), "<top>")

    def log(self) -> list[tuple[str, str, str]]:
        lines = (read_line(raw[:-1]) for raw in raw_lines(self.top / "vault/log"))
        return [(line.what, self.told(line.case), self.told(line.detail)) for line in lines]

    def take_with(self, vault: Vault, name: str) -> None:
        path = self.tree / name
        path.write_bytes(b"harmless")
        vault.handle(make_finding(path, self.tree, entry=f"entry of {name}"))

    def cut_off(self, moment: str, act: Callable[[Vault], object]) -> None:
        """An act whose process ends at one moment; a case that it leaves and that has no name yet is <a>."""

        def step(name: str) -> None:
            if name == moment:
                stop()

        with suppress(KeyboardInterrupt):
            act(Vault(self.top / "vault", Limits(), lambda: NOW, manner=MANNER, step=step))
            raise AssertionError(f"there is no step {moment!r}")
        folder = self.top / "vault/cases"
        for case_id in os.listdir(folder) if folder.exists() else []:
            self.names.setdefault(case_id, "<a>")

    def ends(self) -> list[tuple[str, str]]:
        """State and reason of each case."""
        return [(case.state.value, self.told(case.reason)) for case in self.vault().cases()]


@contextmanager
def made_durable(story: Story) -> Iterator[list[str]]:
    """What is made durable, in order; an unnamed file has the name of its directory."""
    whole, told = os.fsync, []

    def fsync(fd: int) -> None:
        name = story.told(os.readlink(f"/proc/self/fd/{fd}"))
        told.append(
            re.sub(r"[0-9a-f]{12}\.new", "new", re.sub(r"#[0-9]+( \(deleted\))?", "unnamed", name)).removeprefix("<top>/")
        )
        whole(fd)

    os.fsync = fsync  # type: ignore[assignment]
    try:
        yield told
    finally:
        os.fsync = whole


_TAKING = "make case, record intent, make copy, write copy, record copied, prepare commit, capture, sync move, "
_RESTORING = "make new file, write new file, name new file, sync new file, record restored"


def _moments(steps: str) -> tuple[str, ...]:
    return tuple(f"{when} {step}" for step in steps.split(", ") for when in ("before", "after"))


STEPS_OF_TAKING = _moments(f"{_TAKING}commit, unlink held, sync holding, record done")
STEPS_OF_RESTORING = _moments(_RESTORING)
