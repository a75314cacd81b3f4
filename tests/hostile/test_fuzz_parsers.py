"""Everything that reads what others wrote, read again and again with what nobody should write.

At HASHSCAN_BUDGET=1 a parser gets some two thousand inputs. Each is either refused with the errors that the parser promises, in
a message of bounded length, or it means what was written; in bounded time and memory. The counts are printed.
`tests/fuzz/fuzz_parsers.py` runs the same targets guided by coverage.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hashscan.errors import FilterError, UsageError
from hashscan.known import delta, envelopes
from hashscan.quarantine import log
from hashscan.strict_json import StrictJsonError
from tests.house.source import REPOSITORY
from tests.support import fuzz_known, fuzz_others
from tests.support.budget import attempts
from tests.support.fuzzing import Target, Told, fuzz, judge

pytestmark = pytest.mark.slow

USUAL = 2000
LOOKED_AT = "import sys; from tests.hostile import test_fuzz_parsers as t; print(t.fingerprint(sys.argv[1]))"


def every_target() -> dict[str, Target]:
    found = [*fuzz_known.targets(), *fuzz_others.targets()]
    assert len({target.name for target in found}) == len(found)
    return {target.name: target for target in found}


TARGETS = every_target()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_bent_is_read_as_it_is(name: str) -> None:
    """Every seed is accepted and means what it says: otherwise the fuzzer would look at one refusal only."""
    target = TARGETS[name]
    for number in range(len(target.seeds)):
        told = Told(name)
        assert judge(target, target.input(1, number), told) == ""
        assert told.accepted == 1, f"seed {number}: {told.refused}"


@pytest.mark.parametrize("name", TARGETS)
def test_parser(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = TARGETS[name]
    told = fuzz(target, attempts(round(USUAL * target.share)))
    with capsys.disabled():
        print(f"\n{Told.HEAD}\n{told}" if name == next(iter(TARGETS)) else told)
    assert not told.failures, "\n".join(["", *map(str, told.failures)])
    assert told.runs == told.accepted + told.refused.total()
    assert told.accepted >= len(target.seeds)
    if target.refusals and not name.startswith("service.importers, shape"):  # there a bad line is a value
        assert told.refused.total() > told.runs / 20, "what is bent is hardly noticed"


def fingerprint(name: str) -> str:
    target = TARGETS[name]
    inputs = (target.input(7, number) for number in range(100))
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in inputs)).hexdigest()


@pytest.mark.parametrize("name", ["proof.verify: timestamp, signed", "settings: config.toml"])
def test_the_same_inputs_in_another_process(name: str) -> None:
    """So that a failure can be replayed from what is printed."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_AT, name], cwd=REPOSITORY, capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.strip() == fingerprint(name)


# Controls: parsers with one mistake each.


def trusts_the_length(data: bytes) -> bytes:
    """Makes room before it looks."""
    if len(data) < 36 or data[:8] != delta.MAGIC:
        raise FilterError("no delta")
    _, *lengths = struct.unpack_from("<8sIQQQ", data)
    return bytes(bytearray(lengths[1]))


def goes_past_the_end(data: bytes) -> int:
    """Toggles bits without asking whether they are there."""
    bits = bytearray(100)
    for position in data:
        bits[position >> 1] ^= 1
    return len(bits)


def recurses(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise StrictJsonError("no") from None


def believes_the_hash(data: bytes) -> log.Line:
    try:
        found = json.loads(data)
        found.pop("hash")
        return log.Line(**found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise StrictJsonError("no") from None


def believes_any_signature(data: bytes) -> envelopes.Opened:
    try:
        payload = envelopes.Envelope.from_dict(json.loads(data)).payload
    except Exception:
        raise FilterError("no") from None
    return envelopes.Opened(payload, fuzz_known.VERDICT_KEYS)


def takes_its_time(data: bytes) -> int:
    end = time.thread_time() + (0.08 if len(data) > 60_000 else 0.0)
    while time.thread_time() < end:
        pass
    return 0


def never_ends(data: bytes) -> int:
    while data and data[0] == 0xFF:
        pass
    return 0


def takes_much_memory(data: bytes) -> int:
    return len(bytes(8 << 20)) if len(data) % 2 else 0


KEPT: list[bytearray] = []


def never_forgets(data: bytes) -> int:
    KEPT.append(bytearray(b"x") * 60_000)
    return 0


def repeats_the_code(data: bytes) -> str:
    raise UsageError(f"this is no code: {data[:100]!r}")


def speaks_at_length(data: bytes) -> str:
    raise UsageError(f"this is no code: {data.hex()}")


def control(like: str, parse: Callable[[bytes], Any], holds: Callable[[bytes, Any], str] | None = None, **more: Any) -> Target:
    target = TARGETS[like]
    return replace(target, parse=parse, holds=holds or target.holds, **more)


def fine(data: bytes, value: Any) -> str:
    return ""


PLANTED = [
    (control("delta.apply", trusts_the_length, fine), "MemoryError"),
    (control("sizes", goes_past_the_end, fine), "IndexError"),
    (control("strict_json.parse_object", recurses, fine), "RecursionError"),
    (control("strict_json.parse_object", recurses), "deeper|longer|ValueError|another document"),
    (control("quarantine.log.read_line", believes_the_hash), "not the line that was written|Error"),
    (control("envelopes.open_envelope", believes_any_signature), "nobody signed"),
    (control("hash_list.read_list", takes_its_time, fine), "it takes"),
    (control("sizes", never_ends, fine, patience=0.3), "no end"),
    (control("sizes", takes_much_memory, fine), "bytes were allocated"),
    (control("sizes", never_forgets, fine), "grew by"),
    (control("codes.read_code", repeats_the_code), "repeats"),
    (control("codes.read_code", speaks_at_length), "a message of"),
]


@pytest.mark.parametrize(("target", "what"), PLANTED, ids=[target.parse.__name__ for target, _ in PLANTED])
def test_control_a_mistake_is_found(target: Target, what: str) -> None:
    told = fuzz(target, 1500, most=1)
    KEPT.clear()
    assert len(told.failures) == 1
    failure = told.failures[0]
    assert any(one in failure.what for one in what.split("|")), failure.what
    assert failure.data in (b"", target.input(failure.seed, failure.number)), "it can be replayed"
    assert "replay: seed 1" in str(failure)
