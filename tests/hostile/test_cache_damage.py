"""Damage to the digest cache: whatever stands in its file, no wrong digest comes out and no scan stops.

Every scan here lets the sieve pick everything, so that each digest that was used is held against the bytes of the file. The
control is in tests/unit/test_files_cache.py: a row that checks and lies is noticed by the same comparison.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from hashscan.files.cache import DigestCache
from hashscan.files.engine import LocalEngine
from hashscan.files.filesystems import filesystem_of
from hashscan.files.store import PAGE
from hashscan.files.verify import verify
from hashscan.files.walk import WalkOptions
from tests.support.budget import attempts
from tests.support.caches import BOTH, assert_true, cache_in, scan, tree_in
from tests.support.sieves import FakeSieve
from tests.support.trees import flat, grow

KINDS = {2: "index, inner", 5: "table, inner", 10: "index, leaf", 13: "table, leaf"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree whose cache has pages of every kind: many small directories, one of 600 files."""
    root = tree_in(tmp_path)
    grow(root, 150)
    (root / "big").mkdir()
    flat(root / "big", 600)
    for number in range(300):
        (root / f"d{number:03}").mkdir()
        flat(root / f"d{number:03}", 3)
    return root


def filled(tmp_path: Path, root: Path) -> tuple[DigestCache, bytes]:
    """A cache that knows the tree, with free pages in its file, and its bytes."""
    (root / "gone").mkdir()
    flat(root / "gone", 900)
    cache = cache_in(tmp_path, clock=lambda: 0.0)
    scan(cache, root)
    for path in (root / "gone").iterdir():
        path.unlink()
    (root / "gone").rmdir()
    for _ in range(2):
        scan(cache, root)
    db = sqlite3.connect(cache.path)
    db.execute("DELETE FROM directory WHERE id IN (SELECT id FROM directory ORDER BY length(data) DESC LIMIT 1)")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return cache, cache.path.read_bytes()


def kind_of(data: bytes, page: int) -> str:
    """What a page is, by its first byte; page 0 begins with the header of the file."""
    return "header" if page == 0 else KINDS.get(data[page * PAGE], "overflow or free")


def put_back(cache: DigestCache, data: bytes) -> None:
    """The file as it was, and nothing beside it."""
    for path in cache.path.parent.iterdir():
        if path.name != "host-id":
            path.unlink()
    fd = os.open(cache.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data)
    os.close(fd)


def test_flipped_bits_in_every_kind_of_page(tmp_path: Path, root: Path) -> None:
    cache, data = filled(tmp_path, root)
    rnd = random.Random(5)
    pages = [(page, kind_of(data, page)) for page in range(len(data) // PAGE)]
    hit: Counter[str] = Counter()
    anew = off = 0
    for turn in range(attempts(25)):
        # Kinds in turn, so that the few inner pages are met as often as the many leaves.
        kinds = sorted({kind for _, kind in pages})
        page, kind = rnd.choice([one for one in pages if one[1] == kinds[turn % len(kinds)]])
        damaged = bytearray(data)
        for _ in range(rnd.choice((1, 1, 4, 64))):
            near = rnd.random() < 0.6  # the first bytes of a page say what the others are
            damaged[page * PAGE + (rnd.randrange(200) if near else rnd.randrange(PAGE))] ^= 1 << rnd.randrange(8)
        put_back(cache, bytes(damaged))
        seen = scan(cache, root)
        assert_true(seen, root)
        anew += any("anew" in one.message for one in seen.warnings)
        off += any("off" in one.message for one in seen.warnings)
        hit[kind] += 1
        if turn % 10 == 0:
            again = scan(cache, root)  # and what the damaged file was turned into is no worse
            assert_true(again, root)
    assert {"header", "table, leaf", "table, inner", "index, leaf", "overflow or free"} <= set(hit)
    assert anew
    assert off
    print(f"{hit.total()} damaged files, by page: {dict(hit)}; made anew {anew}, turned off {off}")


def test_pages_that_changed_places(tmp_path: Path, root: Path) -> None:
    cache, data = filled(tmp_path, root)
    rnd = random.Random(6)
    count = len(data) // PAGE
    for _ in range(attempts(10)):
        one, other = rnd.randrange(1, count), rnd.randrange(1, count)
        damaged = bytearray(data)
        damaged[one * PAGE : (one + 1) * PAGE] = data[other * PAGE : (other + 1) * PAGE]
        put_back(cache, bytes(damaged))
        assert_true(scan(cache, root), root)


def test_truncated_anywhere(tmp_path: Path, root: Path) -> None:
    cache, data = filled(tmp_path, root)
    rnd = random.Random(7)
    lengths = [0, 1, 15, 16, 99, 100, PAGE - 1, PAGE, 2 * PAGE, len(data) - 1]
    lengths += [rnd.randrange(len(data)) for _ in range(attempts(5))]
    for length in lengths:
        put_back(cache, data[:length])
        assert_true(scan(cache, root), root)
        assert_true(scan(cache, root), root)


def garbage(data: bytes) -> dict[str, bytes]:
    return {
        "zeros": bytes(len(data)),
        "noise": random.Random(8).randbytes(len(data)),
        "text": b"not a database at all\n" * 1000,
        "zeros after the header": data[:PAGE] + bytes(len(data) - PAGE),
        "twice": data + data,
        "log of another": data,
    }


@pytest.mark.parametrize("kind", garbage(bytes(2 * PAGE)))
def test_garbage(tmp_path: Path, root: Path, kind: str) -> None:
    cache, data = filled(tmp_path, root)
    put_back(cache, garbage(data)[kind])
    if kind == "log of another":
        for name in ("-wal", "-shm"):
            path = cache.path.with_name(cache.path.name + name)
            path.write_bytes(random.Random(9).randbytes(100_000))
            path.chmod(0o600)
    for _ in range(2):
        assert_true(scan(cache, root, workers=2), root)


STATEMENTS: dict[str, str] = {
    "an older format": "PRAGMA user_version = 0",
    "a newer format": "PRAGMA user_version = 99",
    "another program's": "PRAGMA application_id = 7",
    "no tables": "DROP TABLE directory",
    "another column": "ALTER TABLE directory ADD COLUMN more",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON directory BEGIN DELETE FROM meta; END",
    "a view": "DROP TABLE mark; CREATE VIEW mark AS SELECT id, 1 AS mark FROM directory",
    "no count": "DELETE FROM meta WHERE name = 'run'",
    "a wrong count": "UPDATE meta SET value = 'x' WHERE name = 'run'",
    "a huge count": f"UPDATE meta SET value = {2**62} WHERE name = 'run'",
    "no host": "DELETE FROM meta WHERE name = 'machine'",
    "texts for blobs": "UPDATE directory SET data = 'text'",
    "numbers for blobs": "UPDATE directory SET data = 17",
    "empty blobs": "UPDATE directory SET data = x''",
    "a huge blob": "UPDATE directory SET data = zeroblob(20000000) WHERE id = (SELECT min(id) FROM directory)",
    "rows of others": "UPDATE directory SET data = (SELECT data FROM directory ORDER BY length(data) DESC LIMIT 1)",
    "marks of others": "UPDATE mark SET mark = (SELECT max(mark) FROM mark)",
    "marks that are texts": "UPDATE mark SET mark = 'x'",
    "rows moved by one": "UPDATE directory SET id = id + 1000000",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_contents_that_we_did_not_write(tmp_path: Path, root: Path, name: str) -> None:
    cache, _ = filled(tmp_path, root)
    db = sqlite3.connect(cache.path)
    db.executescript(STATEMENTS[name])
    db.close()
    for _ in range(2):
        assert_true(scan(cache, root), root)
    sieve = FakeSieve(None, BOTH, fingerprint=b"x")
    for _ in range(2):
        assert_true(scan(cache, root, sieve), root)


def test_marks_that_are_damaged_hide_nothing(tmp_path: Path, root: Path) -> None:
    """Filters that contain nothing leave marks; whatever these become, they must not stop filters that contain everything."""
    cache = cache_in(tmp_path)
    scan(cache, root, FakeSieve(set(), BOTH, fingerprint=b"today"))
    for change in ("mark + 1", "mark | 1", "0", "-1", "NULL", "(SELECT max(mark) FROM mark)"):
        db = sqlite3.connect(cache.path)
        db.execute(f"UPDATE OR IGNORE mark SET mark = {change}")
        db.commit()
        db.close()
        assert_true(scan(cache, root, FakeSieve(None, BOTH, fingerprint=b"tomorrow")), root)


def test_removed_or_damaged_while_it_is_used(tmp_path: Path, root: Path) -> None:
    cache, data = filled(tmp_path, root)
    rnd = random.Random(10)

    def disturb(stop: threading.Event) -> None:
        while not stop.is_set():
            kind = rnd.randrange(3)
            try:
                if kind == 0:
                    cache.path.unlink()
                elif kind == 1:
                    with cache.path.open("r+b") as stream:
                        stream.seek(rnd.randrange(len(data)))
                        stream.write(rnd.randbytes(50))
                else:
                    os.truncate(cache.path, rnd.randrange(len(data)))
            except FileNotFoundError:
                pass
            time.sleep(0.003)

    for _ in range(attempts(8)):
        put_back(cache, data)
        stop = threading.Event()
        thread = threading.Thread(target=disturb, args=(stop,))
        thread.start()
        try:
            seen = scan(cache, root)
        finally:
            stop.set()
            thread.join()
        assert_true(seen, root)
    assert_true(scan(cache, root), root)


def test_workers_and_whole_runs_that_are_killed(tmp_path: Path, root: Path) -> None:
    """kill -9 while the file is written: what is there afterwards is true, and the next scans use it."""
    rnd = random.Random(11)
    cache = cache_in(tmp_path, reread=2)
    for _ in range(attempts(6)):
        pid = os.fork()
        if pid == 0:
            for _ in LocalEngine(WalkOptions(cache=cache), 2).sift([os.fsencode(root)], FakeSieve(set(), BOTH)):
                pass
            os._exit(0)
        time.sleep(rnd.random() * 0.15)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        seen = scan(cache, root, workers=2)
        assert_true(seen, root)
        assert seen.warnings == []


def test_two_scans_at_once(tmp_path: Path, root: Path) -> None:
    for _ in range(attempts(4)):
        pids = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    cache = cache_in(tmp_path, reread=2)
                    assert_true(scan(cache, root, FakeSieve(None, BOTH, fingerprint=b"%d" % number)), root)
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    seen = scan(cache_in(tmp_path), root)
    assert_true(seen, root)
    assert seen.scanned == 0


def mutate(root: Path, seed: int) -> None:
    """What other processes do to files meanwhile, for ever; sizes and mtimes are kept where that is possible."""
    rnd = random.Random(seed)
    files = [path for path in root.rglob("*") if path.is_file()]
    while True:
        path = rnd.choice(files)
        kind = rnd.randrange(5)
        try:
            status = path.stat()
            if kind == 0:
                with path.open("r+b") as stream:
                    stream.write(rnd.randbytes(status.st_size))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            elif kind == 1:
                os.truncate(path, rnd.randrange(4000))
            elif kind == 2:
                with path.open("ab") as stream:
                    stream.write(rnd.randbytes(500))
            elif kind == 3:
                beside = path.with_name(f"{path.name}.{seed}")
                beside.write_bytes(rnd.randbytes(status.st_size))
                beside.rename(path)
            else:
                os.rename(path, rnd.choice(files))
        except FileNotFoundError:
            path.write_bytes(rnd.randbytes(100))
        time.sleep(0.0005)


def test_what_is_remembered_is_true_whatever_others_do_meanwhile(tmp_path: Path, root: Path) -> None:
    cache = cache_in(tmp_path, settle_seconds=0.05, reread=3)
    pids = []
    for seed in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                mutate(root, seed)
            finally:
                os._exit(1)
        pids.append(pid)
    try:
        seen = [scan(cache, root, workers=2) for _ in range(attempts(15))]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert min(one.scanned for one in seen[1:]) > 0
    assert max(one.cached for one in seen) > 0
    counts = list(verify(cache, [], 1))[-1]
    assert counts.wrong == []
    assert counts.agreed > 500
    assert_true(scan(cache, root), root)
    answers = sum(one.cached for one in seen)
    print(f"{counts.agreed} digests agree, {counts.moved_on} files moved on, {answers} answers from memory")


def test_a_store_through_a_shared_map_leaves_a_trace_where_times_are_believed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a" * 4096)
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 4096) as shared:
        shared[0] = 1
        shared.flush()
        os.fsync(stream.fileno())  # what write-back does by itself within half a minute
        before = path.stat().st_ctime_ns
        time.sleep(0.02)
        shared[0] = 2
        changed = path.stat().st_ctime_ns != before
    fd = os.open(tmp_path, os.O_RDONLY)
    believed = filesystem_of(fd, os.fstat(fd).st_dev).believed
    os.close(fd)
    assert changed or not believed
