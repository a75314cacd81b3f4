"""What the operator wants left out: patterns in gitignore syntax (gitignore(5)), from configuration and flags only.

An ignore file inside a scanned tree is never read: a tenant would hide with it. A pattern with a slash at its beginning is
about the whole path, any other one about names anywhere below a root. The last pattern that fits decides, ``!`` takes back, and
below a directory that is left out nothing is looked at. A root itself is never left out: what was named is scanned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from blake3 import blake3

from hashscan.errors import UsageError

MAX_BYTES = 1 << 20  # of a file of patterns
MAX_PATTERNS = 10_000
_MAX_NAMES = 1 << 16  # names whose answer is remembered
_WILD = re.compile(r"[*?\[\\]")

Judge = Callable[[str, bool], bool]
"""Whether an entry is left out, by its name and whether it is a directory."""

_Answer = tuple[int, bool]
"""Which pattern decided (-1: none), and what."""


class Excludes:
    """Patterns, ready to be asked. Raises `UsageError` for one that is none, or that would never fit anything."""

    def __init__(self, patterns: Sequence[str]) -> None:
        if len(patterns) > MAX_PATTERNS:
            raise UsageError(f"{len(patterns)} exclude patterns, more than {MAX_PATTERNS}")
        anywhere: list[tuple[int, str]] = []
        anchored: list[tuple[int, str]] = []
        for number, pattern in enumerate(patterns):
            (anchored if _is_anchored(pattern) else anywhere).append((number, pattern))
        self._anywhere, self._anchored = _Spec(anywhere), _Spec(anchored)
        self._prefixes = [_static_part(pattern) for _, pattern in anchored]
        # Where no pattern spans several names, a name is all there is to know: parents were asked before.
        self._by_name: dict[str, _Answer] | None = None if any("/" in one.strip("/!") for _, one in anywhere) else {}
        self.fingerprint = blake3("\n".join(patterns).encode("utf-8", "surrogateescape")).hexdigest()

    def below(self, root: bytes, path: bytes) -> Judge:
        """The judge of the entries of one directory: ``path`` below ``root``."""
        inner = _text(path) + "/" if path else ""
        full = os.path.join(_text(os.path.join(root, path) if path else root).lstrip("/"), "")
        anchored = self._anchored if any(one.startswith(full) or full.startswith(one) for one in self._prefixes) else None

        def left_out(name: str, is_dir: bool) -> bool:  # noqa: FBT001 - `Judge`
            entry = name.replace("\n", "\0") + ("/" if is_dir else "")
            answer = self._name(inner, entry)
            if anchored is not None:
                answer = max(answer, anchored.ask(full + entry))
            return answer[1]

        return left_out

    def names_root(self, root: bytes) -> bool:
        """Whether a pattern about whole paths would leave a root out: two words of the operator that contradict each other."""
        path = _text(root).lstrip("/")
        return bool(path) and (self._anchored.ask(path)[1] or self._anchored.ask(path + "/")[1])

    def _name(self, inner: str, entry: str) -> _Answer:
        if self._by_name is None:
            return self._anywhere.ask(inner + entry)
        answer = self._by_name.get(entry)
        if answer is None:
            if len(self._by_name) >= _MAX_NAMES:
                self._by_name.clear()
            answer = self._by_name[entry] = self._anywhere.ask(entry)
        return answer


class _Spec:
    """Some of the patterns, with their places among all of them."""

    def __init__(self, patterns: Sequence[tuple[int, str]]) -> None:
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - for those who exclude something

        self._numbers = [number for number, _ in patterns]
        for _, pattern in patterns:
            try:
                (made,) = GitIgnoreSpec.from_lines([pattern]).patterns
            except (ValueError, re.error):
                raise UsageError(f"the exclude pattern {pattern!r} is none", hint="see gitignore(5)") from None
            if made.include is None:
                raise UsageError(f"the exclude pattern {pattern!r} fits nothing", hint="see gitignore(5)")
        self._spec = GitIgnoreSpec.from_lines([pattern for _, pattern in patterns])

    def ask(self, path: str) -> _Answer:
        found = self._spec.check_file(path) if self._numbers else None
        if found is None or found.index is None:
            return (-1, False)
        return (self._numbers[found.index], bool(found.include))


def _is_anchored(pattern: str) -> bool:
    """Raises `UsageError` where the answer would surprise: in gitignore(5) a slash in the middle means the beginning, too."""
    bare = pattern.removeprefix("!")
    if bare.startswith("/"):
        return True
    if "/" in bare.rstrip("/") and not bare.startswith("**/"):
        hint = f"write '/{bare}' for the whole path, or '**/{bare}' for anywhere"
        raise UsageError(f"the exclude pattern {pattern!r} has a slash in its middle and none before it", hint=hint)
    return False


def _static_part(pattern: str) -> str:
    """The directories that any path which fits must lie in, as in "home/" of "/home/*/tmp/"."""
    bare = pattern.removeprefix("!").lstrip("/")
    wild = _WILD.search(bare)
    return bare[: bare.rindex("/", 0, wild.start()) + 1 if "/" in bare[: wild.start()] else 0] if wild else bare


def _text(path: bytes) -> str:
    """A path as a pattern is matched with it. A line end in a name must not be the end of a line."""
    return path.decode("utf-8", "surrogateescape").replace("\n", "\0")


def patterns_of(given: Sequence[str], file: Path | None) -> list[str]:
    """All patterns, those of ``file`` first; its empty lines and comments left out. Raises `UsageError`."""
    return [*(_from_file(file) if file is not None else ()), *(one for one in given if one)]


def _from_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the exclude patterns in {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is longer than {MAX_BYTES} bytes")
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [line.rstrip("\r") for line in lines if line.strip() and not line.startswith("#")]
