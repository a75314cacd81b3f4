"""A scan that is left and taken up again at any moment: each path is counted once, each candidate comes at least once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from hashscan.errors import FilterError, StateError, UsageError
from hashscan.files.checkpoint import Checkpoint, Saved, decode, encode
from hashscan.files.engine import LocalEngine
from hashscan.files.walk import WalkOptions
from hashscan.model import Algorithm, Reason, Sifted
from tests.support.sieves import FakeSieve
from tests.support.trees import children, find, grow

NEVER = 1e9


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    top.mkdir()
    grow(top, 300, seed=3)
    (top / "large").write_bytes(random.Random(1).randbytes((9 << 20) + 5))
    (top / "link").symlink_to("large")
    return top


def engine(checkpoint: Checkpoint, resumed: Saved | None = None, options: WalkOptions | None = None) -> LocalEngine:
    return LocalEngine(options or WalkOptions(), 2, checkpoint=checkpoint, resumed=resumed)


def stretches(top: Path, checkpoint: Checkpoint, resumed: Saved | None) -> Iterator[Sifted]:
    return engine(checkpoint, resumed).sift([os.fsencode(top)], FakeSieve())


def paths(stretch: Sifted) -> list[bytes]:
    return [one.hashed.entry.place.full for one in stretch.candidates]


def saved_example() -> Saved:
    totals = Sifted(seen=5, scanned=3, directories=2, bytes_hashed=9, skipped={Reason.SYMLINK: 1}, errors={"EACCES": 1})
    frames = ((0, -1, b"", 0, 0, b"0"), (2, 0, b"a/\xff", 0, 77, b"x\0y\0\xfe"), (3, 0, b"", 0, 77, b"z"))
    return Saved((b"/srv", b"/home\n"), "ab" * 32, 1.7e9, totals, (frames, frames[1:]))


@pytest.mark.parametrize("seed", range(5))
def test_left_after_any_stretch_and_resumed_until_it_is_done(tree: Path, tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=rnd.choice([0.0, NEVER]))
    came: Counter[bytes] = Counter()
    resumed, runs, complete = None, 0, False
    counts: Counter[str] = Counter()
    while not complete:
        runs += 1
        consumed: list[Sifted] = []
        with closing(stretches(tree, checkpoint, resumed)) as sifted:
            complete = True
            for one in sifted:
                came.update(paths(one))
                if rnd.random() < 0.4:
                    complete = False
                    break
                consumed.append(one)
        base = resumed.totals if resumed else Sifted()
        counts = Counter({"seen": base.seen, "scanned": base.scanned, "directories": base.directories})
        for one in consumed:
            counts += Counter({"seen": one.seen, "scanned": one.scanned, "directories": one.directories})
        resumed = checkpoint.load()
        if not complete:
            assert resumed is not None
            assert (resumed.totals.seen, resumed.totals.scanned) == (counts["seen"], counts["scanned"])
    assert children() == []
    assert counts["scanned"] == 301
    assert counts["directories"] + counts["seen"] == len(find(tree))
    assert sorted(came) == find(tree, "-type", "f")
    print(f"{runs} runs, {came.total() - len(came)} candidates came again")


def test_what_was_consumed_before_is_not_scanned_again(tree: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=0.0)
    before: list[bytes] = []
    last: list[bytes] = []
    with closing(stretches(tree, checkpoint, None)) as sifted:
        for one in sifted:
            before += last
            last = paths(one)
            if len(before) > 50:
                break
    resumed = checkpoint.load()
    after = [path for one in stretches(tree, checkpoint, resumed) for path in paths(one)]
    assert before
    assert not set(before) & set(after)
    assert sorted({*before, *after}) == find(tree, "-type", "f")
    assert set(last) <= set(after), "what was yielded last may not have arrived, and comes again"


def test_at_the_end_nothing_is_left_but_the_totals(tree: Path, tmp_path: Path) -> None:
    """Somebody who is stopped between the end of the walk and the end of the run goes on from there."""
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=NEVER)
    written = []
    for one in stretches(tree, checkpoint, None):
        written.append(checkpoint.path.exists())
        del one
    assert not any(written), "nothing is written before it is time"
    resumed = checkpoint.load()
    assert resumed is not None
    assert (resumed.stacks, resumed.totals.scanned) == ((), 301)
    assert sum(one.scanned for one in stretches(tree, checkpoint, resumed)) == 0
    again = checkpoint.load()
    assert again is not None
    assert again.totals == resumed.totals
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None


def test_a_scan_that_fails_can_be_resumed(tree: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=NEVER)
    with pytest.raises(FilterError):
        list(engine(checkpoint).sift([os.fsencode(tree)], FakeSieve(error=FilterError("torn"))))
    resumed = checkpoint.load()
    assert sum(one.scanned for one in stretches(tree, checkpoint, resumed)) == 301


def left_early(tree: Path, checkpoint: Checkpoint) -> Saved:
    with closing(stretches(tree, checkpoint, None)) as sifted:
        next(sifted)
    saved = checkpoint.load()
    assert saved is not None
    return saved


def test_another_scan_is_not_resumed(tree: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=NEVER, purpose="report")
    saved = left_early(tree, checkpoint)
    roots = [os.fsencode(tree)]
    with pytest.raises(UsageError, match="other paths or settings"):
        engine(checkpoint, saved).sift([os.fsencode(tmp_path)], FakeSieve())
    with pytest.raises(UsageError):
        engine(checkpoint, saved, WalkOptions(max_file_bytes=5)).sift(roots, FakeSieve())
    with pytest.raises(UsageError):
        engine(checkpoint, saved).sift(roots, FakeSieve(None, (Algorithm.SHA1,)))
    with pytest.raises(UsageError):
        engine(Checkpoint(checkpoint.path, purpose="quarantine"), saved).sift(roots, FakeSieve())
    engine(checkpoint, saved).sift(roots, FakeSieve()).close()


def test_a_directory_that_was_replaced_meanwhile_is_told(tree: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=NEVER)
    saved = left_early(tree, checkpoint)
    tree.rename(tmp_path / "moved")
    tree.mkdir()
    came = list(engine(checkpoint, saved).sift([os.fsencode(tree)], FakeSieve()))
    assert sum(one.scanned for one in came) == 0
    notes = [note for one in came for note in one.notes]
    assert all(note.reason is Reason.CHANGED for note in notes)
    listed = sum(names.count(b"\0") + 1 for stack in saved.stacks for kind, *_, names in stack if kind)
    assert sum(one.seen for one in came) == listed, "each name that waited ends"


def test_a_machine_that_numbers_its_disks_anew_makes_no_difference(tree: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=0.0)
    saved = left_early(tree, checkpoint)
    assert all(frame[3] == 0 for stack in saved.stacks for frame in stack)


def test_what_is_written_is_read_again() -> None:
    saved = saved_example()
    assert decode(encode(saved)) == saved


def test_a_damaged_file_is_refused_whatever_the_damage(tmp_path: Path) -> None:
    data = encode(saved_example())
    for cut in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            decode(data[:cut])
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            decode(data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :])
    path = tmp_path / "checkpoint"
    path.write_bytes(data[:-1])
    with pytest.raises(StateError, match="damaged") as caught:
        Checkpoint(path).load()
    assert "--resume" in caught.value.hint
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        Checkpoint(path).load()


@pytest.mark.parametrize(
    "frame",
    [
        (9, 0, b"", 0, 1, b"x"),  # no such kind
        (2, 7, b"", 0, 1, b"x"),  # no such root
        (2, -1, b"", 0, 1, b"x"),  # files of no root
        (0, 0, b"", 0, 1, b"0"),  # a list of roots below a root
        (2, 0, b"", 0, 1, b""),  # no names
    ],
)
def test_a_well_sealed_file_that_says_nonsense_is_refused(frame: tuple[int, int, bytes, int, int, bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(encode(replace(saved_example(), stacks=((frame,),))))


def test_counts_that_promise_more_than_there_is_cost_nothing() -> None:
    body = encode(replace(saved_example(), stacks=()))[:-32]
    body = body[:-4] + b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="too early"):
        decode(body + blake3(body).digest())


def test_a_place_that_cannot_be_written_is_told(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot write"):
        list(stretches(tree, Checkpoint(tmp_path / "missing" / "checkpoint", seconds=0.0), None))
    assert children() == []
