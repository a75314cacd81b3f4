"""The changes: one thing at a time in the body of a function. Pure, and the same list each time for the same source.

Left out: docstrings, annotations, defaults, decorators, texts of errors (what stands in a `raise`), and what is executed when a
module is imported.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``function`` is its place in the module (``Class.method``), ``lines`` those of the statement around it.

    ``number`` counts the changes of a function from 0. ``key`` names it as long as the source of its function is the same.
    """

    module: str
    function: str
    number: int
    lines: tuple[int, int]
    what: str
    key: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function at the top of a module or of a class, with all that is defined in it."""

    name: str
    node: ast.FunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    """The functions that can be changed, in the order of the source."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield Function(node.name, node)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield Function(f"{node.name}.{inner.name}", inner)


def changes(module: str, source: str) -> list[Change]:
    """All changes of a module; ``module`` is its path below the repository."""
    found = []
    for function in functions(ast.parse(source)):
        text = ast.unparse(function.node)
        for number, (lines, what, _) in enumerate(_edits(function.node)):
            named = "\0".join((module, function.name, text, str(number), what))
            key = hashlib.sha256(named.encode()).hexdigest()[:16]
            found.append(Change(module, function.name, number, lines, what, key))
    return found


def changed(source: str, change: Change | None) -> ast.Module:
    """The module with one change made, or with none: the control."""
    tree = ast.parse(source)
    if change is not None:
        (node,) = [one.node for one in functions(tree) if one.name == change.function]
        for number, (_, what, edit) in enumerate(_edits(node)):
            if number == change.number:
                assert what == change.what, f"{what!r} is not {change.what!r}"
                edit()
    return ast.fix_missing_locations(tree)


_Edit = tuple[tuple[int, int], str, Callable[[], object]]


def _edits(function: ast.FunctionDef) -> list[_Edit]:
    """What can be changed in a function: lines, words, and the act that changes the tree."""
    return list(_Finder().of_body(function))


class _Finder:
    """Walks a function with the statement that it is in."""

    def of_body(self, function: ast.FunctionDef) -> Iterator[_Edit]:
        body = function.body
        docstring = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        for statement in body[1:] if docstring else body:
            yield from self._of_statement(statement)

    def _of_statement(self, node: ast.stmt) -> Iterator[_Edit]:
        if isinstance(node, ast.FunctionDef):
            yield from self.of_body(node)
            return
        lines = _lines(node)
        yield from ((lines, what, edit) for what, edit in _of_this_statement(node))
        said = isinstance(node, ast.Raise)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    yield from self._of_statement(child)
                elif isinstance(child, ast.ExceptHandler | ast.match_case):
                    for statement in child.body:
                        yield from self._of_statement(statement)
                elif isinstance(child, ast.AST):
                    yield from ((lines, what, edit) for what, edit in _of_expression(child, said=said))


def _lines(node: ast.stmt) -> tuple[int, int]:
    """Of a statement that has others in it, only those before them."""
    last = node.end_lineno or node.lineno
    inner = getattr(node, "body", None)
    if isinstance(inner, list) and inner:
        last = max(node.lineno, inner[0].lineno - 1)
    return node.lineno, last


def _of_this_statement(node: ast.stmt) -> Iterator[tuple[str, Callable[[], object]]]:
    words = ast.unparse(node).splitlines()[0]
    match node:
        case ast.Expr(value=ast.Call()):
            yield f"left out: {words}", lambda: _become(node, ast.Pass())
        case ast.Raise():
            yield f"left out: {words}", lambda: _become(node, ast.Pass())
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield f"return nothing: {words}", lambda: setattr(node, "value", ast.Constant(None))
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield f"left out: {words}", lambda: _become(node, ast.Pass())
        case ast.AugAssign(op=op) if type(op) in _COMPUTED:
            yield f"another operator: {words}", lambda: setattr(node, "op", _COMPUTED[type(op)]())
        case ast.Continue():
            yield "break for continue", lambda: _become(node, ast.Break())
        case ast.Break():
            yield "continue for break", lambda: _become(node, ast.Continue())
        case ast.If() | ast.While() if _to_negate(node.test):
            yield f"negated: {ast.unparse(node.test)}", lambda: setattr(node, "test", _negated(node.test))


def _of_expression(node: ast.AST, *, said: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """``said``: in a `raise`, where texts are only said."""
    if isinstance(node, ast.JoinedStr):
        if not said:
            yield f"empty: {ast.unparse(node)}", lambda: _become(node, ast.Constant(""))
        return
    yield from _of_this_expression(node, said=said)
    for child in ast.iter_child_nodes(node):
        yield from _of_expression(child, said=said)


def _of_this_expression(node: ast.AST, *, said: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    words = ast.unparse(node) if isinstance(node, ast.expr) else ""
    match node:
        case ast.Compare(ops=ops):
            for index, op in [(index, op) for index, op in enumerate(ops) if type(op) in _COMPARED]:
                yield f"another comparison ({index + 1}): {words}", _setting(ops, index, _COMPARED[type(op)]())
        case ast.comprehension() | ast.IfExp():
            yield from _of_tests(node)
        case ast.Call():
            yield from _of_call(node)
        case ast.Constant() if not (said and isinstance(node.value, str)):
            other = _other(node.value)
            if other is not None:
                yield f"{other!r} for {words}", lambda: _become(node, ast.Constant(other))
        case ast.expr():
            yield from ((f"{what}: {words}", edit) for what, edit in _of_operator(node))


def _of_tests(node: ast.comprehension | ast.IfExp) -> Iterator[tuple[str, Callable[[], object]]]:
    if isinstance(node, ast.IfExp):
        if _to_negate(node.test):
            yield f"negated: {ast.unparse(node.test)}", lambda: setattr(node, "test", _negated(node.test))
        return
    for index, test in enumerate(node.ifs):
        if _to_negate(test):
            yield f"negated: {ast.unparse(test)}", _setting(node.ifs, index, _negated(test))


def _of_operator(node: ast.expr) -> Iterator[tuple[str, Callable[[], object]]]:
    match node:
        case ast.BoolOp(op=ast.And()):
            yield "or for and", lambda: setattr(node, "op", ast.Or())
        case ast.BoolOp():
            yield "and for or", lambda: setattr(node, "op", ast.And())
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            yield "another operator", lambda: setattr(node, "op", _COMPUTED[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield "without its sign", lambda: _become(node, operand)
        case ast.Yield(value=ast.expr()):
            yield "yield nothing", lambda: setattr(node, "value", None)


def _of_call(node: ast.Call) -> Iterator[tuple[str, Callable[[], object]]]:
    words = ast.unparse(node)
    if len(node.args) > 1 and not isinstance(node.args[-1], ast.Starred):
        yield f"without its last argument: {words}", node.args.pop
    for index, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield f"without {keyword.arg}: {words}", _removing(node.keywords, index)


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"other {value}"
        case bytes():
            return b"other " + value
    return None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _to_negate(test: ast.expr) -> bool:
    """Not where another change does the same: == becomes !=, and `not x` becomes x."""
    order = ast.Lt | ast.LtE | ast.Gt | ast.GtE
    same = isinstance(test, ast.Compare) and len(test.ops) == 1 and not isinstance(test.ops[0], order)
    return not same and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))


def _negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), copy.deepcopy(test))


def _setting(of: list[Any], index: int, value: Any) -> Callable[[], object]:
    return lambda: of.__setitem__(index, value)


def _removing(of: list[Any], index: int) -> Callable[[], object]:
    return lambda: of.pop(index)


def _become(node: ast.AST, other: ast.AST) -> None:
    """Turn a node into another one where it stands."""
    node.__class__ = type(other)
    place = {key: value for key, value in node.__dict__.items() if key.endswith(("lineno", "offset"))}
    node.__dict__ = {**place, **other.__dict__}


def line_of(source: Sequence[str], change: Change) -> str:
    """The first line of the statement that a change is in."""
    return source[change.lines[0] - 1].strip()
