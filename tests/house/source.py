"""The house as data: every module of hashscan, parsed, with what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "hashscan"


@dataclass(frozen=True)
class Import:
    """One imported module: ``name`` dotted and absolute, ``line``, and whether it stands inside a function."""

    name: str
    line: int
    inside: bool


@dataclass(frozen=True)
class Module:
    """``name`` is dotted ("hashscan.files.walk"); ``package`` says whether it is an ``__init__``."""

    name: str
    package: bool
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def room(self) -> str:
        """The second part of the name: "files", "model"; "__init__" for the package itself."""
        return [*self.name.split("."), "__init__"][1]

    def imports(self) -> tuple[Import, ...]:
        """Every import statement; ``from a import b`` of ours gives "a.b", of others "a" and "a.b"."""
        return _imports(self)

    def names(self, node: ast.AST) -> Iterator[str]:
        """The modules that one node imports."""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._base(node)
            if base == "hashscan" or base.startswith("hashscan."):
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        up = parts if self.package else parts[:-1]
        up = up[: len(up) - node.level + 1]
        return ".".join([*up, *([node.module] if node.module else [])])


@cache
def _imports(one: Module) -> tuple[Import, ...]:
    inside = {id(child) for node in ast.walk(one.tree) if _is_function(node) for child in ast.walk(node)}
    return tuple(
        Import(name, getattr(node, "lineno", 0), id(node) in inside) for node in ast.walk(one.tree) for name in one.names(node)
    )


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def module(name: str, text: str) -> Module:
    """A module from a snippet, for the positive controls."""
    return Module(name, package=False, text=text)


@cache
def modules() -> tuple[Module, ...]:
    """All modules of hashscan. Never empty."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        package = parts[-1] == "__init__"
        found.append(Module(".".join(parts[:-1] if package else parts), package, path.read_text(encoding="utf-8")))
    assert len(found) > 10, "the house is empty: the checks would look at nothing"
    return tuple(found)


def dotted(node: ast.AST) -> str:
    """ "os.path.join" for such an expression, "" for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""
