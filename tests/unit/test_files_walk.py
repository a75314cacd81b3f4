"""The pure rules of the walk: the stack that is cut and handed on, roots that overlap, what an errno means."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.files.roots import RootFact, distinct_roots
from hashscan.files.tally import Tally, errno_name, reason_of
from hashscan.files.walk import Frame, Kind, Node, Packed, Stack, pack_names, place_of_next, unpack_names, without_next
from hashscan.model import Place, Reason

NAMES = st.binary(min_size=1, max_size=20).map(lambda raw: raw.replace(b"\0", b"x").replace(b"/", b"y"))


@given(st.lists(NAMES, min_size=1, max_size=50))
def test_names_survive_packing(names: list[bytes]) -> None:
    as_str = [os.fsdecode(name) for name in names]
    assert unpack_names(pack_names(as_str)) == as_str
    assert pack_names(as_str) == b"\0".join(names)


def everything(packed: list[Packed]) -> Counter[tuple[int, int, bytes, bytes]]:
    """Each name with its kind, root and the full path of its directory."""
    found: Counter[tuple[int, int, bytes, bytes]] = Counter()
    path = b""
    for kind, root, below, _, _, blob in packed:
        path = b"" if root < 0 else b"/".join(part for part in (path, below) if part)
        found.update((kind, root, path, name) for name in blob.split(b"\0"))
    return found


def random_stack(rnd: random.Random) -> Stack:
    """A stack as a walk makes it: roots at the bottom (or a handed-over path), each directory at or below the one beneath."""
    stack = Stack()
    if rnd.random() < 0.5:
        for _ in range(rnd.randrange(1, 4)):
            stack.push(Frame(Kind.ROOTS, None, [str(rnd.randrange(100)) for _ in range(rnd.randrange(1, 5))]))
    node = Node(None, rnd.choice([b"", b"far/down"]), 7, 1, rnd.randrange(10**6))
    for number in range(rnd.randrange(1, 12)):
        for _ in range(rnd.randrange(3)):
            kind = rnd.choice([Kind.DIRECTORIES, Kind.FILES, Kind.LARGE])
            stack.push(Frame(kind, node, [f"n{rnd.random()}" for _ in range(rnd.randrange(1, 6))]))
        for _ in range(rnd.randrange(1, 3)):
            node = Node(node, b"d%d" % number, 7, 1, rnd.randrange(10**6))
    if not stack.frames:
        stack.push(Frame(Kind.FILES, node, ["f"]))
    return stack


def packed_all(stack: Stack) -> list[Packed]:
    return Stack(stack._pack(0, len(stack.frames)))._pack(0, len(stack.frames))


@pytest.mark.parametrize("seed", range(100))
def test_a_mirror_follows_every_change(seed: int) -> None:
    """Deltas and halves, entered as `flow.Ledger.apply` does, keep a mirror equal to the stack; nothing is lost or doubled."""
    rnd = random.Random(seed)
    stack = random_stack(rnd)
    mirror: list[Packed] = []
    low, pushed = stack.delta()
    mirror[low:] = pushed
    gone = everything([])
    whole = everything(mirror)
    while stack.frames:
        if rnd.random() < 0.3:
            low, pushed = stack.delta()
            mirror[low:] = pushed
            divisible = stack.divisible()
            cut, base, gift = stack.halve()
            mirror[:cut] = base
            assert bool(gift) == divisible
            gone += everything(gift)
            assert Stack(gift)._pack(0, len(gift)) == gift
        else:
            frame = stack.touch()
            name = frame.names.pop()
            path = frame.node.path() if frame.node else b""
            gone[frame.kind, frame.node.root if frame.node else -1, path, os.fsencode(name)] += 1
            if not frame.names:
                stack.drop()
        if rnd.random() < 0.5:
            low, pushed = stack.delta()
            mirror[low:] = pushed
            assert mirror == packed_all(stack)
            assert gone + everything(mirror) == whole
    assert gone == whole


def test_packed_frames_of_one_directory_share_it() -> None:
    stack = Stack(
        [(Kind.DIRECTORIES, 0, b"a/b", 1, 2, b"x"), (Kind.FILES, 0, b"", 1, 2, b"f"), (Kind.FILES, 0, b"c", 1, 3, b"g")]
    )
    first, second, third = (frame.node for frame in stack.frames)
    assert first is second
    assert third is not None
    assert third.parent is first
    assert third.path() == b"a/b/c"


def test_a_deep_chain_packs_linearly() -> None:
    stack, node = Stack(), Node(None, b"", 0, 1, 1)
    for number in range(5000):
        stack.push(Frame(Kind.DIRECTORIES, node, ["aside"]))
        node = Node(node, b"d" * 10, 0, 1, number)
    assert sum(len(one[2]) + len(one[5]) for one in stack.delta()[1]) < 5000 * 20


def test_the_next_name_has_a_place_and_can_be_left_out() -> None:
    roots = [b"/srv", b"/home"]
    stack = [(Kind.ROOTS, -1, b"", 0, 0, b"0"), (Kind.DIRECTORIES, 1, b"a", 1, 2, b"x\0y"), (Kind.FILES, 1, b"b/c", 1, 3, b"f")]
    expected = [Place(b"/home", b"a/b/c/f"), Place(b"/home", b"a/y"), Place(b"/home", b"a/x"), Place(b"/srv", b"")]
    for place in expected:
        assert place_of_next(stack, roots) == place
        stack = without_next(stack)
    assert stack == []


def fact(path: str, real: str = "", mount: int = 1) -> RootFact:
    return RootFact(path.encode(), (real or path).encode(), mount)


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ([], ""),
        ([fact("/a"), fact("/b")], "/a /b"),
        ([fact("/b"), fact("/a")], "/b /a"),
        ([fact("/a"), fact("/a")], "/a"),
        ([fact("/a/b"), fact("/a")], "/a"),
        ([fact("/a"), fact("/a/b/c/d")], "/a"),
        ([fact("/a"), fact("/ab"), fact("/a.b")], "/a /ab /a.b"),
        ([fact("/"), fact("/a"), fact("/b/c")], "/"),
        ([fact("/"), fact("/a", mount=2), fact("/a/b", mount=2)], "/ /a"),
        ([fact("/a"), fact("/a/b", mount=2)], "/a /a/b"),
        ([fact("/a"), fact("/a/b", mount=2), fact("/a/b/c", mount=2), fact("/a/c")], "/a /a/b"),
        ([fact("/a"), fact("/a/link", "/z")], "/a /a/link"),
        ([fact("/link", "/a"), fact("/a")], "/a"),
        ([fact("/a/b"), fact("/link", "/a")], "/link"),
        ([fact("/link", "/a/b"), fact("/a")], "/a"),
        ([fact("/link", "/a"), fact("/other", "/a")], "/link"),
    ],
)
def test_roots_that_overlap(facts: list[RootFact], kept: str) -> None:
    chosen = distinct_roots(facts)
    assert len(chosen) == len(kept.split())
    if facts[:1] != [fact("/link", "/a")]:
        assert b" ".join(chosen).decode() == kept
    else:  # the same directory by two names: either will do
        assert chosen[0] in (b"/link", b"/a", b"/other")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOENT, Reason.VANISHED),
        (errno.ELOOP, Reason.CHANGED),
        (errno.ENOTDIR, Reason.CHANGED),
        (errno.ENXIO, Reason.CHANGED),
        (errno.EXDEV, Reason.MOUNT),
        (errno.EACCES, Reason.ERROR),
        (errno.EIO, Reason.ERROR),
        (errno.EMFILE, Reason.ERROR),
        (errno.ESTALE, Reason.ERROR),
        (99999, Reason.ERROR),
    ],
)
def test_what_an_errno_means(code: int, reason: Reason) -> None:
    error = OSError(code, "x")
    assert reason_of(error) is reason
    assert errno_name(error) == errno.errorcode.get(code, "EUNKNOWN")


def test_a_tally_adds_up_and_starts_again() -> None:
    tally = Tally([b"/srv"], {b"/srv/m"})
    node = Node(None, b"", 0, 1, 2)
    tally.directories, tally.scanned, tally.bytes_hashed = 2, 3, 50
    tally.skip(Reason.SYMLINK, Place(b"/srv", b"l"))
    tally.skip(Reason.CHANGED, Place(b"/srv", b"d"), count=4)
    for name, code in ((b"m", errno.EXDEV), (b"n", errno.EXDEV), (b"e", errno.EACCES), (b"v", errno.ENOENT)):
        tally.fail(OSError(code, "x"), node, name)
    sifted = tally.take(b"/srv/at")
    assert sifted.skipped == {Reason.SYMLINK: 1, Reason.CHANGED: 4, Reason.MOUNT: 2, Reason.VANISHED: 1}
    assert sifted.errors == {"EACCES": 1}
    assert (sifted.directories, sifted.scanned, sifted.bytes_hashed, sifted.seen, sifted.at) == (2, 3, 50, 12, b"/srv/at")
    assert [(note.place.path, note.reason, note.errno) for note in sifted.notes] == [
        (b"d", Reason.CHANGED, ""),
        (b"n", Reason.MOUNT, ""),
        (b"e", Reason.ERROR, "EACCES"),
    ]
    assert tally.take(b"").seen == 0
