"""What is fuzzed besides the signed documents: hash lists, the vault's papers, requests, settings, rows of the cache."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from hashscan.central import wire
from hashscan.central.retry import MAX_RETRY_AFTER, retry_after
from hashscan.errors import UsageError
from hashscan.files import checkpoint, rows
from hashscan.known import selftest
from hashscan.known.exact import ExactSieve, load_local_list
from hashscan.known.hash_list import BadLine, ParsedDigest, parse_line, read_list
from hashscan.model import Act, Action, Algorithm, CaseState, Dispute, ListRef, Outcome, Place, Sifted
from hashscan.ports import Backlog, LogHead, Question
from hashscan.quarantine import log, record_codec
from hashscan.quarantine.record import (
    FileFacts,
    Form,
    HoldingPlace,
    LegalHold,
    Proof,
    Record,
    Restoring,
    Retention,
    Stored,
    describe,
)
from hashscan.quarantine.record import Line as HistoryLine
from hashscan.service import parsing
from hashscan.service.disputing.complaints import Complaint
from hashscan.service.importers.formats import choose
from hashscan.service.importers.port import MAX_CATEGORY, Shape
from hashscan.service.merging import Row
from hashscan.settings import Settings, load
from hashscan.strict_json import StrictJsonError, parse_object
from hashscan.units import MAX_DURATION, parse_duration, parse_size
from tests.support import fuzz_lists, nouns
from tests.support.fuzz_known import as_file, problem, same
from tests.support.fuzzing import Target

NEVER: tuple[type[Exception], ...] = ()

# JSON.

DOCUMENT = b'{"a": [1, 2.5, {"b": null, "c": "\\u00e9\\n"}], "d": {"e": {"f": {"g": true}}}, "h": -7, "i": "", "j": [[[[]]]]}'


def document_holds(data: bytes, found: dict[str, Any]) -> str:
    again = json.dumps(found, allow_nan=False).encode()
    return problem(
        (len(data) <= 4096, "longer than allowed"),
        (_depth(found) <= 16, "deeper than allowed"),
        (parse_object(again, max_bytes=1 << 20) == found, "another document when written again"),
    )


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


# Hash lists.

DIGESTS = {algorithm: selftest.digest(algorithm, b"harmless").hex().encode() for algorithm in Algorithm}
MD5, SHA1, SHA256, BLAKE3 = (DIGESTS[algorithm] for algorithm in Algorithm)
LISTS = [
    b"\n".join((b"# a comment", MD5, SHA1.upper(), SHA256 + b"  a.jpg", BLAKE3 + b" *b.jpg", b"")),
    b"\\" + MD5 + b"  a\\nb\r\n\xef\xbb\xbf\n" + SHA1 + b"\ta\xff.jpg\n",
    b"MD5 (a.jpg) = " + MD5 + b"\nSHA256 (b) = " + SHA256 + b"\nSHA1(c)= " + SHA1 + b"\nBLAKE3 (d) = " + BLAKE3 + b"\n",
    b"SHA2-256(a (b) = c)= " + SHA256 + b"\n",
    b"\xef\xbb\xbf" + MD5,
]
LIST_WORDS = (*DIGESTS.values(), b" (", b") = ", b"MD5", b"SHA512", b"\\", b"#", b"\0", b"\r", b"\x0b", b"*", b"\t", MD5[:-1])
Parsed = list[tuple[int, ParsedDigest | BadLine]]


def read_all(data: bytes) -> Parsed:
    return [
        *read_list(io.BytesIO(data)),
        *read_list(io.BytesIO(data), default64=Algorithm.BLAKE3, max_line_bytes=128),
    ]


def list_holds(data: bytes, found: Parsed) -> str:
    good = [one for _, one in found if isinstance(one, ParsedDigest)]
    bad = [str(one) for _, one in found if isinstance(one, BadLine)]
    lowered = data.lower()
    some = good[:: 1 + len(good) // 50]
    return problem(
        (all(0 < number <= data.count(b"\n") + 1 for number, _ in found), "a line that is not there"),
        (all({len(one.digest)} == {each.digest_size for each in one.algorithms} for one in good), "a digest of another length"),
        (all(one.digest.hex().encode() in lowered for one in some), "a digest that does not stand there"),
        (all(_same_again(one) for one in good), "another digest when read again"),
        (all(len(one) < 200 and one.isprintable() for one in bad), "a message that repeats its line"),
    )


def _same_again(one: ParsedDigest) -> bool:
    again = parse_line(one.digest.hex().encode())
    return again is not None and again.digest == one.digest and set(one.algorithms) <= set(again.algorithms)


def sieve_holds(data: bytes, sieve: ExactSieve) -> str:
    lines = data.count(b"\n") + 1
    return problem(
        (0 < len(sieve) <= 2 * lines, "more digests than lines"),
        (0 < len(sieve.algorithms) <= len(Algorithm), "no algorithm"),
        (sieve.survivors([tuple(bytes(a.digest_size) for a in sieve.algorithms)]) in ([], [0]), "it cannot be asked"),
    )


def whole_digest(data: bytes) -> bytes:
    return SHA1 if SHA1 in data else b""


CSV_LISTS = [
    b"md5,sha1,size,category,act\n" + MD5 + b"," + SHA1 + b",100,a,quarantine\n" + MD5 + b",,,,\n",
    b'SHA256;"size";Category;x\r\n' + SHA256 + b';7;"a;""b""";y\r\n# no comment here\r\n',
    b"# made by hand\nblake3\tact\n" + BLAKE3 + b"\tREPORT\n",
    LISTS[0],
    LISTS[2],
]
CSV_WORDS = (*DIGESTS.values(), b'"', b'""', b",", b";", b"\t", b"\r", b"md5", b"act", b"\0", "²".encode(), b"-1", b"9" * 19)
SHAPES = (
    (Shape(), CSV_LISTS),
    (Shape(format="csv"), CSV_LISTS[:3]),
    (Shape(format="plain", algorithm=Algorithm.SHA256), LISTS),
    (Shape(columns={"md5": "sha1", "sha1": "md5"}), CSV_LISTS[:1]),
)
Rows = list[tuple[int, Row | BadLine]]


def rows_of(data: bytes, shape: Shape) -> Rows:
    stream = io.BufferedReader(io.BytesIO(data))
    return list(choose(stream, shape).read(stream, shape))


def rows_hold(data: bytes, found: Rows) -> str:
    good = [one for _, one in found if isinstance(one, Row)]
    bad = [str(one) for _, one in found if isinstance(one, BadLine)]
    lowered, some = data.lower(), good[:: 1 + len(good) // 50]
    return problem(
        (all(one.digests for one in good), "a row without a digest"),
        (all(len(d) == a.digest_size for one in good for a, d in one.digests.items()), "a digest of another length"),
        (all(d.hex().encode() in lowered for one in some for d in one.digests.values()), "a digest that does not stand there"),
        (all(one.size is None or 0 <= one.size < 10**18 for one in good), "a size out of bounds"),
        (all(0 < len(one.category) <= MAX_CATEGORY and one.category.isprintable() for one in good), "a category"),
        (all(isinstance(one.act, Act) for one in good), "an act"),
        (all(len(one) < 300 and one.replace("\t", " ").isprintable() for one in bad), "a message that repeats its line"),
    )


# The vault.

LOG_LINE = log.Line(1, 1_790_000_000.5, "root", "taken", "0123456789abcdef", "42 bytes", log.START.hash)
LOG_LINES = [LOG_LINE, replace(LOG_LINE, n=2, what="shown", prev=LOG_LINE.hash)]
LOG_LINES.append(replace(LOG_LINE, n=3, at=0.0, case="", detail="a \\u00e9", prev=LOG_LINES[1].hash))
LOG = b"".join(line.encode() for line in LOG_LINES)


def rehashed(data: bytes) -> bytes:
    """A line whose hash is right again, where there is anything to hash."""
    try:
        fields = json.loads(data)
        fields.pop("hash", None)
        body = log._canonical(fields)
        return log._canonical({**fields, "hash": blake3(body, derive_key_context=log._CONTEXT).hexdigest()})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


def line_holds(data: bytes, line: log.Line) -> str:
    return problem(
        (line.encode() == data + b"\n", "not the line that was written"),
        (len(line.detail) <= log.MAX_DETAIL_CHARS and 0 < line.n <= 1 << 53, "out of bounds"),
    )


def check_log(data: bytes) -> log.Checked:
    return log.check(io.BytesIO(data), [line.head for line in LOG_LINES])


def log_holds(data: bytes, told: log.Checked) -> str:
    """Without the last hash being known, a log can be cut and nothing else: what holds is a beginning of the true one."""
    kept = b"".join(line.encode() for line in LOG_LINES[: told.head.lines])
    return problem(
        (data.startswith(kept), "a line holds that was never written"),
        (told.broken > 0 or told.torn or data == kept, "something else holds"),
        (told.head == ([log.START] + [line.head for line in LOG_LINES])[told.head.lines], "another head"),
        (all(held == (head.lines <= told.head.lines) for head, held in told.has.items()), "heads"),
        (len(told.problem) < 300, "a long message"),
    )


RECORD = Record(
    id="0123456789abcdef",
    state=CaseState.COPIED,
    opened=1_700_000_000.25,
    reason="",
    trigger="test",
    place=Place(b"/srv", nouns.HOSTILE),
    parent=7,
    file=FileFacts(1, 2, 3, 0o644, 1001, 1002, 1, -5, 10**18, 6, {b"user.\xff": b"\x00"}, xattrs_complete=True),
    digests={Algorithm.SHA1: nouns.SHA1},
    finding=describe(replace(nouns.finding(), envelope=b"\x00signed")),
    holding=HoldingPlace(b"/mnt/\xfe", 1, 2, 3),
    history=(HistoryLine(CaseState.INTENT, 1.0, ""), HistoryLine(CaseState.COPIED, 2.0, "x")),
    restoring=Restoring(Place(b"/to", b"n"), 9, b".t"),
    tenant="alice",
    stored=Stored(Form.SEALED, 1234, "ab" * 32, ("age1xyz",)),
    holds=(LegalHold("h1", "police", "case 7", 3.5),),
    retention=Retention("nl", 2_000_000_000.0),
    proof=Proof("cd" * 32, "acme", "ef" * 32),
)
RECORDS = [record_codec.encode(RECORD), record_codec.encode(replace(RECORD, restoring=None, proof=None, history=()))]


def checked_sum(data: bytes) -> bytes:
    """A record whose checksum is right again."""
    try:
        body = json.loads(data)
        body.pop("checksum", None)
        return json.dumps({**body, "checksum": record_codec._checksum(body)}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


def record_holds(data: bytes, record: Record) -> str:
    again = record_codec.encode(record)
    times = [record.opened, *(line.at for line in record.history), *(hold.at for hold in record.holds)]
    return problem(
        (record_codec.decode(again) == record, "another record when written again"),
        (record_codec.as_written(again), "not written as it is written"),
        (all(map(math.isfinite, times)), "a time that is none"),
        (isinstance(record.case().entry, str) and record.owner != "", "it cannot be shown"),
    )


# Requests.

QUESTION = wire.encode_question(
    Question(ListRef("police", 7, 1), "n" * 43, (({Algorithm.SHA1: "12345678", Algorithm.MD5: "00000000"}, 5),) * 2)
)
OUTCOMES = wire.encode_outcomes(
    [Outcome(f"o-{n}", "e_1", "police", "ab" * 32, action, 1.5, 2.0) for n, action in enumerate(Action)],
    LogHead(3, "cd" * 32),
    Backlog(2, 1.5),
)
COMPLAINT = wire.encode_dispute(Dispute("q_" + "1" * 20, "police", "e_1", "our own logo"))


def question_holds(data: bytes, asked: parsing.Asked) -> str:
    prefixes = [prefix for item in asked.items for prefix in item.prefixes.values()]
    return problem(
        (0 < len(asked.items) <= 100 and len({item.i for item in asked.items}) == len(asked.items), "items"),
        (all(0 <= item.i <= parsing.MAX_I and item.prefixes for item in asked.items), "an item"),
        (all(0 <= prefix < 1 << 32 for prefix in prefixes), "a prefix out of bounds"),
        (len(asked.nonce) == 43 and asked.nonce.isascii(), "a nonce"),
        (0 < len(asked.list.id) <= 64 and asked.list.version >= 1 <= asked.list.epoch, "a list"),
    )


def outcomes_hold(data: bytes, told: parsing.Report) -> str:
    found = told.outcomes
    again = wire.encode_outcomes(found, told.head, told.backlog)
    return problem(
        (len(found) <= 100 and (bool(found) or told.backlog is not None), "their number"),
        (parsing.parse_outcomes(again) == told, "others when written again"),
        (all(math.isfinite(one.first_seen) and math.isfinite(one.acted_at) for one in found), "a time that is none"),
    )


def complaint_holds(data: bytes, said: Complaint) -> str:
    again = wire.encode_dispute(Dispute(said.key, said.list_id, said.entry, said.reason))
    return problem(
        (parsing.parse_complaint(again) == said, "another when written again"),
        (said.reason.isprintable() and 0 < len(said.reason) <= 1000, "a reason"),
    )


NOW = 1_790_000_000.0
RETRIES = [
    b"120",
    format_datetime(datetime.fromtimestamp(NOW + 60, UTC), usegmt=True).encode(),
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Mon, 21 Sep 2026 14:14:20 -0130 (a comment)",
]
RETRY_WORDS = (
    b"GMT",
    b"-2400",
    b"+9999",
    b"+99999999",
    b":",
    b"(",
    b")",
    b",",
    b"0000",
    b"9999",
    b"Dec",
    b"60",
    b"-",
    b"am",
    b".",
)


def wait_holds(data: bytes, wait: float | None) -> str:
    return problem((wait is None or 0.0 <= wait <= MAX_RETRY_AFTER, "a wait out of bounds"))


# Settings.

CONFIG = b"""[service]
url = "https://hashscan.example.org"
provider = 'acme'
deadline = "60s"
[lists]
max_age = "7d"
md5_is_enough = ["a", "b"]
[scan]
jobs = 2
max_file_size = "1.5 GiB"
[quarantine]
enabled = false
vault = "vault"
per_run = 100
[tenants]
rules = ["/srv/www/{tenant}.example.org/"]
[cache]
max_size = 2147483648
reread = 0x80
"""
TOML_WORDS = (
    b"nan", b"inf", b"-inf", b"true", b"[[", b"]]", b'"""', b"'''", b"{a = 1}", b"1979-05-27T07:32:00Z", b"07:32:00", b"1_000",
    b"0x", b"\\u0000", b"\\U0010FFFF", b"\\uD800", b"-1", b"1e400", b"9" * 5000, b'"1T"', b'"100w"', b'"9e9"', b".", b"#",
    b"[service]\n", b"a.b.c = 1\n", b"api_key_file = ",
)  # fmt: skip


def read_config(path: Path) -> Settings:
    return load(config=path, environ={})


def settings_hold(data: bytes, found: Settings) -> str:
    sections = [getattr(found, one.name) for one in fields_of(Settings) if one.name not in ("origins", "part")]
    values = [(each, getattr(one, each.name)) for one in sections for each in fields_of(one)]
    numbers = [value for _, value in values if isinstance(value, int | float)]
    texts = [value for _, value in values if isinstance(value, str)]
    return problem(
        (all(type(value) is type(each.default) for each, value in values), "a value of another type"),
        (all(0 <= number < math.inf for number in numbers), "a number that is negative or none"),
        (all("\0" not in text for text in texts), "a text with NUL"),
        (
            set(found.origins) <= {f"{one.name}.{each}" for one in fields_of(Settings) for each in _names(found, one.name)},
            "origins",
        ),
    )


def _names(found: Settings, section: str) -> Iterable[str]:
    return [] if section in ("origins", "part") else [one.name for one in fields_of(getattr(found, section))]


def from_environment(data: bytes) -> Settings:
    """One variable a line; what the kernel would not take is left out."""
    lines = data.decode("utf-8", "surrogateescape").replace("\0", "").splitlines()
    return load(config=None, environ=dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("=")))


ENVIRONMENT = (
    b"HASHSCAN_SERVICE_URL=https://x\nHASHSCAN_SCAN_JOBS=2\nHASHSCAN_LISTS_MAX_AGE=7d\nHASHSCAN_CACHE_ENABLED=no\nHOME=/\n"
)


def as_text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def below(most: float) -> Callable[[bytes, float], str]:
    return lambda _, value: problem((0 <= value <= most, "out of bounds"))


# Rows of the digest cache, and what is left of a scan.


def cache_rows() -> list[bytes]:
    block = rows.IDENTITY.pack(5, 100, 1, 2) + rows.IDENTITY.pack(6, 200, -3, 4)
    columns = {Algorithm.MD5: bytes(range(32)), Algorithm.SHA1: bytes(20) + bytes(range(20))}
    full = rows.Row(rows.Key(1, 2, 0), 3, (b"/srv", b"www"), block, columns)
    return [full.encode(), rows.Row(rows.Key(1, 2, 0), 9, (b"/", b""), b"", {}).encode()]


def row_checked(data: bytes) -> bytes:
    return xxh3_64_intdigest(data[8:], rows._SEED).to_bytes(8, "little") + data[8:]


def row_holds(data: bytes, row: rows.Row | None) -> str:
    if row is None:
        return ""
    columns = row.columns
    return problem(
        (len(row.block) == len(row) * rows.IDENTITY.size, "half a file"),
        (all(len(column) == len(row) * algorithm.digest_size for algorithm, column in columns.items()), "half a digest"),
        (len(row.rows(tuple(columns))) == (len(row) if columns else 0), "it cannot be asked"),
        (row.root + row.path + row.block + b"".join(columns.values()) == data[rows._HEAD.size :], "parts that overlap"),
    )


def saved_scan() -> bytes:
    frames = ((1, 0, b"a", 0, 9, b"b\0c"), (0, -1, b"", 0, 0, b"\x00\x00"))
    totals = Sifted(directories=3, seen=9, errors={"EACCES": 1})
    return checkpoint.encode(checkpoint.Saved((b"/srv", b"/home"), "ab" * 32, 5.0, totals, (frames, ())))


def checkpoint_checked(data: bytes) -> bytes:
    return data[:-32] + blake3(data[:-32]).digest()


def checkpoint_holds(data: bytes, saved: checkpoint.Saved) -> str:
    return same(checkpoint.decode(checkpoint.encode(saved)), saved)


def targets() -> list[Target]:
    strict, usage = (StrictJsonError,), (UsageError,)
    numbers = (b"0", b"NaN", b"-Infinity", b"1e400", b"9" * 21, b"\\ud800", b"\\u0000")
    return [
        Target(
            "strict_json.parse_object",
            [DOCUMENT],
            lambda d: parse_object(d, max_bytes=4096),
            strict,
            document_holds,
            words=numbers,
        ),
        Target("hash_list.read_list", LISTS, read_all, NEVER, list_holds, words=LIST_WORDS),
        Target(
            "exact.load_local_list",
            [LISTS[0], LISTS[2]],
            as_file(load_local_list),
            usage,
            sieve_holds,
            words=LIST_WORDS,
            share=0.3,
            secret=whole_digest,
        ),
        *(
            Target(
                f"service.importers, shape {n}",
                seeds,
                lambda d, s=shape: rows_of(d, s),
                usage,
                rows_hold,
                words=CSV_WORDS,
                share=0.5,
            )
            for n, (shape, seeds) in enumerate(SHAPES)
        ),
        *fuzz_lists.targets(),
        Target("quarantine.log.read_line", [line.encode()[:-1] for line in LOG_LINES], log.read_line, strict, line_holds),
        Target(
            "quarantine.log.read_line, hashed",
            [line.encode()[:-1] for line in LOG_LINES],
            log.read_line,
            strict,
            line_holds,
            wrap=rehashed,
        ),
        Target(
            "quarantine.log.check",
            [LOG],
            check_log,
            NEVER,
            log_holds,
            words=(b"\n", LOG_LINES[0].encode(), LOG_LINES[1].encode()),
        ),
        Target("quarantine.record_codec", RECORDS, record_codec.decode, (ValueError,), record_holds, share=0.5),
        Target(
            "quarantine.record_codec, checksum",
            RECORDS,
            record_codec.decode,
            (ValueError,),
            record_holds,
            wrap=checked_sum,
            share=0.5,
        ),
        Target("service.parsing: confirm", [QUESTION], parsing.parse_confirm, strict, question_holds),
        Target("service.parsing: outcomes", [OUTCOMES], parsing.parse_outcomes, strict, outcomes_hold),
        Target("service.parsing: complaint", [COMPLAINT], parsing.parse_complaint, strict, complaint_holds),
        Target(
            "central.retry.retry_after",
            RETRIES,
            lambda d: retry_after(d.decode("latin-1"), NOW),
            NEVER,
            wait_holds,
            words=RETRY_WORDS,
        ),
        Target("settings: config.toml", [CONFIG], as_file(read_config), usage, settings_hold, words=TOML_WORDS, share=0.3),
        Target("settings: environment", [ENVIRONMENT], from_environment, usage, settings_hold, words=TOML_WORDS, share=0.3),
        Target("units.parse_size", [b"1.5 GiB", b"20M", b"4096"], as_text(parse_size), (ValueError,), below(2.0**63)),
        Target("units.parse_duration", [b"36h", b"7 d", b"90.5"], as_text(parse_duration), (ValueError,), below(MAX_DURATION)),
        Target("files.rows.decode", cache_rows(), lambda d: rows.decode(d, None), NEVER, row_holds),
        Target("files.rows.decode, checksum", cache_rows(), lambda d: rows.decode(d, None), NEVER, row_holds, wrap=row_checked),
        Target("files.checkpoint.decode", [saved_scan()], checkpoint.decode, (ValueError,), checkpoint_holds),
        Target(
            "files.checkpoint.decode, checksum",
            [saved_scan()],
            checkpoint.decode,
            (ValueError,),
            checkpoint_holds,
            wrap=checkpoint_checked,
        ),
    ]
