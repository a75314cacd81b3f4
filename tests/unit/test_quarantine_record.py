from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from hashscan.model import CaseState, Place
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.record import (
    LegalHold,
    Line,
    Retention,
)
from tests.support.fuzz_others import RECORD as WHOLE

RECORD = replace(WHOLE, released_to="fedcba9876543210")


def test_round_trip() -> None:
    assert records.decode(records.encode(RECORD)) == RECORD
    without = replace(RECORD, restoring=None)
    assert records.decode(records.encode(without)) == without


def test_only_what_was_written_is_as_it_was_written() -> None:
    """The checksum sees neither white space nor the order of fields."""
    data = records.encode(RECORD)
    assert records.as_written(data) is True
    turned = json.dumps(dict(reversed(json.loads(data).items())), indent=1).encode() + b"\n"
    for other in (turned, data[:-1], data + b" ", json.dumps(json.loads(data), sort_keys=True).encode() + b"\n"):
        assert records.decode(other) == RECORD
        assert records.as_written(other) is False


def test_times_may_be_whole_seconds() -> None:
    """A clock may count so."""
    lines, holds = (Line(CaseState.INTENT, 7, ""),), (LegalHold("h1", "police", "case 7", 7),)
    whole = replace(RECORD, opened=7, history=lines, holds=holds, retention=Retention("nl", 7))
    assert records.decode(records.encode(whole)) == whole


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_have_an_end(sign: int) -> None:
    most = sign * 2**64
    for fits in (replace(RECORD, parent=most), replace(RECORD, opened=float(most))):
        assert records.decode(records.encode(fits)) == fits
    for beyond in (replace(RECORD, parent=most + sign), replace(RECORD, opened=float(most) * 1.01)):
        with pytest.raises(ValueError, match=r"field (parent|opened) is missing or wrong"):
            records.decode(records.encode(beyond))
    for number in ("Infinity", "NaN"):
        with pytest.raises(ValueError, match="field opened is missing or wrong"):
            records.decode(resealed(opened=sign * float(number)))


def test_random_names_round_trip() -> None:
    rng = random.Random(1)
    for _ in range(300):
        name = bytes(rng.choices([byte for byte in range(1, 256) if byte != 0x2F], k=rng.randint(1, 255)))
        record = replace(RECORD, place=Place(b"/srv", name))
        data = records.encode(record)
        assert records.decode(data).place.path == name
        assert data.isascii()
        json.loads(data)["place"]["path"].encode()  # no lone surrogates


def test_every_truncation_is_noticed() -> None:
    data = records.encode(RECORD)
    for length in range(len(data) - 1):  # the last byte is the newline after the document
        with pytest.raises(ValueError, match=r"."):
            records.decode(data[:length])


def test_flipped_bits_are_noticed() -> None:
    data = records.encode(RECORD)
    same = 0
    for index in range(len(data)):
        for bit in (0x01, 0x20):
            flipped = data[:index] + bytes([data[index] ^ bit]) + data[index + 1 :]
            try:
                assert records.decode(flipped) == RECORD  # white space between the fields, or 1e9 for 1E9
            except ValueError:
                continue
            same += 1
    assert same < len(data) // 4


def resealed(**changes: object) -> bytes:
    body = {**records.check(records.encode(RECORD)), **changes}
    return json.dumps({**body, "checksum": records._checksum(body)}).encode()


def test_what_is_resealed_unchanged_is_read() -> None:
    assert records.decode(resealed()) == RECORD


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "hashscan.case/1"},
        {"state": "gone"},
        {"opened": "yesterday"},
        {"parent": True},
        {"place": None},
        {"place": {"root_b64": "*", "path_b64": ""}},
        {"file": {}},
        {"digests": {"crc32": "00"}},
        {"history": [1]},
        {"finding": {}},
        {"restoring": []},
        {"tenant": 1},
        {"stored": {}},
        {"stored": {"form": "gone", "size": 0, "blake3": "", "recipients": []}},
        {"holds": [1]},
        {"retention": {"profile": "nl", "purge_after": "soon"}},
        {"released_to": None},
    ],
    ids=str,
)
def test_a_wrong_field_is_said(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        records.decode(resealed(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b"\xff", b" " * (records.MAX_RECORD_BYTES + 1)])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        records.decode(data)


def test_history_is_bounded() -> None:
    record = RECORD
    for number in range(1100):
        record = record.moved_to(CaseState.DONE, float(number))
    assert len(record.history) == 1000
    assert record.history[-1].at == 1099.0


def test_the_case_that_people_see() -> None:
    case = RECORD.case()
    assert (case.id, case.state, case.place, case.size) == (RECORD.id, CaseState.COPIED, RECORD.place, 3)
    assert (case.entry, case.list_id, case.verdict_id) == ("e-17", "police-nl", "ab" * 32)
