"""Formats of lists: what each reader makes of a file, and what is told from its first bytes."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine
from hashscan.model import Act, Algorithm
from hashscan.service.importers import json_text, ncmec, nsrl3, vics
from hashscan.service.importers.formats import FORMATS, choose
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import BrokenSource, Item, LeftOut, Named, Shape
from hashscan.service.merging import Row
from tests.support import list_files
from tests.support.list_files import MODEL_1, MODEL_2, entry, page, record, tombstone
from tests.support.service import digest, md5, sha1

ONE_AND_TWO = Shape(categories=frozenset("12"))
A1 = Shape(categories=frozenset({"A1"}))
A, B = (bytes.fromhex(sha1(name)) for name in "ab")


def stream(data: bytes | str) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data.encode() if isinstance(data, str) else data))


def read(data: bytes | str, shape: Shape | None = None, *, known_good: bool = False) -> list[tuple[int, Item]]:
    """Everything in ``data``, in the format that it shows or that ``shape`` names."""
    source, shape = stream(data), shape or Shape()
    return list(choose(source, shape, known_good=known_good).read(source, shape))


def one(data: bytes | str, shape: Shape | None = None) -> Item:
    ((_, found),) = read(data, shape)
    return found


def bad(data: bytes | str, shape: Shape | None = None) -> list[tuple[int, str]]:
    return [(number, str(item)) for number, item in read(data, shape) if isinstance(item, BadLine)]


# What a file says of itself


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (sha1("a"), "plain"),
        (f"# comment\n\n{sha1('a')}  x.jpg", "plain"),
        ("sha1,size\n", "csv"),
        (list_files.hashdeep(["a"]), "hashdeep"),
        (f"# x\n{md5('a')}:12:Name\n", "clamav"),
        (f"{digest(Algorithm.SHA256, 'a')}:*:Name:73", "clamav"),
        (list_files.vics([record("a")]), "vics"),
        (list_files.vics([record("a")], model=MODEL_1, cases=True, indent=2), "vics"),
        ("\ufeff" + list_files.vics([record("a")]), "vics"),
        (list_files.vics([record("a")]).encode("utf-16"), "vics"),
        (list_files.vics([record("a")]).encode("utf-16-be"), "vics"),
        (page(entry("a")), "ncmec"),
    ],
)
def test_auto(data: bytes | str, name: str) -> None:
    assert choose(stream(data), Shape(categories=frozenset("1"))).name == name


@pytest.mark.parametrize(
    ("data", "shape", "word"),
    [
        (list_files.nsrl(["a"]), Shape(), "known-good"),
        (b"SQLite format 3\0", Shape(), "NSRL"),
        ("x", Shape(format="nsrl"), "known-good"),
        (list_files.vics([]), Shape(), "needs the categories"),
        (list_files.vics([]), Shape(categories=frozenset({"0"})), "category 0"),
        (list_files.vics([]), Shape(categories=frozenset({"1", "00"})), "category 0"),
        (list_files.vics([]), Shape(categories=frozenset({"A"})), "are numbers"),
        (page(), Shape(), "needs the categories"),
        (sha1("a"), Shape(categories=frozenset("12")), "one category"),
        ("x", Shape(format="xlsx"), "no list format"),
    ],
)
def test_what_is_not_imported_as_a_list(data: bytes | str, shape: Shape, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        read(data, shape)


@pytest.mark.parametrize("name", ["clamav", "vics", "ncmec"])
def test_what_is_not_known_good(name: str) -> None:
    with pytest.raises(UsageError, match="no format of known-good"):
        read("x", Shape(format=name, categories=frozenset("1")), known_good=True)


@pytest.mark.parametrize("data", ['{"a": 1}', "[1]", "<html></html>", "\ufeff <x/>"])
def test_json_and_xml_of_others_are_no_plain_list(data: str) -> None:
    with pytest.raises(BrokenSource, match="none that hashscan knows"):
        read(data)


# Text


def test_hashdeep() -> None:
    text = list_files.hashdeep(["a", "b"], "md5,sha1,sha256")
    found = [item for _, item in read(text)]
    assert [item.digests[Algorithm.SHA1] for item in found if isinstance(item, Row)] == [A, B]
    assert [item.size for item in found if isinstance(item, Row)] == [10, 11]
    assert len(read(text + list_files.hashdeep(["c"], "sha256"))) == 3, "each file has its own header"


def test_hashdeep_names_of_columns_and_bad_rows() -> None:
    head = "%%%% HASHDEEP-1.0\r\n%%%% size,sha-1,tiger,filename\r\n"
    text = f"{head}1,{sha1('a')},zz,\r\n1,{md5('a')},zz,a\n1,{sha1('a')}\nx,{sha1('a')},,a"
    assert isinstance(read(text)[0][1], Row)
    assert bad(text) == [
        (4, "its sha1 is not 40 hex digits"),
        (5, "it has fewer columns than the header"),
        (6, "its size is not a number of bytes"),
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("%%%% HASHDEEP-1.0\n1,2,3\n", "line 2: a hashdeep file begins"),
        ("%%%% HASHDEEP-1.0\n%%%% md5,size,filename\n", "line 2: the columns"),
        ("%%%% HASHDEEP-1.0\n%%%% size,crc,filename\n", "line 2: the columns"),
        ("%%%% HASHDEEP-1.0\n%%%% size,tiger,filename\n", "line 2: the columns hold"),
        ("%%%% HASHDEEP-1.0\n%%%% size,sha1,sha-1,filename\n", "each once"),
        (sha1("a"), "line 1: a hashdeep file begins"),
    ],
)
def test_hashdeep_without_its_header(text: str, word: str) -> None:
    with pytest.raises(BrokenSource, match=word):
        read(text, Shape(format="hashdeep"))


def test_clamav() -> None:
    text = f"{md5('a')}:17:A.B-1\n{sha1('a').upper()}:*:X:73\n{digest(Algorithm.SHA256, 'a')}:0:X:73:255\r\n# no\n\n"
    found = [item for _, item in read(text, Shape(act=Act.REPORT))]
    assert [item.size for item in found if isinstance(item, Row)] == [17, None, 0]
    assert {item.act for item in found if isinstance(item, Row)} == {Act.REPORT}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (md5("a"), "not DIGEST:SIZE:NAME"),
        (f"{md5('a')}:1", "not DIGEST:SIZE:NAME"),
        (f"{md5('a')}:1:", "not DIGEST:SIZE:NAME"),
        (f"{md5('a')}:1:x:1:2:3", "not DIGEST:SIZE:NAME"),
        (f"{md5('a')}:1:x:old", "engine versions"),
        (f"{md5('a')}::x", "size"),
        (f"{md5('a')}:-1:x", "size"),
        (f"{md5('a')}:{'9' * 19}:x", "size"),
        (f"{md5('a')[1:]}:1:x", "31 digits"),
        ("z" * 32 + ":1:x", "not hex"),
    ],
)
def test_bad_signatures(line: str, word: str) -> None:
    ((_, said),) = bad(line, Shape(format="clamav"))
    assert word in said


@pytest.mark.parametrize("old", [False, True])
def test_nsrl_2(old: bool) -> None:
    found = read(list_files.nsrl(["a", "b"], old=old), known_good=True)
    assert [item.digests for _, item in found if isinstance(item, Row)] == [
        {Algorithm.MD5: bytes.fromhex(md5(name)), Algorithm.SHA1: bytes.fromhex(sha1(name))} for name in "ab"
    ]


def test_nsrl_3(tmp_path: Path) -> None:
    path = list_files.nsrl3(tmp_path / "rds.db", ["a", "b"])
    found = [item for _, item in nsrl3.read(path)]
    assert [sorted(item.digests) for item in found if isinstance(item, Row)] == [["md5", "sha1", "sha256"]] * 2
    assert [item.digests[Algorithm.SHA1] for item in found if isinstance(item, Row)] == [A, B]


# VICS


@pytest.mark.parametrize("cases", [False, True])
@pytest.mark.parametrize("model", [MODEL_1, MODEL_2, MODEL_1.replace("1.3", "1.0")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_vics(model: str, cases: bool, encoding: str) -> None:
    text = list_files.vics([record("a"), record("b", "2", MediaSize=7)], model=model, cases=cases, ensure_ascii=False)
    found = read(text.encode(encoding), ONE_AND_TWO)
    assert found == [
        (1, Row({Algorithm.MD5: bytes.fromhex(md5("a")), Algorithm.SHA1: A}, 12, "1", Act.QUARANTINE)),
        (2, Row({Algorithm.MD5: bytes.fromhex(md5("b")), Algorithm.SHA1: B}, 7, "2", Act.QUARANTINE)),
    ]


def b64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Category": 0}, "category_0"),
        ({"Category": "00"}, "category_0"),
        ({"Category": None}, "no_category"),
        ({"Category": ...}, "no_category"),
        ({"Category": ""}, "no_category"),
        ({"Category": 3}, "other_category"),
        ({"MD5": None, "SHA1": ""}, "no_digest"),
        ({"MD5": ..., "SHA1": ..., "AlternativeHashes": None}, "no_digest"),
    ],
)
def test_records_that_are_left_out(fields: dict[str, Any], reason: str) -> None:
    found = one(list_files.vics([record("a", **fields)]), ONE_AND_TWO)
    assert isinstance(found, LeftOut)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("fields", "digests", "size", "act"),
    [
        ({"MD5": None}, "sha1", 12, Act.QUARANTINE),
        ({"SHA1": ..., "MD5": b64(md5("a"))}, "md5", 12, Act.QUARANTINE),
        ({"SHA1": b64(sha1("a")), "MD5": ""}, "sha1", 12, Act.QUARANTINE),
        ({"MediaSize": 0}, "md5 sha1", None, Act.QUARANTINE),
        ({"MediaSize": ""}, "md5 sha1", None, Act.QUARANTINE),
        ({"MediaSize": None, "IsSuspected": "True"}, "md5 sha1", None, Act.REPORT),
        ({"IsSuspected": True}, "md5 sha1", 12, Act.REPORT),
        ({"IsSuspected": "false"}, "md5 sha1", 12, Act.QUARANTINE),
        ({"AlternativeHashes": [{"HashName": "SHA-256", "HashValue": "5" * 64}]}, "md5 sha1 sha256", 12, Act.QUARANTINE),
        ({"MD5": None, "AlternativeHashes": [{"HashName": "SHA1", "HashValue": sha1("a")}]}, "sha1", 12, Act.QUARANTINE),
        ({"Extra": 10**30, "More": 1e300, "Deep": [[[[]]]]}, "md5 sha1", 12, Act.QUARANTINE),
    ],
)
def test_records_as_exporters_write_them(fields: dict[str, Any], digests: str, size: int | None, act: Act) -> None:
    found = one(list_files.vics([record("a", **fields)]), ONE_AND_TWO)
    assert isinstance(found, Row)
    assert (sorted(found.digests), found.size, found.act) == (digests.split(), size, act)
    assert found.digests.get(Algorithm.SHA1, A) == A


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"Category": True}, "category"),
        ({"Category": -1}, "category"),
        ({"Category": 1.0}, "category"),
        ({"Category": "1" * 400}, "category"),
        ({"Category": [1]}, "category"),
        ({"Category": 10**25}, "category"),
        ({"MD5": 5}, "md5 is not text"),
        ({"MD5": md5("a")[1:]}, "md5 is not 32"),
        ({"SHA1": md5("a")}, "sha1 is not 40"),
        ({"MD5": "=" * 24}, "md5 is not base64"),
        ({"MediaSize": 1.5}, "size"),
        ({"MediaSize": True}, "size"),
        ({"MediaSize": -1}, "size"),
        ({"MediaSize": "9" * 30}, "size"),
        ({"IsSuspected": "perhaps"}, "IsSuspected"),
        ({"IsSuspected": []}, "IsSuspected"),
        ({"IsSuspected": 2.5}, "IsSuspected"),
        ({"AlternativeHashes": {}}, "AlternativeHashes"),
        ({"AlternativeHashes": [1]}, "AlternativeHashes"),
        ({"AlternativeHashes": [{}] * 33}, "AlternativeHashes"),
        ({"AlternativeHashes": [{"HashName": "sha1", "HashValue": sha1("b")}]}, "two different sha1"),
    ],
)
def test_bad_records_are_named(changed: dict[str, Any], word: str) -> None:
    found = bad(list_files.vics([record("b"), record("a", **changed)]), ONE_AND_TWO)
    assert [number for number, _ in found] == [2]
    assert word in found[0][1]


@pytest.mark.parametrize(
    "made", ["5", "null", '"x"', "[]", '{"MD5": 1, "MD5": 2}', '{"AlternativeHashes": [{"a": 1, "a": 2}]}']
)
def test_a_record_that_is_none(made: str) -> None:
    text = list_files.vics(["@"]).replace('"@"', made.replace('{"Alt', f'{{"Category": 1, "MD5": "{md5("a")}", "Alt'))
    assert [number for number, _ in bad(text, ONE_AND_TWO)] == [1]


GOOD = list_files.vics([record("a"), record("b")])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (GOOD[:-1], "ends too early"),
        (GOOD + "x", "something follows"),
        (GOOD + GOOD, "something follows"),
        (
            GOOD.replace('"value"', '"values"', 1).replace('"@odata.context"', '"value": 1, "@odata.context"'),
            "does not say its data model",
        ),
        (GOOD.replace("2.0", "3.0"), "data model 3.0 is not known"),
        (GOOD.replace("ProjectVic", "Project-Vic"), "none of Project VIC's"),
        (GOOD.replace("#Media", "#Tags"), "none of Project VIC's"),
        (GOOD.replace('"value": [', '"value": {'), r"'\[' is missing"),
        (GOOD.replace("}, {", "} {"), "',' or ']' is missing"),
        (GOOD.replace("}, {", "},, {"), "Expecting value"),
        ('{"@odata.context": 5}', "none of Project VIC's"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ("{" + ",".join(f'"{n}":1' for n in range(1001)) + "}", "more than 1000 keys"),
        ("{5: 1}", "a key is missing"),
        ("", "'{' is missing|ends too early"),
        ("[]", "'{' is missing"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": "' + "x" * (1 << 21) + '"}', "more than 1048576 characters"),
        ('{"a": [' + "1," * (1 << 20) + "1]}", "more than 1048576 characters"),
        ('{"a": "\\u12"}', "Invalid"),
        ('{"a": tru}', "Expecting value"),
    ],
)
def test_a_text_that_cannot_be_read_on_says_where(text: str, word: str) -> None:
    with pytest.raises(BrokenSource, match=word):
        read(text, Shape(format="vics", categories=frozenset("12")))


def test_the_byte_is_the_right_one() -> None:
    text = list_files.vics([record("a", Series="ü"), record("b")], ensure_ascii=False)
    cut = text.index('{"MediaID"', 200)
    for encoding, mark in (("utf-8", b""), ("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe")):
        data = (text[:cut] + "?" + text[cut:]).encode(encoding)
        at = len(mark) + len(text[:cut].encode(encoding.replace("-sig", "").replace("16", "16-le")))
        with pytest.raises(BrokenSource, match=rf"byte {at}: "):
            read(data, ONE_AND_TWO)


def test_wrong_encodings_say_where() -> None:
    text = list_files.vics([record("a", Series="é")], ensure_ascii=False)
    latin = text.encode("latin-1")
    first = next(at for at, byte in enumerate(latin) if byte > 127)
    with pytest.raises(BrokenSource, match=f"byte {first}: it is not UTF-8"):
        read(latin, ONE_AND_TWO)
    with pytest.raises(BrokenSource, match="byte 0"):
        read(b"\0" * 100, Shape(format="vics", categories=frozenset("1")))
    with pytest.raises(BrokenSource, match="is not UTF-16-LE"):
        read(text.encode("utf-16")[:-1], ONE_AND_TWO)


def test_half_a_file_is_never_a_whole_one() -> None:
    """Cut at every byte: what is read before is right, and the end is missed."""
    data = list_files.vics([record("a", Size=-1.5e3, Flag=True), record("b")], cases=True).encode()
    for cut in range(len(data)):
        source, found = stream(data[:cut]), []
        with pytest.raises(BrokenSource, match=r"byte|none of"):
            found.extend(vics.read(source, ONE_AND_TWO))
        assert len(found) <= 2


class Trickle(io.RawIOBase):
    """Gives ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = data, step

    def peek(self, size: int, /) -> bytes:
        return self._data[: self._step]

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._step)
        found, self._data = self._data[:size], self._data[size:]
        return found


@pytest.mark.parametrize("step", [4, 5, 7, 31, 64])
def test_chunks_of_any_size_give_the_same(step: int) -> None:
    text = list_files.vics([record("a", N=[1234567, -1.25e-3, '\\"', None]), record("ü€", 2)], ensure_ascii=False, indent=1)
    for encoding in ("utf-8", "utf-16"):
        data = text.encode(encoding)
        assert list(vics.read(Trickle(data, step), ONE_AND_TWO)) == read(data, ONE_AND_TWO)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(values=st.lists(JSON, max_size=6), step=st.integers(4, 40), ascii_only=st.booleans())
def test_values_are_what_the_standard_library_reads(values: list[Any], step: int, ascii_only: bool) -> None:
    data = json.dumps(values, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    text = json_text.JsonText(Trickle(data, step))
    try:
        found = [text.value() for _ in text.elements()]
    except BrokenSource as error:
        assert "UTF-8" in str(error), "a lone surrogate, which no UTF-8 can write"  # noqa: PT017
        with pytest.raises(UnicodeDecodeError):
            data.decode()
        return
    assert found == values or any("1e" in repr(one) or len(repr(one)) > 20 for one in values)
    text.end()


# NCMEC


def test_a_page() -> None:
    text = page(entry("a", up=2, down=1), entry("b", classification="A2"), tombstone("c"), entry("d", down=1, member=7))
    found = [item for _, item in read(text, A1)]
    assert [one.ref for one in found if isinstance(one, Named)] == ["42/a", "42/b", "42/c", "7/d"]
    first, other, gone, doubted = found
    assert isinstance(first, Named)
    assert first.row == Row({Algorithm.MD5: bytes.fromhex(md5("a")), Algorithm.SHA1: A}, None, "A1", Act.QUARANTINE)
    assert (first.up, first.down, first.at) == (2, 1, 1767225600.0)
    assert isinstance(other, Named)
    assert isinstance(gone, Named)
    assert isinstance(doubted, Named)
    assert (other.row, other.why) == (None, "other_category")
    assert (gone.row, gone.why) == (None, "deleted")
    assert doubted.row is not None
    assert doubted.row.act is Act.REPORT, "as many against as for"


def test_entries_without_a_classification_or_a_digest() -> None:
    text = page(entry("a", classification=""), entry("b", digests=""), entry("c", digests="<md5/><sha1> </sha1>"))
    found = [item for _, item in read(text, Shape(categories=frozenset({"A1", ncmec.UNCLASSIFIED})))]
    assert [one.why if one.row is None else one.row.category for one in found if isinstance(one, Named)] == [
        "unclassified",
        "no_digest",
        "no_digest",
    ]


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (entry("a").replace("<image>", "<song>").replace("</image>", "</song>"), "neither an image"),
        (entry("a", id=""), "no id"),
        (entry("a", id="x" * 129), "no id"),
        (entry("a", id="a b"), "no id"),
        (entry("a", member="x"), "no member with an id"),
        (entry("a").replace('<member id="42">M</member>', ""), "no member with an id"),
        (entry("a", at="yesterday"), "timestamp"),
        (entry("a", at=""), "timestamp"),
        (entry("a", at="0001-01-01T00:00:00Z"), "timestamp"),
        (entry("a", classification="A" * 65), "classification"),
        (entry("a", digests="<md5>zz</md5>"), "md5 is not 32"),
        (entry("a", digests=f"<md5>{md5('a')}</md5><md5>{md5('b')}</md5>"), "two different md5"),
    ],
)
def test_bad_entries_are_named(made: str, word: str) -> None:
    found = bad(page(entry("b"), made), A1)
    assert [number for number, _ in found] == [2]
    assert word in found[0][1]


DTD = '<?xml version="1.0"?><!DOCTYPE queryResult [{}]>'
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (page(head=DTD.format('<!ENTITY a0 "ha">' + LAUGHS)).replace("</queryResult>", "&a9;</queryResult>"), "DTDForbidden"),
        (page(head=DTD.format('<!ENTITY x SYSTEM "file:///etc/passwd">')), "DTDForbidden"),
        (page(head=DTD.format('<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;')), "DTDForbidden"),
        (page(head=DTD.format("")), "DTDForbidden"),
        (page(entry("a"))[:-20], "line 2, column"),
        (page(entry("a"))[:300], "line 2, column"),
        (page("&x;"), "undefined entity"),
        ("", "no element found"),
        ("plain", "syntax error"),
        (page().replace(list_files.NCMEC, "urn:x"), "no queryResult"),
        (page().replace("queryResult", "status"), "no queryResult"),
        (page("<image>" * 30), "nested deeper than 24"),
        (page(entry("a" * 300_000)), "more than 262144 bytes"),
        (page(f'<image a="{"x" * 300_000}"/>'), "more than 262144 bytes"),
        (page("<!-- " + "x" * 300_000 + " -->"), "more than 262144 bytes"),
        (page(head='<?xml version="1.0" encoding="utf-7"?>'), "encoding is not known"),
        (page(head='<?xml version="1.0" encoding="shift_jis"?>'), "encoding is not known"),
    ],
)
def test_a_page_that_cannot_be_read_on_says_where(text: str, word: str) -> None:
    shape = Shape(format="ncmec", categories=frozenset({"A1"}))
    with pytest.raises(BrokenSource, match=word):
        read(text, shape)


def test_other_encodings_of_xml_are_fine() -> None:
    text = page(entry("a"), head='<?xml version="1.0" encoding="UTF-16"?>')
    assert len(read(text.encode("utf-16"), Shape(format="ncmec", categories=frozenset({"A1"})))) == 1
    with pytest.raises(BrokenSource, match="not well-formed"):
        read(page(entry("é")).encode("latin-1"), A1)


@pytest.mark.parametrize(
    ("said", "found"),
    [("", ""), ("/v2/entries?from=1&start=2", "/v2/entries?from=1&start=2"), (" \n", "")],
)
def test_the_next_page(said: str, found: str) -> None:
    assert ncmec.next_page(stream(page(entry("a"), next_path=said))) == found


@pytest.mark.parametrize(
    "said",
    [
        "http://evil.example/",
        "//evil.example/v2/entries?",
        "/v2/entries",
        "/v1/entries?x",
        "/v2/entries?a b",
        "/v2/entries?" + "x" * 2000,
    ],
)
def test_a_next_page_elsewhere_is_refused(said: str) -> None:
    with pytest.raises(BrokenSource, match="next page"):
        ncmec.next_page(stream(page(next_path=said)))


# Opening, and a database that somebody else made


def test_gzip_is_opened_and_half_of_it_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "list.gz"
    whole = gzip.compress("".join(f"{sha1(str(n))}\n" for n in range(20_000)).encode())
    for data, word in ((whole, ""), (whole[: len(whole) // 2], "ends too early"), (whole[:-4] + b"\0\0\0\0", "damaged"),
                       (whole[:500] + b"\xff" * 50 + whole[550:], "damaged")):  # fmt: skip
        path.write_bytes(data)
        if not word:
            with open_source(path) as source:
                assert len(list(FORMATS["plain"].read(source, Shape()))) == 20_000
            continue
        with pytest.raises(BrokenSource, match=f"after byte [0-9]+: .*{word}"), open_source(path) as source:
            list(FORMATS["plain"].read(source, Shape()))


def test_a_gzip_bomb_ends(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20)))
    with pytest.raises(BrokenSource, match="more than 1048576 bytes"), open_source(path, max_bytes=1 << 20) as source:
        list(FORMATS["plain"].read(source, Shape()))


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'x' AS md5, i AS sha1 FROM n WHERE i < 0"


@pytest.mark.parametrize(
    ("view", "word"),
    [
        (f"CREATE VIEW FILE AS {ENDLESS}", "not authorized|prohibited|denied|recurs"),
        ("CREATE VIEW FILE AS SELECT hex(zeroblob(1000000000)) AS md5", "not authorized|prohibited|denied"),
        ("CREATE VIEW FILE AS SELECT load_extension('x') AS md5", "not authorized|prohibited|denied|unsafe"),
        ("CREATE VIEW FILE AS SELECT a.md5 FROM nowhere a", "no such table"),
        ("", "no table METADATA or FILE"),
        ("CREATE TABLE FILE (name TEXT)", "no table METADATA or FILE"),
    ],
)
def test_a_hostile_database(tmp_path: Path, view: str, word: str) -> None:
    path = list_files.nsrl3(tmp_path / "rds.db", [], view="DROP TABLE METADATA")
    list_files.run(path, view)
    with pytest.raises((BrokenSource, UsageError), match=word):
        list(nsrl3.read(path))


def test_a_damaged_database(tmp_path: Path) -> None:
    path = list_files.nsrl3(tmp_path / "rds.db", map(str, range(2000)))
    data = bytearray(path.read_bytes())
    data[20_000:40_000] = b"\xff" * 20_000
    path.write_bytes(data)
    with pytest.raises(BrokenSource, match=r"after row [0-9]+: SQLite cannot read it"):
        list(nsrl3.read(path))
    other = tmp_path / "other.db"
    values = "INSERT INTO METADATA VALUES (5), (NULL), ('zz'), (x'00')"
    list_files.run(other, "CREATE TABLE METADATA (md5)", values)
    assert [str(item) for _, item in nsrl3.read(other)] == [
        "its md5 is not text",
        "it has no digest",
        "its md5 is not 32 hex digits",
        "its md5 is not text",
    ]
