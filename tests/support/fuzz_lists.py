"""What is fuzzed of the formats that lists come in."""

from __future__ import annotations

import gzip
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine
from hashscan.model import Act
from hashscan.service.importers import ncmec, nsrl3
from hashscan.service.importers.formats import FORMATS, choose
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import BrokenSource, Item, LeftOut, Named, Shape, is_category
from hashscan.service.merging import Row
from tests.support import list_files
from tests.support.fuzz_known import as_file, problem
from tests.support.fuzzing import Target
from tests.support.list_files import MODEL_1, entry, page, record, tombstone
from tests.support.service import md5, sha1

SHAPE = Shape(categories=frozenset({"1", "2", "A1", "B2"}))
ONE = Shape(categories=frozenset("1"))
REFUSED = (BrokenSource, UsageError)
Found = list[tuple[int, Item]]

RECORDS = [
    record("a", Series="\u00fc \U0001f600"),
    record("b", "2", MediaSize=7, IsSuspected="true", SHA1=None),
    record("c", 0),
    record("d", None, AlternativeHashes=[{"HashName": "SHA-256", "HashValue": "a" * 64}, {"HashName": "x", "HashValue": 5}]),
    record("e", MD5="DMF1ucDxtqgxw5niaXcmYQ==", Numbers=[1.5e-3, -0, 12345678901234567890123]),
]
VICS = [
    list_files.vics(RECORDS[:3]).encode(),
    b"\xef\xbb\xbf" + list_files.vics(RECORDS, model=MODEL_1, cases=True, indent=1, ensure_ascii=False).encode(),
    list_files.vics(RECORDS[:2]).encode("utf-16"),
]
VICS_WORDS = (
    b'"', b"\\", b"{", b"[[[[", b"]", b"}", b",", b":", b"null", b"true", b'"0"', b"1e999", b"9" * 5000, b"\\ud800", b"\\u0000",
    b"\0", b"NaN", b'"value":', b'"Media":', b'"@odata.context":', b"\xff\xfe", b"\xc3", b"3.0", md5("a").encode(),
    b"A" * 22 + b"==",
)  # fmt: skip
PAGES = [
    page(
        entry("a", up=2, down=1), entry("b", classification="B2"), tombstone("c"), next_path="/v2/entries?from=1&start=2"
    ).encode(),
    page(entry("a", digests=""), tombstone("a", member=7)).encode(),
    page(entry("\u00e9"), head='<?xml version="1.0" encoding="UTF-16"?>').encode("utf-16"),
]
XML_WORDS = (
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&#0;", b"&lt;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?x?>", b"/>",
    b"<image>", b"</images>", b"<deletedImage>", b"</md5>", b'id="', b"encoding=", b"utf-16", b"xmlns:a=", b"a:b", b"\xff\xfe",
    b"\0", b"9999-12-31T23:59:59Z", b"0001-01-01", b"+24:00",
)  # fmt: skip
HASHDEEP = [list_files.hashdeep(["a", "b"]).encode(), list_files.hashdeep(["a"], "sha256").encode() * 2]
CLAMAV = [f"{md5('a')}:17:A\n# x\n{sha1('a')}:*:B:73\n{'a' * 64}:0:C:73:255\n".encode()]
NSRL = [list_files.nsrl(["a", "b"]), list_files.nsrl(["a"], old=True)]
TEXT_WORDS = (
    md5("a").encode(),
    sha1("a").encode(),
    b":",
    b"*",
    b"%%%% ",
    b"size,",
    b"filename",
    b"tiger",
    b",",
    b'"',
    b"#",
    b"\0",
    b"\r",
)


def stream(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))


def reader(name: str) -> Any:
    return lambda data: list(FORMATS[name].read(stream(data), SHAPE))


def detected(data: bytes) -> Found:
    return list(choose(source := stream(data), ONE).read(source, ONE))


def hold(data: bytes, found: Found) -> str:
    """Every item is of the shape that an import believes."""
    rows = [item.row if isinstance(item, Named) else item for _, item in found]
    rows = [item for item in rows if isinstance(item, Row)]
    named = [item for _, item in found if isinstance(item, Named)]
    said = [item.text if isinstance(item, LeftOut) else str(item) for _, item in found if isinstance(item, LeftOut | BadLine)]
    numbers = [number for number, _ in found]
    return problem(
        (numbers == sorted(numbers) and all(number > 0 for number in numbers), "places in no order"),
        (all(row.digests for row in rows), "a row without a digest"),
        (all(len(d) == a.digest_size for row in rows for a, d in row.digests.items()), "a digest of another length"),
        (all(row.size is None or 0 <= row.size < 10**18 for row in rows), "a size out of bounds"),
        (all(is_category(row.category) or row.category == "" for row in rows), "a category"),
        (all(row.category != "0" and isinstance(row.act, Act) for row in rows), "category 0, or an act"),
        (all(0 < len(one.ref) <= 160 and 0 <= one.at < 2.5e11 and one.up >= 0 <= one.down for one in named), "a name"),
        (all(len(one) < 300 and one.replace("\t", " ").isprintable() for one in said), "a message that repeats its source"),
    )


def path_holds(data: bytes, found: str) -> str:
    return problem((not found or (found.startswith("/v2/entries?") and found.isascii() and len(found) <= 2000), "an address"))


@cache
def database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return list_files.nsrl3(Path(folder) / "rds.db", map(str, range(40))).read_bytes()


def read_database(data: bytes) -> Found:
    """SQLite wants a name that leads to a file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return list(nsrl3.read(Path(file.name)))


def open_all(path: Path) -> Found:
    with open_source(path, max_bytes=1 << 20) as source:
        return list(FORMATS["plain"].read(source, Shape()))


def targets() -> list[Target]:
    packed = gzip.compress("".join(f"{sha1(str(n))}\n" for n in range(50)).encode(), mtime=0)
    return [
        Target("service.importers.vics", VICS, reader("vics"), REFUSED, hold, words=VICS_WORDS),
        Target("service.importers.ncmec", PAGES, reader("ncmec"), REFUSED, hold, words=XML_WORDS),
        Target(
            "service.importers.ncmec.next_page",
            PAGES,
            lambda data: ncmec.next_page(stream(data)),
            REFUSED,
            path_holds,
            words=XML_WORDS,
            share=0.3,
        ),
        Target("service.importers, shape hashdeep", HASHDEEP, reader("hashdeep"), REFUSED, hold, words=TEXT_WORDS, share=0.5),
        Target("service.importers, shape clamav", CLAMAV, reader("clamav"), REFUSED, hold, words=TEXT_WORDS, share=0.5),
        Target("service.importers, shape nsrl", NSRL, reader("nsrl"), REFUSED, hold, words=TEXT_WORDS, share=0.5),
        Target(
            "service.importers, shape auto",
            [*VICS, *HASHDEEP, *CLAMAV],
            detected,
            REFUSED,
            hold,
            words=(*VICS_WORDS, *TEXT_WORDS),
            share=0.5,
        ),
        Target(
            "service.importers.nsrl3", [database()], read_database, REFUSED, hold, share=0.2,
            words=(b"METADATA", b"md5", b"FILE"),
        ),
        Target("service.importers.opening", [packed], as_file(open_all), REFUSED, hold, share=0.3),
    ]  # fmt: skip
