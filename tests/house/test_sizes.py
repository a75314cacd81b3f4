"""Small rooms: what does not fit on a screen or two is two things."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from tests.house.source import Module, module, modules

MODULE_LINES = 320
FUNCTION_LINES = 45
PARAMETERS = 6
REVISIONS = "hashscan.service.migrations.versions."  # steps that alembic writes one after the other, and nobody changes again


def size_problems(all_modules: Iterable[Module]) -> list[str]:
    problems = []
    for one in all_modules:
        lines = len(one.text.splitlines())
        if lines > MODULE_LINES:
            problems.append(f"{one.name}: {lines} lines")
        for node in ast.walk(one.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                problems += _function_problems(one.name, node)
    return problems


def _function_problems(where: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    problems = []
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES and not where.startswith(REVISIONS):
        problems.append(f"{where}.{node.name}: {lines} lines")
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    count = len(names) - (names[:1] in (["self"], ["cls"]))
    if count > PARAMETERS:
        problems.append(f"{where}.{node.name}: {count} parameters")
    return problems


def test_rooms_are_small() -> None:
    looked_at = modules()
    problems = size_problems(looked_at)
    assert not problems, "\n".join(["", *problems])
    print(f"{len(looked_at)} modules, {sum(len(one.text.splitlines()) for one in looked_at)} lines")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = 1\n" * 321, "321 lines"),
        ("def f():\n" + "    x = 1\n" * 45, "46 lines"),
        ("class A:\n    async def f(self, a, b, c, d, *, e, g, h): ...", "7 parameters"),
    ],
)
def test_control_a_big_one_is_noticed(text: str, word: str) -> None:
    problems = size_problems([module("hashscan.files.big", text)])
    assert len(problems) == 1
    assert word in problems[0]


def test_a_revision_is_as_long_as_it_must_be() -> None:
    text = "def upgrade():\n" + "    x = 1\n" * 60
    assert size_problems([module(REVISIONS + "r0009_x", text)]) == []
    assert size_problems([module("hashscan.service.migrations.env", text)]) != []


def test_control_a_small_one_is_not() -> None:
    assert size_problems([module("hashscan.files.small", "x = 1\n" * 319 + "def f(self, a, b, c, d, e, g): ...")]) == []
