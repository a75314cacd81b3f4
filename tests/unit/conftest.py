"""What several tests of the quarantine begin with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import make_finding
from tests.support.interfering import DATA, stop, swapping


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "srv"
    (tree / "www").mkdir(parents=True)
    (tree / "www/a").write_bytes(DATA)
    return tree


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", Limits(), clock=lambda: 1_700_000_000.5, manner=Manner("test run 1"))


@pytest.fixture
def captured_another(tree: Path, tmp_path: Path) -> Path:
    """A run that died when it had captured another thing than it had copied (`interfering.INNOCENT`); its place is free."""
    path = tree / "www/a"
    step = swapping(path, "after capture", stop)
    with pytest.raises(KeyboardInterrupt):
        Vault(tmp_path / "vault", Limits(), step=step).handle(make_finding(path, tree))
    return path


@pytest.fixture
def no_descriptor_is_lost() -> Iterator[None]:
    """A test after which as many descriptors are open as before: a run over millions of files has 1024 of them."""
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)
