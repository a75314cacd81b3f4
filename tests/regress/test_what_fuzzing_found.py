"""Inputs that `tests/hostile/test_fuzz_parsers.py` made, and what they met: a traceback, or a message without end.

Each is written down in its smallest form.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import FilterError, UsageError
from hashscan.known import bloom, container, delta, envelopes, metadata, published
from hashscan.known.envelopes import SigningKey
from hashscan.quarantine import record_codec
from hashscan.settings import load
from tests.support import fuzz_known, fuzz_others

LONG = "a" * 5000


def refusal(kind: type[Exception], parse: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(kind) as caught:
        parse(*given, **named)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_a_size_section_of_half_a_token() -> None:
    """`delta.make` took it for tokens of eight bytes: TypeError."""
    cut = fuzz_known.checksummed(fuzz_known.SIZED[:-3])
    assert bloom.BLOOM_HEADER.size < len(cut)
    assert "whole tokens" in refusal(FilterError, container.split, memoryview(cut), "it")
    assert "whole tokens" in refusal(FilterError, delta.make, fuzz_known.SIZED, cut)
    assert "whole tokens" in refusal(FilterError, delta.apply, cut, fuzz_known.DELTA)


@pytest.mark.parametrize("start", [b"MC4CAQAwBQYBE2Vw", b"MC4CAQAwBQYDK2Vv"], ids=["nobody knows it", "x448"])
def test_a_private_key_of_another_algorithm(start: bytes) -> None:
    """UnsupportedAlgorithm and InternalError of `cryptography` went through the gate."""
    pem = fuzz_known.SIGNING.to_pem().replace(b"MC4CAQAwBQYDK2Vw", start)
    assert pem != fuzz_known.SIGNING.to_pem()
    assert "not an Ed25519 private key" in refusal(UsageError, SigningKey.from_pem, pem)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0"], ids=str.__len__)
def test_a_time_in_a_record_that_is_none(number: str) -> None:
    """It was accepted, and whoever shows the case would have met it."""
    data = fuzz_others.RECORDS[0].replace(b"1700000000.25", number.encode())
    assert "opened" in refusal(ValueError, record_codec.decode, fuzz_others.checked_sum(data))


@pytest.mark.parametrize("depth", range(900, 1000))
def test_a_record_as_deep_as_the_parser_can_just_read(depth: int) -> None:
    """What `json.loads` could read, `json.dumps` could not write for the checksum: RecursionError."""
    deep = b'{"schema": "hashscan.case/2", "a": ' + b"[" * depth + b"]" * depth + b"}"
    refusal(ValueError, record_codec.decode, deep)


def test_a_long_word_in_a_record() -> None:
    data = fuzz_others.RECORDS[0].replace(b'"copied"', json.dumps(LONG).encode())
    assert "CaseState" in refusal(ValueError, record_codec.decode, fuzz_others.checked_sum(data))


def test_an_envelope_of_a_long_type() -> None:
    data = fuzz_known.SIGNING.seal(b"{}", LONG)
    assert "the envelope holds" in refusal(
        FilterError, envelopes.open_envelope, data, envelopes.VERDICT, fuzz_known.VERDICT_KEYS
    )


@pytest.mark.parametrize("old", [b'"_type":"root"', b'"expires":"20'])
def test_a_root_with_a_long_word(old: bytes) -> None:
    assert old in fuzz_known.ROOT
    refusal(
        UsageError,
        metadata.read_root,
        fuzz_known.ROOT.replace(old, old.rstrip(b'"') + LONG.encode() + b'"' * old.endswith(b'"')),
    )


@pytest.mark.parametrize("custom", [{"kind": "withdrawn", "list": "police", "version": 7, "epoch": 1}, {"kind": 5}, {}])
def test_a_target_of_a_long_name(custom: Any) -> None:
    targets = {**fuzz_known.VERIFIED.targets, "targets": {LONG: {"custom": custom, "length": 1}}}
    refusal(FilterError, published.lists_of, replace(fuzz_known.VERIFIED, targets=targets), b"", fuzz_known.PROVIDER)


@pytest.mark.parametrize(
    "text",
    [
        f"[service]\ndeadline = 1{400 * '0'}",  # OverflowError
        f"[service]\ndeadline = 0x{5000 * 'f'}",
        f"[service]\nurl = 0x{5000 * 'f'}",  # ValueError: Python does not write it in digits
        f"[service]\nurl = [0x{5000 * 'f'}]",
        f"[scan]\nmax_file_size = 0x{5000 * 'f'}",
        f'[scan]\nmax_file_size = "{LONG}"',
        f"[{LONG}]",
        f"[scan]\n{LONG} = 1",
        f"{LONG}",
    ],
    ids=range(9),
)
def test_settings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    refusal(UsageError, load, config=path, environ={})
