"""Every tree that a hostile tenant can build: what was found and what was skipped for a reason is the truth, path by path.

One table. Each fixture is built and writes down how each of its names must end; find(1) agrees where it sees the same. Then the
engine scans it in this process, the command line in a process of its own (with few descriptors, little memory, and its text for
people looked at), and so does a usual script by `os.walk`: the control, which most of them lead astray.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support import plot_mounts as mounts
from tests.support import plot_names as names
from tests.support import plot_shapes as shapes
from tests.support import plot_specials as specials
from tests.support.mounts import with_own_mounts
from tests.support.plot_scans import Naive, assert_bounded, assert_shown, by_command, in_process
from tests.support.plots import Plot, judge, planted


@dataclass(frozen=True)
class Fixture:
    """``naive`` is whether `os.walk` gets it right; None where that is a matter of luck. The builder's docstring is the truth.

    ``in_memory``: so many names that a disk with other work takes a minute over them; `test_trees` has some there.
    """

    name: str
    build: Callable[[Plot], None]
    needs: tuple[str, ...] = ()
    naive: bool | None = None
    own_mounts: bool = False
    in_memory: bool = False


NODES, FLAGS, MOUNTS, FUSE = "device-nodes", "inode-flags", "own-mounts", "fuse"


def _mounted(name: str, build: Callable[[Plot], None], *more: str, naive: bool | None = None) -> Fixture:
    return Fixture(name, build, (MOUNTS, *more), naive, own_mounts=True)


PLAIN = {
    "other systems",
    "backslashes",
    "substitutions",
    "options",
    "tilde",
    "glob characters",
    "quotes",
    "NFC and NFD",
    "case pair",
    "spaces",
    "markup",
    "spreadsheet",
    "our own names",
    "our temporary names",
}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
TABLE = (
    *(Fixture(f"name: {kind}", partial(names.kind, chosen), naive=kind in PLAIN) for kind, chosen in names.NAMES.items()),
    Fixture("name: every byte", names.every_byte, naive=False),
    Fixture("names as roots", names.as_roots, naive=False),
    Fixture("10,000 levels with siblings", shapes.levels, in_memory=True, naive=False),
    Fixture("10,000 levels", shapes.bare_levels, in_memory=True, naive=False),
    Fixture("path of 60 kB", shapes.long_path, naive=False),
    Fixture("paths around PATH_MAX", shapes.at_path_max, naive=False),
    Fixture("many names in one directory", shapes.many_names, in_memory=True),
    Fixture("many folders in one directory", shapes.many_folders, in_memory=True, naive=True),
    Fixture("many links and FIFOs", shapes.many_links, in_memory=True, naive=False),
    Fixture("wide and deep", shapes.wide_and_deep, in_memory=True, naive=True),
    Fixture("empty tree", shapes.empty, naive=True),
    Fixture("empty folders", shapes.empty_folders, naive=True),
    Fixture("hard links", shapes.hard_links, in_memory=True, naive=True),
    Fixture("link loops", shapes.link_loops, naive=True),
    Fixture("links out of the tree", shapes.links_out, naive=False),
    Fixture("dangling links", shapes.dangling_links, naive=True),
    Fixture("chain of links", shapes.link_chain, naive=False),
    Fixture("file that may not be read", shapes.closed_file),
    Fixture("folders that may not be entered", shapes.closed_folder),
    Fixture("access lists", shapes.access_lists),
    Fixture("extended attributes", shapes.attributes, naive=True),
    Fixture("modes", shapes.modes, naive=True),
    Fixture("times", shapes.times, naive=True),
    Fixture("our own holding directory", shapes.own_holding, naive=True),
    Fixture("sizes around the buffer", shapes.buffer_edges, naive=True),
    Fixture("sizes around the limits", shapes.large_edges, naive=True),
    Fixture("sparse terabytes", shapes.sparse, naive=False),
    Fixture("root given twice", shapes.root_twice, naive=False),
    Fixture("roots overlap", shapes.roots_overlap, naive=False),
    Fixture("root is a file", shapes.root_file, naive=False),
    Fixture("root is a link", shapes.root_link, naive=False),
    Fixture("root is not there", shapes.root_gone, naive=True),
    Fixture("many roots", shapes.many_roots, naive=True),
    Fixture("FIFOs", specials.fifos, naive=False),
    Fixture("root is a FIFO", specials.fifo_root, naive=True),
    Fixture("sockets", specials.sockets, naive=True),
    Fixture("device nodes", specials.devices, (NODES,), naive=False),
    Fixture("immutable and append-only", specials.unchangeable, (FLAGS,), naive=True),
    Fixture("leased file", specials.leased, naive=False),
    Fixture("locked files", specials.locked, naive=True),
    Fixture("growing file", specials.growing),
    Fixture("shrinking file", specials.shrinking),
    Fixture("mapped file", specials.mapped),
    Fixture("two files take turns", specials.replaced),
    Fixture("names change their kind", specials.swapped_kinds),
    Fixture("folder moves all the time", specials.folder_moves),
    Fixture("file deleted meanwhile", specials.deleted),
    Fixture("file became a link", specials.became_link),
    Fixture("file became a FIFO", specials.became_fifo),
    Fixture("file became a folder", specials.became_folder),
    Fixture("file became too large", specials.became_large),
    Fixture("folder moved out", specials.folder_gone),
    Fixture("folder became a link", specials.folder_became_link),
    Fixture("folder became a file", specials.folder_became_file),
    Fixture("file replaced while read", specials.replaced_while_read),
    Fixture("file deleted while read", specials.deleted_while_read),
    Fixture("file cut while read", specials.cut_while_read),
    Fixture("file grown while read", specials.grown_while_read),
    Fixture("folder moved while read", specials.moved_while_read),
    Fixture("rewritten with the old time", specials.rewritten),
    Fixture("renamed over with the old time", specials.renamed_over),
    Fixture("rewritten through another name", specials.swapped_names),
    Fixture("rewritten through a map", specials.written_by_map),
    _mounted("mount: bind loop", mounts.bind_loop, naive=False),
    _mounted("mount: bind from elsewhere", mounts.bind_elsewhere, naive=False),
    _mounted("mount: bound to itself", mounts.bind_itself, naive=False),
    _mounted("mount: memory in memory", mounts.memory, naive=False),
    _mounted("mount: over files", mounts.over_files, naive=True),
    _mounted("mount: overlay", mounts.overlay, naive=False),
    _mounted("mount: overlay as root", mounts.overlay_root, naive=True),
    _mounted("mount: proc, sysfs and others", mounts.kernel_trees, naive=False),
    _mounted("mount: over a file", mounts.over_a_file, naive=True),
    _mounted("mount: read-only root", mounts.read_only, naive=True),
    _mounted("mount: named as a root", mounts.mount_roots, naive=False),
    _mounted("mount: file of 8 EiB", mounts.huge, naive=False),
    _mounted("mount: tree in memory", mounts.million, naive=True),
    _mounted("mount: system in the system", mounts.nested, naive=False),
    _mounted("mount: comes and goes", mounts.comes_and_goes),
    _mounted("mount: root taken away", mounts.taken_away),
    _mounted("mount: appears meanwhile", mounts.mounted_meanwhile),
    _mounted("mount: no proc", mounts.jailed, naive=True),
    _mounted("hung: server is mute", mounts.mute, FUSE, naive=False),
    _mounted("hung: server is deaf", mounts.deaf, FUSE, naive=False),
    _mounted("hung: some files of a root", mounts.stuck, FUSE, naive=False),
    _mounted("hung: mute root", mounts.mute_root, FUSE, naive=False),
    _mounted("hung: deaf root", mounts.deaf_root, FUSE, naive=False),
)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each fixture measured, a line each; a file because some of them run in a child."""
    return tmp_path_factory.mktemp("book") / "lines"


def hold_against_the_truth(fixture: Fixture, book: Path) -> None:
    row: dict[str, object] = {"name": fixture.name}
    with planted(fixture.build, MEMORY if fixture.in_memory else None) as plot:
        once = plot.act or plot.act_reading or plot.then  # what happens once, at a moment that only this process can choose
        if not plot.lonely and not plot.nobody:
            judge(plot, in_process(plot))
        if not once:
            naive = Naive(plot)
            run = by_command(plot)
            judge(plot, run.told)
            assert_bounded(run)
            assert_shown(plot, run)
            row |= {"seconds": run.seconds, "rss_kib": run.rss_kib, "naive": naive.verdict()}
        row |= {"names": len(plot.everything) + plot.uncounted, "found": len(plot.must), "files": plot.hashed}
        row |= {"skipped": plot.skipped, "errors": plot.errors}
    with book.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    if fixture.naive is not None and not once:
        assert (row["naive"] == "right") == fixture.naive, f"the control: {row['naive']}"


@pytest.mark.parametrize(
    "fixture", [pytest.param(one, id=one.name, marks=[pytest.mark.optional(need) for need in one.needs]) for one in TABLE]
)
def test_the_truth_is_told(fixture: Fixture, book: Path) -> None:
    def body() -> None:
        hold_against_the_truth(fixture, book)

    if fixture.own_mounts:
        with_own_mounts(body)
    else:
        body()


def test_the_table_and_what_it_counted(book: Path) -> None:
    """Runs after the fixtures, and says what they measured."""
    assert len({fixture.name for fixture in TABLE}) == len(TABLE) >= 60
    assert all(fixture.build.func.__doc__ if isinstance(fixture.build, partial) else fixture.build.__doc__ for fixture in TABLE)
    if not book.exists():
        pytest.fail("no fixture ran before this test")
    rows = [json.loads(line) for line in book.read_text(encoding="utf-8").splitlines()]
    skipped = sum((Counter(row["skipped"]) for row in rows), Counter[str]())
    errors = sum((Counter(row["errors"]) for row in rows), Counter[str]())
    naive = Counter(row["naive"] for row in rows if "naive" in row)
    names, files, found = (sum(row[key] for row in rows) for key in ("names", "files", "found"))
    seconds, rss = (max(row.get(key, 0) for row in rows) for key in ("seconds", "rss_kib"))
    print(f"{len(rows)} of {len(TABLE)} fixtures, {names:,} names, {files:,} files, {found:,} found")
    print(f"skipped {dict(skipped)}, errors {dict(errors)}; longest {seconds:.1f} s, largest {rss >> 10} MiB")
    print(f"os.walk and open on the same trees: {dict(naive)}")
    assert naive["right"] < naive.total() // 2 or len(rows) < len(TABLE) // 2, "the trees are not hostile"
