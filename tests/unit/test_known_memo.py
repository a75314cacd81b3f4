"""What was verified is remembered by the digest of what was verified: other bytes, or another root, are verified again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hashscan.errors import FilterError
from hashscan.known.memo import MEMO
from hashscan.known.trust import TufTrust
from hashscan.model import Lists
from tests.support.hotline import LIST, PROVIDER, Hotline, Known

HOTLINE = Hotline(lists={LIST: [Known(b"x")]})
PROOF = HOTLINE.publish()
OTHER = Hotline(lists={LIST: [Known(b"y")]})
OTHER.publish()


def reopen(memo: Path | None, proof: bytes = PROOF, root: bytes = HOTLINE.root) -> Lists:
    return TufTrust(root, PROVIDER, Path("/nowhere"), memo=memo).reopen(proof)


def test_the_same_lists_with_and_without_a_memo(tmp_path: Path) -> None:
    plain = reopen(None)
    assert not (tmp_path / MEMO).exists()
    assert reopen(tmp_path) == plain
    assert (tmp_path / MEMO).stat().st_mode & 0o777 == 0o600
    assert reopen(tmp_path) == plain


def test_a_control_the_memo_is_read(tmp_path: Path) -> None:
    reopen(tmp_path)
    document = json.loads((tmp_path / MEMO).read_text())
    (tmp_path / MEMO).write_text(json.dumps({**document, "sequence": 4711}))
    assert reopen(tmp_path).sequence == 4711


def test_other_bytes_and_other_roots_are_verified(tmp_path: Path) -> None:
    reopen(tmp_path)
    with pytest.raises(FilterError):
        reopen(tmp_path, PROOF.replace(b'"sig":"', b'"sig":"00', 1).replace(b"a", b"b", 1))
    with pytest.raises(FilterError):
        reopen(tmp_path, root=OTHER.root)
    assert reopen(tmp_path) == reopen(None)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100, b'{"name": 1}', b"\xff\x00", b'{"name": "x"}' * 3])
def test_a_damaged_memo_is_a_memo_of_nothing(content: bytes, tmp_path: Path) -> None:
    reopen(tmp_path)
    (tmp_path / MEMO).write_bytes(content)
    assert reopen(tmp_path) == reopen(None)
    assert json.loads((tmp_path / MEMO).read_text())["sequence"] == reopen(None).sequence, "made again"


def test_fields_of_another_type_are_a_memo_of_nothing(tmp_path: Path) -> None:
    reopen(tmp_path)
    document = json.loads((tmp_path / MEMO).read_text())
    for name in document.keys() - {"name", "timestamp", "targets"}:
        for value in (None, [], "x", -1):
            (tmp_path / MEMO).write_text(json.dumps({**document, name: value}))
            assert reopen(tmp_path) == reopen(None), (name, value)


def test_a_memo_that_others_can_write_or_that_is_a_link_is_not_believed(tmp_path: Path) -> None:
    reopen(tmp_path)
    document = json.loads((tmp_path / MEMO).read_text())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps({**document, "sequence": 4711}))
    elsewhere.chmod(0o600)
    (tmp_path / MEMO).unlink()
    (tmp_path / MEMO).symlink_to(elsewhere)
    assert reopen(tmp_path).sequence != 4711
    (tmp_path / MEMO).unlink(missing_ok=True)
    (tmp_path / MEMO).write_text(json.dumps({**document, "sequence": 4711}))
    (tmp_path / MEMO).chmod(0o620)
    assert reopen(tmp_path).sequence != 4711


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    assert reopen(tmp_path / "nowhere") == reopen(None)
    assert os.listdir(tmp_path) == []
