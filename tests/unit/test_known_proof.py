"""Proofs: years later the same is believed on the same evidence, and not a bit more."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import FilterError
from hashscan.known.chain import MAX_PROOF_BYTES, VERDICT_KEYS, Chain, pack, unpack
from hashscan.known.proof import verify
from hashscan.known.trust import TufTrust
from hashscan.model import Lists
from tests.support.agents import with_keys
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known
from tests.support.repository import Repository, make_keys

YEARS = 10 * 365 * 86_400.0


def published(rotations: int = 2) -> tuple[Hotline, bytes]:
    hotline = with_keys(Hotline(lists={LIST: [Known(b"x")]}), Repository(NOW, PROVIDER, root_keys=make_keys(3), threshold=2))
    for _ in range(rotations):
        hotline.repository.rotate_root_keys(3, threshold=2)
        hotline.repository.rotate_online()
    return hotline, hotline.publish()


HOTLINE, PROOF = published()
CHAIN = unpack(PROOF)


def reopen(data: bytes, root: bytes = HOTLINE.root, provider: str = PROVIDER) -> Lists:
    return TufTrust(root, provider, Path("/nonexistent"), clock=lambda: NOW + YEARS).reopen(data)


def refusal(data: bytes | Chain, **named: Any) -> str:
    with pytest.raises(FilterError) as caught:
        reopen(pack(data) if isinstance(data, Chain) else data, **named)
    return str(caught.value)


def test_the_same_years_later_without_a_disk_or_a_network(tmp_path: Path) -> None:
    lists = HOTLINE.trust(tmp_path).refresh(HOTLINE)
    assert lists.proof == PROOF
    assert reopen(lists.proof) == lists
    assert (lists.root, lists.issued) == (5, NOW)
    assert unpack(pack(CHAIN)) == CHAIN


def test_an_agent_that_was_enrolled_later_reads_a_longer_chain_and_not_a_shorter_one() -> None:
    later = HOTLINE.repository.roots[2]
    assert reopen(PROOF, root=later) == reopen(PROOF)
    assert "does not begin with" in refusal(dataclasses.replace(CHAIN, roots=CHAIN.roots[:2]), root=later)


def test_for_one_provider() -> None:
    assert "provider 'acme'" in refusal(PROOF, provider="other")


def test_another_root_proves_nothing() -> None:
    other, theirs = published(0)
    assert "does not begin with" in refusal(PROOF, root=other.root)
    assert "does not begin with" in refusal(theirs)
    mixed = dataclasses.replace(unpack(theirs), roots=(HOTLINE.root,))
    assert "signatures" in refusal(mixed)
    assert "does not begin with" in refusal(dataclasses.replace(CHAIN, roots=CHAIN.roots[1:]))


@pytest.mark.parametrize(
    "roots",
    [
        CHAIN.roots[:-1], CHAIN.roots[:1], CHAIN.roots[:1] + CHAIN.roots[2:], CHAIN.roots + CHAIN.roots[-1:],
        CHAIN.roots + CHAIN.roots[:1], (CHAIN.roots[0], *CHAIN.roots[:0:-1]), (),
    ],
    ids=["one short", "pinned only", "a gap", "one twice", "back to the first", "backwards", "none"],
)  # fmt: skip
def test_a_broken_chain_of_roots(roots: tuple[bytes, ...]) -> None:
    assert refusal(dataclasses.replace(CHAIN, roots=roots))


@pytest.mark.parametrize("old", range(4))
@pytest.mark.parametrize("new", range(4))
def test_a_root_needs_the_threshold_of_both(old: int, new: int) -> None:
    repository = Repository(NOW, PROVIDER, root_keys=make_keys(3), threshold=2)
    before, repository.root_keys = repository.root_keys, make_keys(3)
    repository.add_root([*before[:old], *repository.root_keys[:new]])
    hotline = with_keys(Hotline(), repository)
    data = hotline.publish()
    if old >= 2 and new >= 2:
        assert reopen(data, root=hotline.root).root == 2
    else:
        assert "2.root.json" in refusal(data, root=hotline.root)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_wrong_key(role: str) -> None:
    hotline, _ = published(0)
    hotline.repository.online[role] = make_keys(1)[0]
    assert "signatures" in refusal(hotline.publish(), root=hotline.root)


@pytest.mark.parametrize("meta", [True, False], ids=["with digests", "versions only"])
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "verdict_keys"])
def test_files_of_two_states_make_no_proof(role: str, meta: bool) -> None:
    hotline, repository = (made := published(0))[0], made[0].repository
    chains = []
    for number in (1, 2):
        hotline.verdict_keys = (dataclasses.replace(hotline.verdict_keys[0], since=float(number)),)
        hotline.publish()
        if not meta:
            repository.sign_snapshot(hotline.sequence, hotline.sequence, targets=None)
            repository.sign_timestamp(hotline.sequence, hotline.sequence, snapshot=None)
        chains.append(unpack(repository.proof(hotline.sequence)))
    for one, other in (chains, chains[::-1]):
        assert reopen(pack(one), root=hotline.root)
        assert refusal(dataclasses.replace(one, **{role: getattr(other, role)}), root=hotline.root)


@pytest.mark.parametrize("one", ["timestamp", "snapshot", "targets", "verdict_keys"])
@pytest.mark.parametrize("other", ["timestamp", "snapshot", "targets", "verdict_keys", "root"])
def test_one_file_for_another(one: str, other: str) -> None:
    if one != other:
        assert refusal(dataclasses.replace(CHAIN, **{one: CHAIN.roots[-1] if other == "root" else getattr(CHAIN, other)}))


def test_any_flipped_bit_is_refused_or_without_consequence() -> None:
    """A capital hex digit in a signature, or a character of the unsigned part, changes nothing that is believed."""
    good = dataclasses.replace(reopen(PROOF), proof=b"")
    believed = tried = 0
    files: list[tuple[str, int]] = [("roots", number) for number in range(1, len(CHAIN.roots))]
    files += [(name, -1) for name in ("timestamp", "snapshot", "targets", "verdict_keys")]
    for name, number in files:
        data = CHAIN.roots[number] if name == "roots" else getattr(CHAIN, name)
        for place in range(0, len(data), 11):
            flipped = data[:place] + bytes([data[place] ^ (1, 2, 0x20)[place % 3]]) + data[place + 1 :]
            changed = (*CHAIN.roots[:number], flipped, *CHAIN.roots[number + 1 :]) if name == "roots" else flipped
            tried += 1
            try:
                lists = reopen(pack(dataclasses.replace(CHAIN, **{name: changed})))
            except FilterError:
                continue
            believed += 1
            assert dataclasses.replace(lists, proof=b"") == good
    print(f"{tried} flips, {believed} without consequence")
    assert tried > 500
    assert believed < tried / 4


def document(**changes: Any) -> bytes:
    fields = {**json.loads(PROOF), **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


ROOT = base64.b64encode(HOTLINE.root).decode()
WRONG: dict[str, list[Any]] = {
    "format": [None, 0, 2, "1", True],
    "roots": [None, "x", [], {}, [3], [[]], ["x"], [ROOT + "="], ["\u00e9" * 4], [ROOT] * 34, ["A" * 700_000]],
    **{
        name: [None, "", 3, [], "x", "====", "A" * (limit * 2), "e30="]
        for name, limit in {"timestamp": 16_384, "snapshot": 65_536, "targets": 2**20, "verdict_keys": 16_384}.items()
    },
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, all_ in WRONG.items() for value in all_], ids=lambda x: str(x)[:20]
)
def test_a_wrong_document(field: str, value: Any) -> None:
    assert refusal(document(**{field: value}))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"\xff", b"{}", b"[" * 100_000, PROOF[:-1], PROOF + b"x", PROOF[:-1] + b',"format":1}',
        PROOF[:-1] + b',"x":[[[]]]}', b" " * (MAX_PROOF_BYTES + 1), PROOF + b" " * MAX_PROOF_BYTES,
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_no_document(data: bytes) -> None:
    assert refusal(data)


@pytest.mark.parametrize(
    "how",
    [
        lambda data: data.replace(b'"version":', b'"version":1,"version":', 1),
        lambda data: data[:-1] + b',"x":NaN}',
        lambda data: data[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        lambda data: b'{"signed":{"_type":"root"},"signatures":[]}',
        lambda data: b'{"signed":[],"signatures":3}',
        lambda data: data + b" " * 2**21,
    ],
)
def test_hostile_files_inside(how: Callable[[bytes], bytes]) -> None:
    for name in ("timestamp", "snapshot", "targets"):
        changed = base64.b64encode(how(getattr(CHAIN, name))).decode()
        assert refusal(document(**{name: changed}))
    roots = [base64.b64encode(root).decode() for root in (CHAIN.roots[0], how(CHAIN.roots[1]), *CHAIN.roots[2:])]
    assert refusal(document(roots=roots))


def test_a_proof_that_is_too_long_is_not_made() -> None:
    with pytest.raises(FilterError, match="long"):
        pack(dataclasses.replace(CHAIN, roots=(b"x" * 500_000,) * 8))


def test_targets_without_verdict_keys() -> None:
    hotline, _ = published(0)
    repository = hotline.repository
    repository.sign_targets(9, [])
    repository.sign_snapshot(9, 9)
    repository.sign_timestamp(9, 9)
    assert VERDICT_KEYS in refusal(repository.proof(9), root=hotline.root)


def test_what_is_verified_is_what_was_signed() -> None:
    """The document may say more beside the signed part; nothing of it is read."""
    beside = json.loads(CHAIN.timestamp)
    beside["x-hashscan"] = {"issued": 1}
    verified = verify(dataclasses.replace(CHAIN, timestamp=json.dumps(beside).encode()), HOTLINE.root)
    assert verified.timestamp["x-hashscan"] == {"issued": NOW}


def test_online_keys_have_a_name_that_changes_with_them() -> None:
    hotline, first = published(0)
    names = [verify(unpack(first), hotline.root).online]
    hotline.repository.rotate_root_keys()
    names.append(verify(unpack(hotline.publish()), hotline.root).online)
    assert names[0] == names[1], "the root keys are no online keys"
    for role in ("timestamp", "snapshot", "targets"):
        hotline.repository.rotate_online(role)
        names.append(verify(unpack(hotline.publish()), hotline.root).online)
    assert len(set(names)) == 4


SCRIPT = """
import sys
from pathlib import Path
if sys.argv[2] == "python": sys.modules["cryptography"] = None
from hashscan.known.trust import TufTrust
root, proof = (Path(sys.argv[1], name).read_bytes() for name in ("root", "proof"))
assert TufTrust(root, "acme", Path("/nonexistent")).reopen(proof).root == 5
print(sorted({"urllib3", "requests", "tuf.ngclient", "hashscan.known.updater"} & set(sys.modules)))
"""


@pytest.mark.parametrize("ed25519", ["python", "cryptography"])
def test_a_scan_reopens_without_the_client_of_tuf_and_without_compiled_signatures(tmp_path: Path, ed25519: str) -> None:
    (tmp_path / "root").write_bytes(HOTLINE.root)
    (tmp_path / "proof").write_bytes(PROOF)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), ed25519], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
