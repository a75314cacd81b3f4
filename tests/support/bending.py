"""How valid inputs are bent: bytes, numbers, blocks, and the structure of JSON documents."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from random import Random
from typing import Any

MOST_BYTES = 1 << 17  # of a bent input
_EDGES = tuple(
    dict.fromkeys(
        value
        for power in (0, 7, 8, 15, 16, 24, 31, 32, 40, 48, 53, 62, 63, 64)
        for value in ((1 << power) - 1, 1 << power, (1 << power) + 1)
    )
)
_FLOATS = (0.0, -0.0, 1e-300, 1e-12, 1e-6, 1e-3, 1.0, 2.0, 1e9, 2.5e11, 1e308, float("inf"), float("-inf"), float("nan"))
_BYTES = bytes((0, 1, 9, 10, 13, 32, 34, 35, 44, 45, 46, 47, 48, 57, 58, 61, 91, 92, 93, 123, 125, 127, 128, 192, 239, 255))
_NUMBER = re.compile(rb"[0-9]+")
NUMBER_TEXTS = (
    b"0", b"-0", b"-1", b"1", b"2", b"1.5", b"0.1", b"1e3", b"1E400", b"-1e400", b"1e-400", b"NaN", b"Infinity", b"-Infinity",
    b"00", b"+1", b"0x10", b".5", b"5.", b"1e", b"1_000", b"9" * 20, b"9" * 21, b"9" * 400, b"9" * 5000, b"-" + b"9" * 5000,
    b"0." + b"1" * 400, "\u0661\u0662".encode(), *(b"%d" % edge for edge in _EDGES), *(b"-%d" % edge for edge in _EDGES[:12]),
)  # fmt: skip
_STRINGS = (
    "", " ", "a", "\0", "\n", "\x1b[31m", "\u202e", "\ufeff", "\U0010ffff", "é", "ß", "İ", "\u212a", "\u2028",
    "../../etc/passwd", "/", "a/b", ".", "..", "-", "true", "null", "0", "-1", "1e400", "NaN", "a" * 64, "0" * 64,
    "f" * 64, "A" * 64, "g" * 64, "0" * 63, "a" * 43, "=", "====", "AA==", "AB==", "%00", "{}", "[]", "\x7f", "\x85", "a" * 300,
    "a" * 5000, "\u0663" * 8, "\uff41" * 64,
)  # fmt: skip
_NOT_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xef\xbb\xbf", b"\0", b"\xff\xfe")


class Obj(list[tuple[str, Any]]):
    """A JSON object as its pairs: a key may come twice."""


class Raw(bytes):
    """Stands in the document as it is."""


Tree = Any


def parse(data: bytes) -> Tree | None:
    """The document as a tree, None where it is none."""
    try:
        return json.loads(data, object_pairs_hook=Obj) if data.lstrip()[:1] in (b"{", b"[") else None
    except (ValueError, RecursionError):
        return None


def dump(tree: Tree, text: Callable[[str], bytes]) -> bytes:
    """The bytes of a tree; ``text`` writes a string."""
    if isinstance(tree, Raw):
        return bytes(tree)
    if isinstance(tree, Obj):
        return b"{" + b",".join(text(key) + b":" + dump(value, text) for key, value in tree) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(dump(one, text) for one in tree) + b"]"
    return text(tree) if isinstance(tree, str) else json.dumps(tree).encode()


def _copy(tree: Tree) -> Tree:
    if isinstance(tree, Obj):
        return Obj((key, _copy(value)) for key, value in tree)
    return [_copy(one) for one in tree] if isinstance(tree, list) else tree


def _quoted(string: str) -> bytes:
    return json.dumps(string).encode()


def _bare(string: str) -> bytes:
    return json.dumps(string, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _escaped(string: str) -> bytes:
    return b'"' + b"".join(b"\\u%04x" % ord(one) if ord(one) < 0x10000 else _quoted(one)[1:-1] for one in string) + b'"'


_WRITERS = (_quoted, _quoted, _quoted, _bare, _escaped)


class Bender:
    """Makes inputs from valid ones. ``words`` mean something to the parser."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._seeds = tuple(seeds)
        self._words = tuple(words) or (b"\0", b"\n")
        self._bends = (
            self._flip, self._flip, self._set, self._set, self._word, self._drop, self._repeat, self._insert, self._swap,
            self._cut, self._extend, self._splice, self._integer, self._integer, self._float, self._digits, self._no_utf8,
        )  # fmt: skip
        self._bends_json = (
            self._delete, self._double, self._retype, self._retype, self._rename, self._move, self._nest, self._many,
            self._string, self._string, self._number, self._number, self._add,
        )  # fmt: skip

    @cached_property
    def _trees(self) -> tuple[Tree, ...]:
        return tuple(tree for tree in map(parse, self._seeds) if tree is not None)

    def bend(self, rnd: Random) -> bytes:
        """One seed, bent one to eight times."""
        if self._trees and rnd.random() < 0.7:
            data = self._bend_tree(rnd)
            times = 0 if rnd.random() < 0.8 else 1
        else:
            data = rnd.choice(self._seeds)
            times = _often(rnd)
        for _ in range(times):
            data = rnd.choice(self._bends)(rnd, data)
        return data[:MOST_BYTES]

    def again(self, rnd: Random, data: bytes) -> bytes:
        """``data``, which a fuzzer found, bent once more."""
        tree = parse(data) if self._trees and rnd.random() < 0.5 else None
        if isinstance(tree, list):
            with suppress(RecursionError):  # what can just be parsed cannot be copied and written
                return self._bent(rnd, tree)[:MOST_BYTES]
        return rnd.choice(self._bends)(rnd, data)[:MOST_BYTES]

    # Bytes.

    def _flip(self, rnd: Random, data: bytes) -> bytes:
        if not data:
            return b"\0"
        at = rnd.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rnd.randrange(8)]) + data[at + 1 :]

    def _set(self, rnd: Random, data: bytes) -> bytes:
        at = rnd.randrange(len(data) + 1)
        byte = rnd.choice(_BYTES) if rnd.random() < 0.7 else rnd.randrange(256)
        return data[:at] + bytes([byte]) + data[at + 1 :]

    def _word(self, rnd: Random, data: bytes) -> bytes:
        at = rnd.randrange(len(data) + 1)
        word = rnd.choice(self._words)
        return data[:at] + word + data[at + rnd.choice((0, len(word))) :]

    def _drop(self, rnd: Random, data: bytes) -> bytes:
        start, end = _stretch(rnd, data)
        return data[:start] + data[end:]

    def _repeat(self, rnd: Random, data: bytes) -> bytes:
        start, end = _stretch(rnd, data)
        times = 300 if rnd.random() < 0.02 else rnd.choice((1, 1, 2, 3, 16))
        return data[:end] + data[start:end] * min(times, 1 + 40_000 // max(end - start, 1)) + data[end:]

    def _insert(self, rnd: Random, data: bytes) -> bytes:
        at, size = rnd.randrange(len(data) + 1), rnd.choice((1, 2, 4, 8, 16, 64, 300))
        piece = rnd.randbytes(size) if rnd.random() < 0.5 else bytes([rnd.choice(_BYTES)]) * size
        return data[:at] + piece + data[at:]

    def _swap(self, rnd: Random, data: bytes) -> bytes:
        a, b = _stretch(rnd, data)
        c, d = _stretch(rnd, data)
        if b > c:
            a, b, c, d = c, d, a, b
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:] if b <= c else data[c:d] + data

    def _cut(self, rnd: Random, data: bytes) -> bytes:
        at = rnd.randrange(len(data) + 1) if rnd.random() < 0.6 else max(0, len(data) - rnd.randrange(1, 33))
        return data[:at]

    def _extend(self, rnd: Random, data: bytes) -> bytes:
        size = 70_000 if rnd.random() < 0.02 else rnd.choice((1, 7, 8, 9, 64, 1000))
        return data + rnd.choice(
            (bytes(size), b"\xff" * size, (data * (size // max(len(data), 1) + 1))[:size], rnd.randbytes(9))
        )

    def _splice(self, rnd: Random, data: bytes) -> bytes:
        other = rnd.choice(self._seeds)
        return data[: rnd.randrange(len(data) + 1)] + other[rnd.randrange(len(other) + 1) :]

    def _integer(self, rnd: Random, data: bytes) -> bytes:
        size, order = rnd.choice((1, 2, 4, 8)), rnd.choice(("little", "big"))
        at = rnd.randrange(len(data) + 1) if rnd.random() < 0.5 else rnd.randrange(min(len(data), 96) + 1)
        value = rnd.choice((*_EDGES, len(data), len(data) - at, len(data) + 1))
        if rnd.random() < 0.3:
            value = int.from_bytes(data[at : at + size], order) + rnd.choice((-8, -1, 1, 8))
        return data[:at] + (value & (1 << 8 * size) - 1).to_bytes(size, order) + data[at + size :]

    def _float(self, rnd: Random, data: bytes) -> bytes:
        at = rnd.randrange(min(len(data), 256) + 1)
        return data[:at] + struct.pack("<d", rnd.choice(_FLOATS)) + data[at + 8 :]

    def _digits(self, rnd: Random, data: bytes) -> bytes:
        """A number written in digits becomes another one."""
        found = [match.span() for match in _NUMBER.finditer(data[:8192])]
        if not found:
            return data + rnd.choice(NUMBER_TEXTS)
        start, end = rnd.choice(found)
        return data[:start] + rnd.choice(NUMBER_TEXTS) + data[end:]

    def _no_utf8(self, rnd: Random, data: bytes) -> bytes:
        at = rnd.randrange(len(data) + 1)
        return data[:at] + rnd.choice(_NOT_UTF8) + data[at:]

    # JSON.

    def _bend_tree(self, rnd: Random) -> bytes:
        return self._bent(rnd, _copy(rnd.choice(self._trees)))

    def _bent(self, rnd: Random, tree: list[Any]) -> bytes:
        for _ in range(_often(rnd)):
            rnd.choice(self._bends_json)(rnd, tree)
        return dump(tree, rnd.choice(_WRITERS))

    def _delete(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if holder:
            del holder[at]

    def _double(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if holder:
            holder.insert(rnd.randrange(len(holder) + 1), _copy(holder[at]))
            if rnd.random() < 0.5:
                _put(holder, at, self._any(rnd))

    def _retype(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if holder:
            _put(holder, at, self._any(rnd))

    def _any(self, rnd: Random) -> Tree:
        kind = rnd.randrange(8)
        if kind == 0:
            return Raw(rnd.choice(NUMBER_TEXTS))
        if kind == 1:
            return rnd.choice(_STRINGS)
        if kind == 2:
            return Raw(rnd.choice((b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b'[""]', b"[null]", b'{"":""}', b"[0]")))
        if kind == 3 and rnd.random() < 0.2:
            return Raw(b"".join((b'{"a":' if rnd.random() < 0.3 else b"[") for _ in range(rnd.choice((15, 17, 500, 2000)))))
        holder, at = _somewhere(rnd, rnd.choice(self._trees))
        return _copy(_get(holder, at)) if holder else None

    def _rename(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if isinstance(holder, Obj) and holder:
            other, place = _somewhere(rnd, rnd.choice(self._trees))
            key = other[place][0] if isinstance(other, Obj) and rnd.random() < 0.5 else rnd.choice(_STRINGS)
            holder[at] = (key, holder[at][1])

    def _move(self, rnd: Random, tree: list[Any]) -> None:
        a, i = _somewhere(rnd, tree)
        b, j = _somewhere(rnd, tree)
        if a and b:
            one, other = _copy(_get(a, i)), _copy(_get(b, j))
            _put(a, i, other)
            if j < len(b):
                _put(b, j, one)

    def _nest(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if holder:
            depth = rnd.choice((900, 1100, 5000, 60_000) if rnd.random() < 0.1 else (1, 2, 8, 14, 15, 16, 17, 30))
            inner = dump(_get(holder, at), _quoted)
            opening, closing = rnd.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")))
            _put(holder, at, Raw(opening * depth + inner + closing * depth))

    def _many(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree)
        if holder and len(holder) < 1000:
            often = rnd.choice((33, 65, 101, 129, 600) if rnd.random() < 0.3 else (2, 4, 9))
            times = min(often, 2 + MOST_BYTES // len(dump(_get(holder, at), _quoted)))
            if isinstance(holder, Obj):
                key, value = holder[at]
                holder += [(f"{key}{number}", value) for number in range(min(times, 150))]
            else:
                holder += [_copy(holder[at]) for _ in range(times)]

    def _string(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree, str)
        if not holder:
            return
        string = _get(holder, at)
        if isinstance(string, str) and rnd.random() < 0.7:
            place = rnd.randrange(len(string) + 1)
            piece = rnd.choice(_STRINGS) if rnd.random() < 0.6 else chr(rnd.randrange(0x20, 0x3000))
            string = string[:place] + piece + string[place + rnd.choice((0, len(piece), 1000)) :]
            if rnd.random() < 0.1:
                string += rnd.choice(("\ud800", "\udfff", "\ud83d"))
            _put(holder, at, string)
        else:
            _put(holder, at, rnd.choice(_STRINGS))

    def _number(self, rnd: Random, tree: list[Any]) -> None:
        holder, at = _somewhere(rnd, tree, int, float)
        if holder:
            now = _get(holder, at)
            near = isinstance(now, int | float) and rnd.random() < 0.4
            _put(holder, at, now + rnd.choice((-1, 1, 0.5, -0.25)) if near else Raw(rnd.choice(NUMBER_TEXTS)))

    def _add(self, rnd: Random, tree: list[Any]) -> None:
        holder, _ = _somewhere(rnd, tree)
        if isinstance(holder, Obj):
            holder.append((rnd.choice(_STRINGS), self._any(rnd)))
        elif holder is not None:
            holder.append(self._any(rnd))


def _often(rnd: Random) -> int:
    times = 1
    while times < 8 and rnd.random() < 0.35:
        times += 1
    return times


def _stretch(rnd: Random, data: bytes) -> tuple[int, int]:
    start = rnd.randrange(len(data) + 1)
    return start, min(len(data), start + rnd.choice((1, 1, 2, 4, 8, 16, 32, 64, 500)))


def _get(holder: list[Any], at: int) -> Tree:
    return holder[at][1] if isinstance(holder, Obj) else holder[at]


def _put(holder: list[Any], at: int, value: Tree) -> None:
    holder[at] = (holder[at][0], value) if isinstance(holder, Obj) else value


def _somewhere(rnd: Random, tree: list[Any], *kinds: type) -> tuple[list[Any] | None, int]:
    """A container and an index in it, at any depth; of ``kinds`` if the first few attempts meet one."""
    holder: list[Any] | None = None
    at = 0
    for _ in range(6 if kinds else 1):
        holder, at = _walk(rnd, tree)
        if holder is None or not kinds or isinstance(_get(holder, at), kinds):
            break
    return holder, at


def _walk(rnd: Random, tree: list[Any]) -> tuple[list[Any] | None, int]:
    holder = tree
    if not holder:
        return None, 0
    while True:
        at = rnd.randrange(len(holder))
        inner = _get(holder, at)
        if not isinstance(inner, list) or not inner or rnd.random() < 0.25:
            return holder, at
        holder = inner
