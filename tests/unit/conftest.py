"""What several tests of the quarantine begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Manner, Vault
from tests.support.interfering import DATA


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "srv"
    (tree / "www").mkdir(parents=True)
    (tree / "www/a").write_bytes(DATA)
    return tree


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", Limits(), clock=lambda: 1_700_000_000.5, manner=Manner("test run 1"))
