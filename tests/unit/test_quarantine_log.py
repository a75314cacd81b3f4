"""The log of the vault: what is written holds, and no change to it goes unnoticed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from hashscan.errors import QuarantineError
from hashscan.ports import LogHead
from hashscan.quarantine.log import MAX_DETAIL_CHARS, MAX_LINE_BYTES, START, Line, Log, What, check, raw_lines, read_line
from hashscan.strict_json import StrictJsonError
from tests.support.children import Stopped, Stopping


def _log(tmp_path: Path, **more: object) -> Log:
    return Log(tmp_path / "log", iter(range(1000, 9000)).__next__, "tester", **more)  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[LogHead]]:
    log = _log(tmp_path)
    heads = [log.append(What.TAKE_INTENT, "ab" * 8), log.append(What.TAKEN, "ab" * 8, "42 bytes"), log.append(What.SHOWN)]
    return log.path, heads


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    log = _log(tmp_path)
    assert log.head() == START
    assert not log.path.exists()
    assert check(raw_lines(log.path), [START]).has == {START: True}


def test_lines_follow_each_other(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    told = check(raw_lines(path), heads)
    assert (told.head, told.broken, told.torn) == (heads[-1], 0, False)
    assert all(told.has.values())
    assert [head.lines for head in heads] == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_process_goes_on_where_the_first_ended(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    log = Log(path, lambda: 5.0, "another")
    assert log.head() == heads[-1]
    assert log.append(What.PURGED, "cd" * 8).lines == 4
    assert not check(raw_lines(path)).broken


def test_every_flipped_bit_is_noticed(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    data = path.read_bytes()
    for at in range(len(data)):
        for bit in range(8):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            told = check(raw_lines(path), heads)
            assert told.broken or told.torn or not told.has[heads[-1]], (at, bit)
            assert told.broken <= data[: at + 1].count(b"\n") + 1


def test_every_truncation_is_noticed_by_a_head_that_was_kept(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert not check(raw_lines(path), heads).has[heads[-1]]
    path.write_bytes(data)
    assert check(raw_lines(path), heads).has[heads[-1]]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (1, 2), (0, 0, 1, 2)])
def test_lines_moved_removed_or_doubled_are_named(written: tuple[Path, list[LogHead]], order: tuple[int, ...]) -> None:
    path, _ = written
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[at] for at in order))
    wrong = next(number for number, at in enumerate(order, 1) if at != number - 1)
    assert check(raw_lines(path)).broken == wrong


def test_a_line_that_was_sealed_again_breaks_the_next(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    lines = path.read_bytes().splitlines(keepends=True)
    first = read_line(lines[0][:-1])
    forged = Line(first.n, first.at, "nobody", first.what, first.case, first.detail, first.prev)
    path.write_bytes(forged.encode() + b"".join(lines[1:]))
    assert check(raw_lines(path)).broken == 2
    path.write_bytes(forged.encode())
    assert not check(raw_lines(path), heads).broken  # a chain of its own: only the kept head tells
    assert not check(raw_lines(path), heads).has[heads[0]]


def test_a_torn_line_is_set_aside_and_said(written: tuple[Path, list[LogHead]]) -> None:
    path, heads = written
    with path.open("ab") as stream:
        stream.write(b'{"actor":"half a li')
    assert check(raw_lines(path)).torn
    log = Log(path, lambda: 9.0, "after the crash")
    assert log.head() == heads[-1]
    assert log.append(What.RECOVERED, "ab" * 8).lines == 5
    assert (path.parent / "log.torn-4").read_bytes() == b'{"actor":"half a li'
    told = check(raw_lines(path), heads)
    assert (told.broken, told.torn, told.head.lines) == (0, False, 5)
    assert json.loads(path.read_bytes().splitlines()[3])["what"] == "torn"


def test_nothing_is_written_after_a_last_line_that_does_not_hold(written: tuple[Path, list[LogHead]]) -> None:
    path, _ = written
    data = path.read_bytes()
    path.write_bytes(data[:-3] + b"x" + data[-2:])
    with pytest.raises(QuarantineError, match="last line"):
        _log(path.parent).append(What.TAKEN)
    path.write_bytes(data + b"x" * (4 * MAX_LINE_BYTES))
    with pytest.raises(QuarantineError, match="does not end"):
        _log(path.parent).append(What.TAKEN)


@pytest.mark.parametrize("detail", ["x" * 100_000, "\x01" * 100_000, "\udcff" * 100_000, "\U0001f600" * 100_000])
def test_details_are_bounded(tmp_path: Path, detail: str) -> None:
    log = _log(tmp_path)
    log.append(What.EXPORTED, "ab" * 8, detail)
    (line,) = raw_lines(log.path)
    assert len(line) <= MAX_LINE_BYTES
    assert len(read_line(line[:-1]).detail) <= MAX_DETAIL_CHARS
    assert not check(raw_lines(log.path)).broken


def test_a_line_of_another_form_is_not_read(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.append(What.TAKEN)
    (line,) = raw_lines(log.path)
    spaced = json.dumps(json.loads(line)).encode()
    with pytest.raises(StrictJsonError, match="not the line"):
        read_line(spaced)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1_000_000)
    assert check(raw_lines(path)).broken == 1
    assert all(len(raw) <= MAX_LINE_BYTES + 2 for raw in raw_lines(path))


def test_killed_at_every_step_the_log_holds(tmp_path: Path) -> None:
    """Each step may be the last one; the next append goes on."""
    for torn in (b"", b'{"half'):
        moment = 0
        while True:
            path = tmp_path / f"{len(torn)}-{moment}" / "log"
            path.parent.mkdir()
            first = Log(path, lambda: 1.0, "a").append(What.TAKEN)
            with path.open("ab") as stream:
                stream.write(torn)
            steps = Stopping(moment)
            try:
                Log(path, lambda: 2.0, "b", steps).append(What.PURGED)
            except Stopped:
                Log(path, lambda: 3.0, "c").append(What.RECOVERED)
            else:
                break
            told = check(raw_lines(path), [first])
            assert (told.broken, told.torn, told.has[first]) == (0, False, True)
            moment += 1
        assert moment >= 2


def test_the_log_is_not_a_link(tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", tmp_path / "log")
    with pytest.raises(OSError, match="symbolic"):
        _log(tmp_path).append(What.TAKEN)
    assert not (tmp_path / "elsewhere").exists()


def test_a_line_is_what_the_format_says(tmp_path: Path) -> None:
    """docs/formats.md, "Log": anybody can check the chain with a JSON parser and BLAKE3."""
    log = Log(tmp_path / "log", lambda: 12.5, "tester \u00e9")
    log.append(What.TAKE_INTENT, "ab" * 8, "a name: \u20ac\n")
    log.append(What.SHOWN)
    prev = "0" * 64
    for raw in log.path.read_bytes().splitlines():
        fields = json.loads(raw)
        told = fields.pop("hash")
        assert fields["prev"] == prev
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        prev = blake3(text.encode(), derive_key_context="hashscan log v1").hexdigest()
        assert told == prev
        assert raw == json.dumps({**fields, "hash": prev}, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    assert fields == {
        "actor": "tester \u00e9",
        "at": 12.5,
        "case": "",
        "detail": "",
        "n": 2,
        "prev": fields["prev"],
        "what": "shown",
    }


WHOLE = Line(2**53, 1.0, "a" * 256, "w" * 32, "c" * 32, "d" * MAX_DETAIL_CHARS, "0" * 64)


def test_a_line_may_be_as_long_as_its_fields_may_be() -> None:
    for line in (WHOLE, replace(WHOLE, n=1, case="", detail="", actor="a", what="w")):
        assert read_line(line.encode()[:-1]) == line


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 2**53 + 1},
        {"actor": "a" * 257},
        {"actor": ""},
        {"what": "w" * 33},
        {"what": ""},
        {"case": "c" * 33},
        {"detail": "d" * (MAX_DETAIL_CHARS + 1)},
        {"prev": "0" * 63},
    ],
)
def test_a_field_that_is_too_long_is_no_line(wrong: dict[str, object]) -> None:
    with pytest.raises(StrictJsonError, match=r"^line: "):
        read_line(replace(WHOLE, **wrong).encode()[:-1])  # type: ignore[arg-type]


def test_a_line_as_long_as_a_line_may_be_is_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (MAX_LINE_BYTES - 1) + b"\n" + b"y" * MAX_LINE_BYTES + b"\n" + b"z" * (MAX_LINE_BYTES + 1) + b"\n")
    assert [len(raw) for raw in raw_lines(path)] == [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + 2, 1]


def _synced_while(work: Callable[[], object]) -> list[str]:
    """The names of what was made durable, in order."""
    found: list[str] = []
    whole = os.fsync

    def fsync(fd: int) -> None:
        found.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        whole(fd)

    os.fsync = fsync
    try:
        work()
    finally:
        os.fsync = whole
    return found


def test_a_new_log_and_each_line_are_durable(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    log = Log(tmp_path / "vault/log", lambda: 1.0, "tester")
    assert _synced_while(lambda: log.append(What.SHOWN)) == ["vault", "log"]
    assert _synced_while(lambda: log.append(What.SHOWN)) == ["log"]


def test_what_is_set_aside_is_durable_before_the_next_line(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    log = Log(tmp_path / "vault/log", lambda: 1.0, "tester")
    log.append(What.SHOWN)
    with log.path.open("ab") as stream:
        stream.write(b"torn")
    synced = _synced_while(lambda: log.append(What.SHOWN, "ab" * 8))
    assert [name for name in synced if not name.startswith(".")] == ["vault", "log", "log", "log"]
    lines = [json.loads(raw) for raw in log.path.read_bytes().splitlines()]
    assert [(line["what"], line["case"]) for line in lines] == [("shown", ""), ("torn", ""), ("shown", "ab" * 8)]


def test_the_end_of_a_long_log_is_what_is_recent(tmp_path: Path) -> None:
    old = b"".join(Line(n, 1.0, "a", "take-intent", f"{n:016x}", "d" * 900, "0" * 64).encode() for n in range(1, 300))
    assert len(old) > 256 << 10
    (tmp_path / "log").write_bytes(old + Line(300, 1.0, "a", "restore-intent", "f" * 16, "", "0" * 64).encode())
    log = _log(tmp_path)
    found = log.unfinished()
    assert found[-1] == "f" * 16
    assert 200 < len(found) < 299
    short = tmp_path / "short"
    short.mkdir()
    (short / "log").write_bytes(Line(1, 1.0, "a", "restore-intent", "f" * 16, "", "0" * 64).encode())
    assert _log(short).unfinished() == ["f" * 16]


def test_a_log_whose_end_is_nothing_but_a_hole_is_not_emptied(written: tuple[Path, list[LogHead]]) -> None:
    """No line that a crash leaves is as long: a disk lost more than that, and what is before the hole must stay."""
    path, _ = written
    data = path.read_bytes() + bytes(2 * MAX_LINE_BYTES)
    for end in (b"\n", b"}\n", b'"}\n{"actor'):
        path.write_bytes(data + end)
        for ask in (_log(path.parent).head, lambda: _log(path.parent).append(What.SHOWN)):
            with pytest.raises(QuarantineError, match=r"does not (end in a line|hold)"):
                ask()
        assert path.read_bytes() == data + end
    assert os.listdir(path.parent) == ["log"]


def test_the_longest_line_and_a_hole_as_long_are_found(tmp_path: Path) -> None:
    """The last whole line may begin where the part that is looked at does."""
    log = _log(tmp_path)
    empty = len(Line(1, 1000.0, "tester", "shown", "", "", "0" * 64).encode())
    wide, narrow = divmod(MAX_LINE_BYTES - empty, 12)
    head = log.append(What.SHOWN, "", "\U0001f600" * wide + "x" * narrow)
    assert log.path.stat().st_size == MAX_LINE_BYTES
    assert log.head() == head
    for hole in (b"\0" * (MAX_LINE_BYTES - 1) + b"\n", b"\0\n", b"\0\n{"):
        with log.path.open("ab") as stream:
            stream.write(hole)
        assert log.head() == head
        os.truncate(log.path, MAX_LINE_BYTES)
    log.append(What.SHOWN, "", "\U0001f600" * wide + "x" * (narrow + 1))
    *_, cut = log.path.read_bytes().splitlines()
    assert json.loads(cut)["detail"] == "\U0001f600" * 500


def test_a_detail_of_escapes_is_cut_to_500_characters(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.append(What.SHOWN, "", "\u20ac" * 2000)
    log.append(What.SHOWN, "", "e" * 2001)
    assert [len(json.loads(raw)["detail"]) for raw in log.path.read_bytes().splitlines()] == [500, 2000]


def test_a_log_that_does_not_hold_says_what_to_do(tmp_path: Path) -> None:
    log = _log(tmp_path)
    log.path.write_bytes(b"x" * 3 * MAX_LINE_BYTES)
    with pytest.raises(QuarantineError, match="does not end in a line") as caught:
        log.append(What.SHOWN)
    assert caught.value.hint == "hashscan audit verify"
    log.path.write_bytes(b"{}\n")
    with pytest.raises(QuarantineError, match=r"the last line of the log .* does not hold") as caught:
        log.append(What.SHOWN)
    assert caught.value.hint == "hashscan audit verify says where it is broken; nothing is done without a log"
