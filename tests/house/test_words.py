"""What must not stand in any file: paths of the author's machine, hosts of registries, patches of our own modules."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from tests.house.source import REPOSITORY, dotted

SKIPPED_FOLDERS = {
    ".git",
    ".venv",
    ".venv-package",
    "__pycache__",
    "build",
    "dist",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
}
# Each is written with a bar in it, so that this file passes its own check.
_PATHS = [word.replace("|", "") for word in ("/wor|k/", "/tmp/|p/", "/roo|t/")]
_HOSTS = [
    word.replace("|", "")
    for word in ("pypi|.org", "python|hosted.org", "npm|js.org", "proxy.golang|.org", "crates|.io", "arti|factory")
]
_WORDS = re.compile("|".join([*(rf"(?<![\w.%-]){re.escape(path)}" for path in _PATHS), *map(re.escape, _HOSTS)]), re.IGNORECASE)


@cache
def files() -> tuple[tuple[str, str], ...]:
    """(path below the repository, text) of every file that is or would be tracked; bytes that are not UTF-8 are replaced."""
    found = tuple((name, (REPOSITORY / name).read_text(encoding="utf-8", errors="replace")) for name in sorted(set(_names())))
    assert len(found) > 30, "the check would look at nothing"
    return found


def _names() -> Iterator[str]:
    if (REPOSITORY / ".git").exists():
        command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, capture_output=True, check=True)
        yield from (name for name in done.stdout.decode().split("\0") if name and (REPOSITORY / name).is_file())
        return
    for path in REPOSITORY.rglob("*"):  # an unpacked sdist
        if path.is_file() and not SKIPPED_FOLDERS.intersection(path.relative_to(REPOSITORY).parts):
            yield str(path.relative_to(REPOSITORY))


def word_problems(all_files: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"{name}:{number}: {match[0]}"
        for name, text in all_files
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _WORDS.search(line))
    ]


def patch_problems(all_files: Iterable[tuple[str, str]]) -> list[str]:
    """Tests that replace parts of hashscan: a port is missing where one is needed."""
    problems = []
    for name, text in all_files:
        tree = ast.parse(text)
        ours = {alias.asname or alias.name.split(".")[0] for alias in _our_imports(tree)}
        for node in ast.walk(tree):
            if _is_mock_import(node) or (isinstance(node, ast.arg) and node.arg == "mocker"):
                problems.append(f"{name}:{getattr(node, 'lineno', 0)}: no mocks")
            elif isinstance(node, ast.Call) and _patches_ours(node, ours):
                problems.append(f"{name}:{node.lineno}: patches hashscan")
    return problems


def _our_imports(tree: ast.Module) -> Iterator[ast.alias]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias for alias in node.names if alias.name.split(".")[0] == "hashscan")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hashscan":
            yield from node.names


def _is_mock_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name in ("mock", "unittest.mock") for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in ("mock", "unittest.mock") or (
            node.module == "unittest" and any(alias.name == "mock" for alias in node.names)
        )
    return False


def _patches_ours(node: ast.Call, ours: set[str]) -> bool:
    if dotted(node.func).rpartition(".")[2] not in ("setattr", "delattr", "setitem") or not node.args:
        return False
    if dotted(node.func) == "setattr" and not isinstance(node.args[0], ast.Name):
        return False
    target = node.args[0]
    if isinstance(target, ast.Constant):
        return str(target.value).split(".")[0] == "hashscan"
    return dotted(target).split(".")[0] in ours


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    problems = word_problems(files())
    assert not problems, "\n".join(["", *problems])
    print(f"{len(files())} files")


def test_no_test_patches_our_own_modules() -> None:
    tests = [(name, text) for name, text in files() if name.startswith("tests/") and name.endswith(".py")]
    assert len(tests) > 5
    problems = patch_problems(tests)
    assert not problems, "\n".join(["", *problems])


@pytest.mark.parametrize("bad", [*_PATHS, *_HOSTS])
def test_control_a_forbidden_word_is_noticed(bad: str) -> None:
    assert word_problems([("README.md", f"fine\nsee {bad}x for more")]) == [f"README.md:2: {bad}"]


@pytest.mark.parametrize("good", ["https://example.org/work/x", "home/root/x", "/usr/share/doc", "homework/", "/srv/tmp/px"])
def test_control_a_harmless_word_is_not(good: str) -> None:
    assert word_problems([("README.md", good)]) == []


@pytest.mark.parametrize(
    "bad",
    [
        "from unittest import mock",
        "from unittest.mock import patch",
        "import unittest.mock",
        "def test_x(mocker): ...",
        "def test_x(monkeypatch):\n    monkeypatch.setattr('hashscan.files.walk', 1)",
        "from hashscan import files\ndef test_x(monkeypatch):\n    monkeypatch.setattr(files.walk, 'scan', 1)",
        "from hashscan.files import walk as w\ndef test_x(monkeypatch):\n    monkeypatch.setattr(w, 'scan', 1)",
        "import hashscan.files\nsetattr(hashscan, 'x', 1)",
    ],
)
def test_control_a_patch_is_noticed(bad: str) -> None:
    assert len(patch_problems([("tests/x.py", bad)])) == 1


@pytest.mark.parametrize(
    "good", ["def test_x(monkeypatch):\n    monkeypatch.setenv('A', 'b')", "import os\nmonkeypatch.setattr(os, 'cpu_count', f)"]
)
def test_control_other_patches_are_not(good: str) -> None:
    assert patch_problems([("tests/x.py", good)]) == []
