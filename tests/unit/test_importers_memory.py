"""Readers keep one item in memory, however long the file is: the peak of a child that reads a short one, then a long one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashscan.service.importers import nsrl3
from hashscan.service.importers.formats import FORMATS
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import Item, Shape
from tests.house.source import REPOSITORY
from tests.support import list_files
from tests.support.budget import attempts
from tests.support.list_files import entry, page, record

pytestmark = pytest.mark.slow

SHORT, LONG = 500, 12_000  # items
MOST = 4 << 20  # bytes that reading the long file may take more than the short one
SHAPE = Shape(categories=frozenset({"1", "A1"}))
NAMES = ("vics", "ncmec", "hashdeep", "clamav", "nsrl", "nsrl3")
KEEPS = "keeps everything"  # the control


def write(name: str, path: Path, count: int) -> None:
    names = map(str, range(count))
    if name == "nsrl3":
        list_files.nsrl3(path, names)
        return
    made: dict[str, Callable[[], str | bytes]] = {
        "vics": lambda: list_files.vics(record(one, Comments="c" * 200) for one in names),
        "ncmec": lambda: page(*(entry(one, up=3) for one in names)),
        "nsrl": lambda: list_files.nsrl(names),
        "clamav": lambda: "".join(f"{list_files.md5(one)}:12:Some.Name-1\n" for one in names),
    }
    text = made.get(name, lambda: list_files.hashdeep(list(names)))()
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def items(name: str, path: Path) -> Iterator[tuple[int, Item]]:
    if name == "nsrl3":
        yield from nsrl3.read(path)
        return
    with open_source(path) as stream:
        yield from FORMATS[name].read(stream, SHAPE)


def peak() -> int:
    """The most memory that this program has had. Not ru_maxrss: that is of the process, also before it became this program."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def child(folder: str) -> None:
    """Prints of each format the items of both files, and by how many bytes the second made the peak higher."""
    told = {}
    for name in NAMES:
        short, long = (Path(folder) / f"{name}.{which}" for which in ("short", "long"))
        first = sum(1 for _ in items(name, short))
        before = peak()
        second = sum(1 for _ in items(name, long))
        told[name] = (first, second, peak() - before)
    before = peak()
    kept = list(items("hashdeep", Path(folder) / "hashdeep.long"))
    told[KEEPS] = (SHORT, len(kept), peak() - before)
    print(json.dumps(told))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int, int]]:
    folder = tmp_path_factory.mktemp("lists")
    for name in NAMES:
        write(name, folder / f"{name}.short", SHORT)
        write(name, folder / f"{name}.long", attempts(LONG))
    code = "import sys; from tests.unit import test_importers_memory as t; t.child(sys.argv[1])"
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True, timeout=600)
    found: dict[str, tuple[int, int, int]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [*NAMES, KEEPS])
def test_memory_is_bounded(name: str, told: dict[str, tuple[int, int, int]]) -> None:
    first, second, grown = told[name]
    assert (first, second) == (SHORT, attempts(LONG))
    print(f"{name}: {second} items, the peak grew by {grown >> 10} kB")
    assert (grown > MOST) == (name == KEEPS), f"{grown} bytes"
