"""Lists for other tools: what they hold, what reads them, who had them written."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any

import flor
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from hashscan.errors import HashscanError, UsageError
from hashscan.known import selftest
from hashscan.model import Algorithm
from hashscan.service import admin
from hashscan.service.exporters import dcso
from hashscan.service.exporters.listing import Exported
from hashscan.service.exporters.port import Wish
from hashscan.service.store import open_store
from hashscan.service.tables import Entry
from tests.support import list_files
from tests.support.service import LIST, digest, dispute, load, make, md5, sha1, withdraw

KEY = b"0123456789abcdef-key"
ALL = (Algorithm.MD5, Algorithm.SHA1, Algorithm.SHA256)


def write(data: Path, form: str, **wish: Any) -> tuple[Path, Exported]:
    out = data.parent / f"out.{form}"
    return out, admin.export_list(data, LIST, out, Wish(form, **wish), who="tester")


def stored(data: Path) -> set[tuple[Any, ...]]:
    with open_store(data) as store, store.reading() as session:
        rows = session.scalars(select(Entry).where(Entry.standing == "active"))
        return {(one.md5, one.sha1, one.sha256, one.size) for one in rows}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A list of a (all digests, a size), b (MD5 and SHA-1, no size), c (BLAKE3 only) and d, which is disputed."""
    made = make(tmp_path)
    rows = [
        f"{md5('a')},{sha1('a')},{digest(Algorithm.SHA256, 'a')},,7",
        f"{md5('b')},{sha1('b')},,,",
        f",,,{digest(Algorithm.BLAKE3, 'c')},1",
        f"{md5('d')},{sha1('d')},,,9",
    ]
    load(made, "md5,sha1,sha256,blake3,size\n" + "\n".join(rows))
    dispute(made, LIST, sha1("d"), "a doubt")
    return made


def test_signatures_of_clamav(data: Path) -> None:
    out, done = write(data, "hsb")
    lines = out.read_text().splitlines()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    mine = [line for line in lines if line.split(":")[0] in {md5("a"), sha1("a"), digest(Algorithm.SHA256, "a")}]
    assert len(mine) == 3
    assert all(":7:hashscan.police.e_" in line for line in mine)
    assert sum(line.startswith(sha1("b") + ":*:hashscan.police.e_") and line.endswith(":73") for line in lines) == 1
    assert not any(md5("d") in line for line in lines)
    assert (done.written.entries, done.written.digests, done.skipped, done.doubtful) == (3, 8, 1, 1)
    assert done.written.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert any(line.startswith(selftest.digests()[Algorithm.SHA256]) for line in lines), "the self-test is in it"


def test_known_files_of_hashdeep(data: Path) -> None:
    out, done = write(data, "hashdeep")
    lines = [line for line in out.read_text().splitlines() if not line.startswith(("%", "#"))]
    assert [line.split(",")[:3] for line in lines if md5("a") in line] == [["7", md5("a"), sha1("a")]]
    assert (done.written.entries, done.written.digests, done.skipped) == (2, 4, 2), "b has no size, c no such digest"


@pytest.mark.parametrize("upper", [False, True])
def test_a_filter_of_dcso(data: Path, upper: bool) -> None:
    out, done = write(data, "dcso", algorithms=(Algorithm.SHA1, Algorithm.BLAKE3), upper=upper, error_rate=1e-9)
    read = flor.BloomFilter()
    with out.open("rb") as stream:
        read.read(stream)
    values = [sha1("a"), sha1("b"), digest(Algorithm.BLAKE3, "c"), selftest.digests()[Algorithm.SHA1]]
    assert all((value.upper() if upper else value).encode() in read for value in values)
    assert not any(
        value.encode() in read
        for value in (sha1("d"), md5("a"), *([value.upper() for value in values] if not upper else values))
    )
    assert (read.N, read.p, done.written.digests) == (5, 1e-9, 5)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_private_search_set(data: Path) -> None:
    out, done = write(data, "pss", key=KEY, key_id="police-1")
    lines = (out / "private-search-set.pss").read_text().splitlines()
    keyed = {name: hashlib.blake2b(sha1(name).encode(), key=KEY).hexdigest() for name in "abd"}
    assert (keyed["a"] in lines, keyed["b"] in lines, keyed["d"] in lines) == (True, True, False)
    assert lines == sorted(lines)
    read = flor.BloomFilter()
    with (out / "private-search-set.bloom").open("rb") as stream:
        read.read(stream)
    assert all(line.encode() in read for line in lines)
    said = json.loads((out / "private-search-set.json").read_text())
    assert sorted(said) == [
        "algorithm", "bloomfilter", "canonicalization-format", "description", "generated-timestamp", "keyid",
        "misp-attribute-types", "version",
    ]  # fmt: skip
    assert (said["algorithm"], said["keyid"], said["bloomfilter"]["format"]) == ("Blake2", "police-1", "dcso-v1")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, *out.iterdir())] == [0o700, 0o600, 0o600, 0o600]
    assert done.written.digests == len(lines)
    everything = b"".join(path.read_bytes() for path in out.iterdir())
    assert not any(one.encode() in everything for one in (sha1("a"), md5("a"), sha1("b"))), "no digest in the clear"


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"form": "xls"}, "no export format"),
        ({"form": "hsb", "algorithms": (Algorithm.BLAKE3,)}, "cannot hold blake3"),
        ({"form": "dcso", "error_rate": 0.5}, "error rate"),
        ({"form": "dcso", "error_rate": float("nan")}, "error rate"),
        ({"form": "pss"}, "needs a key"),
        ({"form": "pss", "key": b"infected"}, "16 to 64 bytes"),
        ({"form": "pss", "key": b"x" * 65}, "16 to 64 bytes"),
        ({"form": "hsb", "key": KEY}, "has no key"),
    ],
)
def test_a_wish_that_cannot_be_met_leaves_no_trace(data: Path, wish: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        admin.export_list(data, LIST, data.parent / "out", Wish(**wish), who="tester")
    with pytest.raises(UsageError, match="no list"):
        admin.export_list(data, "other", data.parent / "out", Wish("hsb"), who="tester")
    assert not (data.parent / "out").exists()
    assert admin.past_exports(data) == ()


def test_each_export_is_recorded_before_its_file_is_there(data: Path) -> None:
    _, done = write(data, "hsb")
    with pytest.raises(HashscanError, match="cannot write"):
        admin.export_list(data, LIST, data / "no" / "folder" / "x", Wish("dcso"), who="second")
    first, second = admin.past_exports(data)
    assert (first.list_id, first.form, first.who, first.digests) == (LIST, "hsb", "tester", 8)
    assert first.sha256 == done.written.sha256
    assert (second.who, second.sha256) == ("second", ""), "not brought to its end, and recorded"


def test_what_is_known_good_or_withdrawn_does_not_leave(data: Path) -> None:
    good = data.parent / "good"
    good.write_text(md5("b"))
    admin.import_known_good(data, good)
    withdraw(data, LIST, sha1("a"), "a mistake")
    out, done = write(data, "hsb")
    assert done.written.entries == 1, "the self-test alone"
    assert sha1("b") not in out.read_text()


# There and back


NAMES = st.lists(
    st.tuples(st.sampled_from(["m", "s", "ms", "msh"]), st.none() | st.integers(1, 10**17)),
    min_size=1,
    max_size=12,
    unique=True,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=NAMES)
def test_what_goes_out_comes_in_again(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int | None]]) -> None:
    """Through hashdeep with all three digests, an entry is the same; through ClamAV its digests and size are."""
    data, again = (make(tmp_path_factory.mktemp("there")) for _ in range(2))
    lines = [
        f"{md5(str(n)) if 'm' in which else ''},{sha1(str(n)) if 's' in which else ''},"
        f"{digest(Algorithm.SHA256, str(n)) if 'h' in which else ''},{'' if size is None else size}"
        for n, (which, size) in enumerate(rows)
    ]
    load(data, "md5,sha1,sha256,size\n" + "\n".join(lines))
    out, _ = write(data, "hsb")
    load(again, out.read_bytes(), skip_bad=True)
    digests = {(one, row[3]) for row in stored(data) for one in row[:3] if one}
    assert {(one, row[3]) for row in stored(again) for one in row[:3] if one} == digests
    out, done = write(data, "hashdeep", algorithms=ALL)
    load(again, out.read_bytes(), list_id="second")
    whole = {row for row in stored(data) if None not in row}
    assert whole <= stored(again)
    assert done.written.entries == len(whole) + 1


@given(elements=st.lists(st.binary(max_size=70), max_size=40, unique=True), rate=st.sampled_from([1e-2, 1e-6, 1e-9]))
def test_the_filter_is_the_one_that_flor_makes(elements: list[bytes], rate: float) -> None:
    ours, theirs = dcso.Filter(len(elements) + 1, rate), flor.BloomFilter(n=len(elements) + 1, p=rate)
    for element in elements:
        ours.add(element)
        theirs.add(element)
    assert ours.encode() == struct.pack("<QQdQQQ", 1, theirs.n, theirs.p, theirs.k, theirs.m, theirs.N) + bytes(theirs._bytes)


# The tools themselves


def tree(tmp_path: Path) -> tuple[Path, Path]:
    """A service that lists two harmless files, and a folder with these and an innocent one."""
    data, folder = make(tmp_path), tmp_path / "tree"
    folder.mkdir()
    for name in ("one", "two", "innocent"):
        (folder / name).write_text(f"harmless {name}")
    made = [
        (hashlib.md5(p.read_bytes()).hexdigest(), hashlib.sha1(p.read_bytes()).hexdigest())
        for p in (folder / "one", folder / "two")
    ]
    load(data, f"md5,sha1,size\n{made[0][0]},{made[0][1]},12\n,{made[1][1]},\n")
    return data, folder


def outputs(*command: str | Path) -> str:
    done = subprocess.run([str(one) for one in command], check=False, capture_output=True, text=True, timeout=120)
    return done.stdout


@pytest.mark.optional("clamscan")
def test_clamscan_finds_what_is_listed(tmp_path: Path) -> None:
    data, folder = tree(tmp_path)
    out, _ = write(data, "hsb")
    said = outputs("clamscan", "--no-summary", "-d", out, folder)
    found = {line.rpartition("/")[2].partition(":")[0] for line in said.splitlines() if line.endswith("FOUND")}
    assert found == {"one", "two"}
    assert "hashscan.police.e_" in said


@pytest.mark.optional("hashdeep")
def test_hashdeep_finds_what_is_listed_with_its_size(tmp_path: Path) -> None:
    data, folder = tree(tmp_path)
    out, _ = write(data, "hashdeep")
    said = outputs("hashdeep", "-m", "-k", out, *sorted(folder.iterdir()))
    assert [line.rpartition("/")[2] for line in said.splitlines()] == ["one"]


@pytest.mark.optional("hashdeep")
def test_what_hashdeep_writes_is_imported(tmp_path: Path) -> None:
    data, folder = make(tmp_path), tmp_path / "tree"
    folder.mkdir()
    for name in ("a", "b, c", 'd"'):
        (folder / name).write_text(f"harmless {name}")
    assert shutil.which("hashdeep")
    said = outputs("hashdeep", "-c", "md5,sha1,sha256", *folder.iterdir())
    assert load(data, said).added == 3
    assert {row[3] for row in stored(data)} == {10, 13, 11}
    assert list_files.hashdeep(["x"]).splitlines()[0] == said.splitlines()[0], "our own files begin as theirs"
