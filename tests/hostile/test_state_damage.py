"""Damage to state files: every flipped byte and every truncation is noticed, and nothing is accepted as something else.

The control takes the binding away (a checksum made again, a name made again) and shows that it was the binding that noticed.

CI takes a sample. A flip in every byte and every truncation, in runs that go on where the last one was stopped; eight times the
budget flips every bit:

    HASHSCAN_BUDGET=400 HASHSCAN_PROGRESS=/var/tmp/damage scripts/test -s tests/hostile/test_state_damage.py -k damage_to
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import FilterError, HashscanError
from hashscan.jobs.audit_log import audit_log
from hashscan.model import Lists
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.vault import Grounds, Manner, Vault
from tests.support.budget import Progress, attempts
from tests.support.findings import make_finding
from tests.support.hotline import NOW
from tests.support.syncing import A1, B1, NEW, OLD, Host, Roomy

pytestmark = pytest.mark.slow
USUAL = Limits()


def vault_at(tmp_path: Path, *, sealed: bool = False, limits: Limits = USUAL) -> Vault:
    import pyrage  # noqa: PLC0415 - an extra

    recipients = Recipients([str(pyrage.x25519.Identity.generate().to_public())]) if sealed else None
    manner = Manner("damage", Grounds("acme", b'{"signed": "lists"}', lambda _: bytes(32)), recipients)
    return Vault(tmp_path / "vault", limits, lambda: 1e9, manner=manner)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Cases that are done (one plain, one sealed, one under a hold), restored, purged, waiting and dismissed; a torn line."""
    tree = tmp_path / "srv"
    tree.mkdir()

    def take(name: str, vault: Vault) -> str:
        (tree / name).write_bytes(name.encode() * 40)
        return vault.handle(make_finding(tree / name, tree)).case_id

    plain = vault_at(tmp_path)
    plain.hold(take("held-by-law", plain), by="police", reason="2026-17")
    plain.restore(take("restored", plain))
    plain.purge(take("purged", plain), by="root", reason="the time is over")
    take("sealed", vault_at(tmp_path, sealed=True))
    waiting = vault_at(tmp_path, limits=Limits(per_run=0))
    waiting.dismiss(take("dismissed", waiting), "no")
    take("waiting", waiting)
    with (tmp_path / "vault/log").open("ab") as stream:
        stream.write(b'{"actor":"hashsc')
    take("plain", vault_at(tmp_path))
    return vault_at(tmp_path)


def files_of(tmp_path: Path) -> list[Path]:
    """Every file of the vault."""
    return sorted(path for path in (tmp_path / "vault").rglob("*") if path.is_file())


def kind_of(path: Path) -> str:
    """The row of the table in docs/formats.md that a file belongs to."""
    return path.name.split("-")[0] if path.parent.name == "vault" or "cases" in path.parts else path.parent.name


def bits(size: int, number: int, rng: random.Random) -> list[int]:
    """Which bits are flipped: all, where ``number`` reaches; one in every byte, where it reaches as far; else a sample."""
    if number >= size * 8:
        return list(range(size * 8))
    if number >= size:
        return [byte * 8 + rng.randrange(8) for byte in range(size)]
    return rng.sample(range(size * 8), number)


def damaged(data: bytes, number: int, rng: random.Random) -> Iterator[bytes]:
    """Flipped bits and truncations: all of them where ``number`` reaches, else an even sample of each."""
    for bit in bits(len(data), number, rng):
        yield data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
    ends = range(len(data))
    for end in ends if number >= len(data) else {0, len(data) - 1, *rng.sample(ends, number // 2)}:
        yield data[:end]


def doing(progress: Progress, path: Path, name: str, rng: random.Random, number: int) -> Iterator[bytes]:
    """Damages a file in each way that is left to do; the file is as it was afterwards. ``name`` is the same in every run."""
    data = path.read_bytes()
    try:
        for at, wrong in enumerate(damaged(data, number, rng)):
            if progress.wants(key := f"{name}|{at}"):
                path.write_bytes(wrong)
                yield wrong
                progress.note(key)
    finally:
        path.write_bytes(data)


def test_every_damage_to_the_vault_is_noticed(vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `audit verify`, whatever it is; and no record is read as another one."""
    head = vault.log_head()
    assert audit_log(vault, head).holds
    rng, counts, progress = random.Random(3), Counter[str](), Progress("damage-vault")
    began, before = time.monotonic(), progress.done
    places = {case.id: case.place.path.decode() for case in vault.cases()}
    for path in files_of(tmp_path):
        name = f"{places.get(path.parent.name, '')}/{kind_of(path)}"
        document = vault.record(path.parent.name) if path.name == "record.json" else None
        for wrong in doing(progress, path, name, rng, attempts(25)):
            found = audit_log(vault, head)
            assert not found.holds, (path.name, wrong)
            counts[kind_of(path)] += 1
            if document is not None:
                with suppress(HashscanError):
                    assert vault.record(path.parent.name) == document
    assert audit_log(vault, head).holds
    with capsys.disabled():
        print(f"\n  {counts.total()} damages {dict(counts)}, all noticed, {time.monotonic() - began:.0f} s; {before} before")
    assert before or set(counts) == {"record.json", "content", "proofs", "certificates", "log", "log.torn"}


def test_a_file_that_is_gone_is_noticed(vault: Vault, tmp_path: Path) -> None:
    head = vault.log_head()
    for path in files_of(tmp_path):
        data = path.read_bytes()
        path.unlink()
        assert not audit_log(vault, head).holds, path
        path.write_bytes(data)
    assert audit_log(vault, head).holds


def test_damaged_evidence_never_comes_back(vault: Vault, tmp_path: Path) -> None:
    case = next(one for one in vault.cases() if one.place.path == b"plain")
    content = tmp_path / "vault/cases" / case.id / "content"
    data = content.read_bytes()
    for wrong in damaged(data, attempts(30), random.Random(5)):
        content.write_bytes(wrong)
        with pytest.raises(HashscanError, match="its evidence does not have the digests"):
            vault.restore(case.id)
        assert not (tmp_path / "srv/plain").exists()
    content.write_bytes(data)
    vault.restore(case.id)
    assert (tmp_path / "srv/plain").read_bytes() == b"plain" * 40


def test_nothing_is_done_over_a_log_that_does_not_hold(vault: Vault, tmp_path: Path) -> None:
    """Its last line is checked before each act: a damaged one stops everything, but for what a crash leaves."""
    log = tmp_path / "vault/log"
    data = log.read_bytes()
    start = data.rstrip(b"\n").rfind(b"\n") + 1
    case = next(one for one in vault.cases() if one.place.path == b"plain")
    stopped = 0
    for at in range(start, len(data) - 1):
        wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        log.write_bytes(wrong)
        if b"\n" in wrong[start:-1]:
            continue  # it looks like two lines; the check of the chain tells
        with pytest.raises(HashscanError, match="log"):
            vault.shown(case.id, "a look")
        stopped += 1
    assert stopped > 100


def test_the_binding_is_what_notices(vault: Vault, tmp_path: Path) -> None:
    """The control: whoever makes the checksum of a record again is believed by it, and caught by the file it speaks of."""
    case = next(one for one in vault.cases() if one.place.path == b"plain")
    path = tmp_path / "vault/cases" / case.id / "record.json"
    record = records.decode(path.read_bytes())
    path.write_bytes(records.encode(record.moved_to(record.state, 1.0, "said by nobody")))
    assert audit_log(vault, vault.log_head()).holds
    assert vault.case(case.id).reason == "said by nobody"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with two lists in force and withdrawn entries."""
    hotline = Roomy(lists={A1: [OLD], B1: [OLD]})
    hotline.withdrawn = {"a": [NEW]}
    hotline.publish()
    host = Host(tmp_path / "lists", hotline)
    host.sync()
    return host


def wrong_or_same(host: Host, published: Lists | None) -> str:
    """What a scan says of the lists in force, or "": then they are the lists that were published, word for signed word.

    What carries the signatures is not signed itself: a hexadecimal digit in upper case says the same.
    """
    try:
        lists = host.shelf.view(NOW, max_age=1e9).lists
        host.shelf.sieve(lists)
        host.shelf.withdrawn(lists)
    except FilterError as error:
        return str(error)
    assert published is not None
    assert replace(lists, proof=b"") == replace(published, proof=b"")
    return ""


def test_every_damage_to_the_lists_is_noticed(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """By everything that opens them. What the updater works with is checked when it is used: it is fetched or refused then."""
    published = host.shelf.lists()
    assert wrong_or_same(host, published) == ""
    rng, counts, silent, progress = random.Random(4), Counter[str](), Counter[str](), Progress("damage-lists")
    before = progress.done
    for path in sorted(path for path in host.folder.rglob("*") if path.is_file() and not path.is_symlink()):
        kind = "tuf" if "tuf" in path.parts else path.suffix or path.name
        for _ in doing(progress, path, str(path.relative_to(host.folder)), rng, attempts(40)):
            noticed = wrong_or_same(host, published)
            counts[kind] += 1
            silent[kind] += not noticed
    with capsys.disabled():
        print(f"\n  {counts.total()} damages {dict(counts)}, the same lists {dict(+silent)}; {before} before")
    if before:
        return
    assert silent[".json"] < counts[".json"] / 10
    assert set(+silent) - {".json"} == {"tuf", "clock"}  # the two tests below


def test_a_damaged_updater_is_refused_or_mended(host: Host) -> None:
    """Never believed: a sync over damaged working files brings the published lists, or says why not."""
    lists, rng, ends = host.shelf.lists(), random.Random(6), Counter[str]()
    for path in sorted(path for path in (host.folder / "tuf").rglob("*.json") if not path.is_symlink()):
        data = path.read_bytes()
        for wrong in damaged(data, attempts(6), rng):
            path.write_bytes(wrong)
            try:
                host.sync()
                ends["mended"] += 1
            except HashscanError:
                ends["refused"] += 1
            assert host.shelf.lists() == lists
            path.write_bytes(data)
    assert ends["mended"] + ends["refused"] > 10


def test_a_damaged_clock_never_makes_the_past_believed(host: Host) -> None:
    """It is not signed: a damaged one is as none, or says another time, which counts only up to the expiry of the metadata."""
    lists = host.shelf.lists()
    assert lists is not None
    path = host.folder / "clock"
    for wrong in damaged(path.read_bytes(), attempts(200), random.Random(8)):
        path.write_bytes(wrong)
        seen = host.shelf.clock
        assert seen.latest is not None
        assert lists.issued <= seen.latest <= lists.expires
