"""One library, one gate; and the dangerous conveniences of the standard library stay out of the rooms where tenants attack."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.house.source import Module, dotted, module, modules

GATES: dict[str, set[str]] = {
    "click": {"cli"},
    "rich": {"report"},
    "requests": {"central"},
    "urllib3": {"central"},
    "httpx": set(),
    "pybloom_live": {"known"},
    "bitarray": {"known"},
    "securesystemslib": {"known"},
    "tuf": {"known"},
    "pyrage": {"quarantine"},
    "defusedxml": {"service"},
    "fastapi": {"service"},
    "sqlalchemy": {"service"},
    "alembic": {"service"},
    "psycopg": set(),  # SQLAlchemy loads it
    "uvicorn": {"service"},
    "pydantic": {"service"},
    "starlette": {"service"},
    "jinja2": {"service"},
    "markupsafe": {"service"},
    "anyio": {"service"},
    "threading": {"flow"},
    "_thread": {"flow"},
    "multiprocessing": {"flow"},
    "concurrent": {"flow"},
    "selectors": {"flow", "service.embedded"},
    "queue": {"flow"},
    "subprocess": {"service.embedded", "report.hooks"},
    "pathspec": {"files"},
    "pickle": {"flow"},  # unpickling runs code: only ever between processes of one run
    "marshal": {"flow"},
}
CALLS: dict[str, set[str]] = {
    "os.fork": {"flow"},
    "os.forkpty": set(),
    "os.system": set(),
    "os.popen": set(),
    "os.posix_spawn": set(),
    "os.posix_spawnp": set(),
    **{f"os.exec{kind}": set() for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")},
    **{f"os.spawn{kind}": set() for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")},
}
DESCRIPTOR_ROOMS = {"files", "quarantine", "fsops"}
NO_IMPORT = {"shutil", "glob", "tarfile", "mmap", "zipfile", "tempfile"}
NO_CALL = {"os.walk", "os.fwalk", "os.path.realpath", "os.removedirs", "os.renames"}
NO_METHOD = {"rglob", "glob", "realpath", "rmtree"}


def _open_to(one: Module, rooms: set[str]) -> bool:
    inner = one.name.removeprefix("hashscan.")
    return one.room in rooms or inner in rooms


def _attributes(one: Module) -> Iterator[tuple[str, int]]:
    """Dotted expressions as written, and names from ``from os import fork`` as "os.fork"."""
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Attribute) and dotted(node):
            yield dotted(node), node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            # `import os as o` would hide what is called.
            yield from ((f"{alias.name} as", node.lineno) for alias in node.names if alias.name == "os" and alias.asname)


def gate_problems(all_modules: Iterable[Module]) -> list[str]:
    problems = []
    for one in all_modules:
        for each in one.imports():
            library = each.name.split(".")[0]
            if library in GATES and not _open_to(one, GATES[library]):
                problems.append(f"{one.name}:{each.line}: {library} belongs to {sorted(GATES[library]) or 'nobody'}")
        for name, line in _attributes(one):
            if name == "os as":
                problems.append(f"{one.name}:{line}: os has one name")
            elif name in CALLS and not _open_to(one, CALLS[name]):
                problems.append(f"{one.name}:{line}: {name} belongs to {sorted(CALLS[name]) or 'nobody'}")
    return sorted(set(problems))


def descriptor_problems(all_modules: Iterable[Module]) -> list[str]:
    problems = []
    for one in all_modules:
        if one.room not in DESCRIPTOR_ROOMS:
            continue
        for each in one.imports():
            if each.name.split(".")[0] in NO_IMPORT:
                problems.append(f"{one.name}:{each.line}: no {each.name} here")
        for name, line in _attributes(one):
            if name in NO_CALL or name.rpartition(".")[2] in NO_METHOD:
                problems.append(f"{one.name}:{line}: no {name} here")
        for node in ast.walk(one.tree):
            if isinstance(node, ast.Attribute) and node.attr in NO_METHOD and not dotted(node):
                problems.append(f"{one.name}:{node.lineno}: no .{node.attr} here")
    return sorted(set(problems))


def test_each_library_comes_in_by_its_gate() -> None:
    looked_at = modules()
    problems = gate_problems(looked_at)
    assert not problems, "\n".join(["", *problems])
    used = {each.name.split(".")[0] for one in looked_at for each in one.imports()} & set(GATES)
    assert {"rich", "pybloom_live"} <= used, "the check must have met some of the libraries"
    print(f"{len(looked_at)} modules, gates in use: {sorted(used)}")


def test_dangerous_conveniences_stay_out() -> None:
    looked_at = [one for one in modules() if one.room in DESCRIPTOR_ROOMS]
    assert looked_at
    problems = descriptor_problems(looked_at)
    assert not problems, "\n".join(["", *problems])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hashscan.jobs.scan", "import rich.console"),
        ("hashscan.cli.main", "from rich import box"),
        ("hashscan.report.text", "import click"),
        ("hashscan.service.app", "import requests"),
        ("hashscan.central.client", "from securesystemslib import dsse"),
        ("hashscan.files.engine", "import bitarray"),
        ("hashscan.files.engine", "from concurrent.futures import ThreadPoolExecutor"),
        ("hashscan.files.engine", "def f():\n    import threading"),
        ("hashscan.files.engine", "import os\nos.fork()"),
        ("hashscan.files.engine", "from os import fork"),
        ("hashscan.files.engine", "import os as o"),
        ("hashscan.cli.main", "import subprocess"),
        ("hashscan.report.webhook", "import subprocess"),
        ("hashscan.jobs.scan", "import os\nos.execv('a', [])"),
        ("hashscan.known.shelf", "import fastapi"),
    ],
)
def test_control_a_library_at_the_wrong_gate_is_noticed(name: str, text: str) -> None:
    assert len(gate_problems([module(name, text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import shutil",
        "from glob import glob",
        "import os\nos.walk('/')",
        "from os import walk",
        "import os\nos.path.realpath(b'x')",
        "from os.path import realpath",
        "from pathlib import Path\nPath('/').rglob('*')",
        "import tarfile",
        "import mmap",
    ],
)
@pytest.mark.parametrize("room", ["files.walk", "quarantine.take", "fsops"])
def test_control_a_dangerous_convenience_is_noticed(room: str, text: str) -> None:
    assert descriptor_problems([module(f"hashscan.{room}", text)])


def test_control_the_right_gate_is_open() -> None:
    open_gates = [
        module("hashscan.report.text", "import rich"),
        module("hashscan.flow", "import os, threading\nos.fork()"),
        module("hashscan.service.embedded", "import subprocess"),
        module("hashscan.report.hooks", "import subprocess"),
        module("hashscan.known.bloom", "import mmap, shutil\nself.walk()"),
    ]
    assert gate_problems(open_gates) == []
    assert descriptor_problems(open_gates) == []
