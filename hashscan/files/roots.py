"""Where a scan begins. Each path below overlapping roots is scanned once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hashscan import flow, fsops
from hashscan.errors import IncompleteError, UsageError


@dataclass(frozen=True, slots=True)
class RootFact:
    """A root as configured, where the kernel says it is once links are followed, and the id of its mount (-1: not known)."""

    path: bytes
    real: bytes
    mount: int


def distinct_roots(facts: Iterable[RootFact]) -> list[bytes]:
    """The configured paths without those that the walk of another one reaches; in their order.

    A root below another root on another mount stays: the walk does not cross into it. Links are compared by where they lead.
    """
    listed = list(facts)
    kept: dict[tuple[bytes, int], bytes] = {}
    for fact in sorted(listed, key=lambda one: len(one.real)):
        if not any((above, fact.mount) in kept for above in _with_ancestors(fact.real)):
            kept[fact.real, fact.mount] = fact.path
    chosen = set(kept.values())
    return list(dict.fromkeys(fact.path for fact in listed if fact.path in chosen))


def _with_ancestors(path: bytes) -> Iterable[bytes]:
    yield path
    while path not in (b"/", b""):
        path = os.path.dirname(path)
        yield path


def survey(roots: Sequence[bytes]) -> list[RootFact]:
    """Look where the roots are, without opening what is there.

    Raises `UsageError` (not absolute, does not exist), and `IncompleteError` where there is no /proc to tell them apart by.
    """
    return [_survey_one(root) for root in roots]


def silent(roots: Sequence[bytes], seconds: float) -> list[bytes]:
    """Those of which the filesystem does not even say within ``seconds`` what they are: a mount whose server hangs.

    Who asks waits with them, so they are asked before anybody else asks, by a child. Raises OSError where there can be none.
    """

    def look(number: int) -> None:
        with suppress(OSError):  # that is an answer
            os.stat(roots[number])

    return [roots[number] for number in flow.unanswered(len(roots), look, seconds)]


def _survey_one(path: bytes) -> RootFact:
    if not path.startswith(b"/") or os.path.normpath(path) != path:
        raise UsageError(f"not an absolute, normalised path: {os.fsdecode(path)!r}")
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"no such file or directory: {os.fsdecode(path)!r}") from error
    except OSError:
        return RootFact(path, path, -1)  # it is there; the walk will meet the same error, and count it
    try:
        return RootFact(path, os.readlink(b"/proc/self/fd/%d" % fd), fsops.mount_id(fd))
    except OSError as error:
        raise IncompleteError("/proc is not there: paths cannot be told apart", hint="mount it where hashscan runs") from error
    finally:
        os.close(fd)
