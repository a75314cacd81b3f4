"""Imports go down, and the tools never see each other. A room that is not on the plan fails: put it there first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.house.source import PACKAGE, Module, module, modules

GROUND, TOOLS, JOBS, DOORS = range(4)

PLAN = {
    "__init__": GROUND,
    "model": GROUND,
    "ports": GROUND,
    "errors": GROUND,
    "settings": GROUND,
    "units": GROUND,
    "flow": GROUND,
    "atomic": GROUND,
    "fsops": GROUND,
    "strict_json": GROUND,
    "files": TOOLS,
    "known": TOOLS,
    "central": TOOLS,
    "quarantine": TOOLS,
    "report": TOOLS,
    "jobs": JOBS,
    "service": DOORS,
    "cli": DOORS,
    "__main__": DOORS,
}
SEES = {"service": {"known", "central", "report"}, "__main__": {"cli"}}
"""Rooms that see less than their floor allows (besides the ground): the service shares shapes and keys, not jobs or files."""

CONNECTED = {("cli", "service")}
"""The one passage on a floor: ``hashscan service`` is a command. It may be inside a function: the extra may be missing."""

LATE = {
    "hashscan.central.client",
    "hashscan.central.outward",
    "hashscan.known.shelf",
    "hashscan.known.trust",
    "hashscan.report.sinks",
}
"""Modules that load one of their own room late, as it is slow to import or brings a library that is; no cycle is dodged."""

ASKED_OFTEN = {"hashscan.cli.basics", "hashscan.cli.status"}
"""`hashscan status` is asked every minute: what only one of its forms needs, from any floor below, is loaded by that form."""


def imported_rooms(one: Module) -> Iterator[tuple[str, int, bool]]:
    """(room, line, inside a function) for each import of ours."""
    for each in one.imports():
        parts = each.name.split(".")
        if parts[0] == "hashscan":
            room = parts[1] if len(parts) > 1 else "__init__"
            yield (room if room in PLAN or (PACKAGE / room).is_dir() or _is_file(room) else "__init__"), each.line, each.inside


def _is_file(room: str) -> bool:
    return (PACKAGE / f"{room}.py").is_file()


def allowed(here: str, there: str) -> bool:
    """Whether room ``here`` may import from room ``there``."""
    if here == there or (here, there) in CONNECTED:
        return True
    if PLAN[there] == GROUND:
        return True
    if here in SEES:
        return there in SEES[here]
    return PLAN[there] < PLAN[here]


def floor_problems(all_modules: Iterable[Module]) -> list[str]:
    problems = []
    for one in all_modules:
        if one.room not in PLAN:
            problems.append(f"{one.name}: the room {one.room} is not on the plan")
            continue
        for there, line, inside in imported_rooms(one):
            if there not in PLAN:
                problems.append(f"{one.name}:{line}: imports {there}, which is not on the plan")
            elif not allowed(one.room, there):
                problems.append(f"{one.name}:{line}: {one.room} must not import {there}")
            elif inside and not may_be_late(one, there):
                problems.append(f"{one.name}:{line}: imports {there} inside a function")
    return problems


def may_be_late(one: Module, there: str) -> bool:
    """Whether a module may load something of that room inside a function."""
    return (one.room, there) in CONNECTED or (one.name in LATE and one.room == there) or one.name in ASKED_OFTEN


def test_imports_go_down() -> None:
    looked_at = modules()
    problems = floor_problems(looked_at)
    assert not problems, "\n".join(["", *problems])
    print(f"{len(looked_at)} modules, {sum(1 for one in looked_at for _ in imported_rooms(one))} imports of ours")


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("hashscan.files.walk", "from hashscan.known import sieve", "files must not import known"),
        ("hashscan.files.walk", "import hashscan.quarantine.vault", "files must not import quarantine"),
        ("hashscan.files.walk", "from ..report import events", "files must not import report"),
        ("hashscan.files.walk", "from .. import jobs", "files must not import jobs"),
        ("hashscan.files.walk", "from hashscan import cli", "files must not import cli"),
        ("hashscan.model", "from hashscan.files import walk", "model must not import files"),
        ("hashscan.jobs.scan", "from hashscan.cli import main", "jobs must not import cli"),
        ("hashscan.service.app", "from hashscan.jobs import scan", "service must not import jobs"),
        ("hashscan.service.app", "from hashscan.quarantine.vault import Vault", "service must not import quarantine"),
        ("hashscan.service.app", "from hashscan.cli import main", "service must not import cli"),
        ("hashscan.attic.box", "", "not on the plan"),
        ("hashscan.jobs.scan", "def f():\n    from hashscan.model import Place", "inside a function"),
        ("hashscan.jobs.scan", "def f():\n    import hashscan.files.walk", "inside a function"),
        ("hashscan.files.walk", "if True:\n    from hashscan.known.sieve import x", "files must not import known"),
    ],
)
def test_control_a_wrong_import_is_noticed(name: str, text: str, word: str) -> None:
    problems = floor_problems([module(name, text)])
    assert len(problems) == 1
    assert word in problems[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hashscan.files.walk", "from hashscan.model import Place\nfrom hashscan import __version__\nfrom . import cache"),
        ("hashscan.jobs.scan", "from hashscan.files import walk\nfrom hashscan.ports import Engine"),
        ("hashscan.service.app", "from hashscan.known.keys import token\nfrom hashscan.central.wire import Ask"),
        ("hashscan.cli.status", "def f():\n    from hashscan.report import nagios"),
        ("hashscan.cli.service", "def f():\n    from hashscan.service.app import make  # the extra may be missing"),
    ],
)
def test_control_a_right_import_is_not(name: str, text: str) -> None:
    assert floor_problems([module(name, text)]) == []


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """One cycle of imports as a list of modules, or an empty list."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for after in sorted(edges.get(node, ())):
            found = visit(after, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := visit(node, []))), [])


def module_edges(all_modules: Iterable[Module]) -> dict[str, set[str]]:
    listed = list(all_modules)
    names = {one.name for one in listed}
    edges: dict[str, set[str]] = {}
    for one in listed:
        targets = {each.name if each.name in names else each.name.rpartition(".")[0] for each in one.imports()}
        edges[one.name] = (targets & names) - {one.name, "hashscan"}
    return edges


def test_no_import_goes_in_a_circle() -> None:
    edges = module_edges(modules())
    assert sum(map(len, edges.values())) > 10
    assert cycle(edges) == []


def test_control_a_circle_is_noticed() -> None:
    text = "from hashscan.known.{} import x"
    circle = [module(f"hashscan.known.{here}", text.format(there)) for here, there in ("ab", "bc", "ca")]
    assert cycle(module_edges(circle)) == ["hashscan.known.a", "hashscan.known.b", "hashscan.known.c"]


def test_every_folder_is_a_room_of_the_plan() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(PLAN)
    assert {"report", "known"} <= folders
