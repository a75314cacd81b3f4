"""Project VIC's VICS JSON, data models 1.x and 2.0: entries as they are, or inside cases.

Which categories mean what differs between countries and models, so the operator names those that are taken; 0 never is.
docs/service.md says what of the format is known and what is inferred.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from hashscan.known.hash_list import BadLine
from hashscan.model import Act, Algorithm
from hashscan.service.importers.json_text import TWICE, JsonText, encoding_of
from hashscan.service.importers.port import BrokenSource, LeftOut, PeekableStream, Shape, digest_of, size_of
from hashscan.service.merging import Row

_MODEL_KEYS = ("odata.metadata", "@odata.context")
_MODEL = re.compile(
    r"/ProjectVic/DataModels/([0-9]{1,2})\.([0-9]{1,2})\.xml(?:/[A-Za-z]{1,16}/\$metadata)?#(Media|Cases)", re.IGNORECASE
)
_SNIFFED = re.compile(r"ProjectVic/DataModels/", re.IGNORECASE)
_MAJORS = ("1", "2")
_BASE64 = {24: Algorithm.MD5, 28: Algorithm.SHA1, 44: Algorithm.SHA256}
_FIELDS = (("MD5", Algorithm.MD5), ("SHA1", Algorithm.SHA1), ("SHA256", Algorithm.SHA256))
_OTHER_NAMES = {"md5": Algorithm.MD5, "sha1": Algorithm.SHA1, "sha256": Algorithm.SHA256}
_MAX_ALTERNATIVES = 32
_CATEGORY = re.compile("[0-9]{1,3}")
NEVER = "0"
_BOOLEANS = {True: True, False: False, None: False, "": False, "true": True, "false": False, "1": True, "0": False}

NO_CATEGORY = LeftOut("no_category", "it has no category")
CATEGORY_0 = LeftOut("category_0", "category 0 is never imported")
NO_DIGEST = LeftOut("no_digest", "it has no digest that hashscan knows")
Record = Row | LeftOut | BadLine


def looks_like_vics(head: bytes) -> bool:
    """Whether a text that begins with ``head`` names a data model of Project VIC."""
    name, mark = encoding_of(head)
    text = head[mark : mark + 4096].decode(name, "replace")
    return text.lstrip().startswith("{") and _SNIFFED.search(text) is not None


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Record]]:
    """Every record with its number. Raises `BrokenSource`."""
    text = JsonText(stream)
    model = ""
    number = 0
    for key in text.members():
        if key in _MODEL_KEYS:
            model = _model(text.value())
        elif key == "value":
            for number, _ in enumerate(_media(text, model), 1):
                yield number, _record(text.value(), shape)
        else:
            text.value()
    text.end()


def _model(said: Any) -> str:
    """Media or Cases."""
    found = _MODEL.search(said) if isinstance(said, str) else None
    if found is None:
        raise BrokenSource("the data model that it names is none of Project VIC's")
    if found[1] not in _MAJORS:
        raise BrokenSource(f"data model {found[1]}.{found[2]} is not known: 1.x and 2.x are")
    return found[3].capitalize()


def _media(text: JsonText, model: str) -> Iterator[None]:
    """Once for each record that comes."""
    if not model:
        raise BrokenSource(f"byte {text.byte}: it does not say its data model ({' or '.join(_MODEL_KEYS)}) before its entries")
    if model == "Media":
        yield from text.elements()
        return
    for _ in text.elements():
        for key in text.members():
            if key == "Media" and text.peek() == "[":
                yield from text.elements()
            else:
                text.value()


def _record(found: Any, shape: Shape) -> Record:
    if not isinstance(found, dict):
        return BadLine("it is not an object")
    if TWICE in found:
        return BadLine("a key occurs twice in it")
    try:
        category = _category(found.get("Category"))
        return category if isinstance(category, LeftOut) else _row(found, category, shape)
    except BadLine as error:
        return error


def _row(found: dict[Any, Any], category: str, shape: Shape) -> Row | LeftOut:
    if category not in shape.categories:
        return LeftOut("other_category", f"category {category} was not asked for")
    digests = _digests(found)
    if not digests:
        return NO_DIGEST
    return Row(digests, _size(found.get("MediaSize")), category, _act(found.get("IsSuspected"), shape.act))


def _category(value: Any) -> str | LeftOut:
    if value is None or value == "":
        return NO_CATEGORY
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _CATEGORY.fullmatch(text):
        raise BadLine("its category is not a number from 0 to 999")
    category = text.lstrip("0") or NEVER
    return CATEGORY_0 if category == NEVER else category


def _digests(found: dict[Any, Any]) -> dict[Algorithm, bytes]:
    digests: dict[Algorithm, bytes] = {}
    for name, algorithm in _FIELDS:
        if (value := found.get(name)) not in (None, ""):
            digests[algorithm] = _digest(value, algorithm)
    others = found.get("AlternativeHashes")
    if others is None:
        return digests
    if not isinstance(others, list) or len(others) > _MAX_ALTERNATIVES:
        raise BadLine(f"its AlternativeHashes are not a list of at most {_MAX_ALTERNATIVES}")
    for one in others:
        _alternative(one, digests)
    return digests


def _alternative(one: Any, digests: dict[Algorithm, bytes]) -> None:
    """One of AlternativeHashes; most are PhotoDNA, which is not ours."""
    if not isinstance(one, dict) or TWICE in one:
        raise BadLine("one of its AlternativeHashes is not an object with different keys")
    name, value = one.get("HashName"), one.get("HashValue")
    algorithm = _OTHER_NAMES.get(name.lower().replace("-", "")) if isinstance(name, str) else None
    if algorithm is not None and value not in (None, ""):
        digest = _digest(value, algorithm)
        if digests.setdefault(algorithm, digest) != digest:
            raise BadLine(f"it states two different {algorithm}")


def _digest(value: Any, algorithm: Algorithm) -> bytes:
    """Hex of either case; or base64, which is how OData writes Edm.Binary. The length tells which."""
    if not isinstance(value, str):
        raise BadLine(f"its {algorithm} is not text")
    text = value.strip()
    if _BASE64.get(len(text)) is algorithm:
        try:
            digest = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise BadLine(f"its {algorithm} is not base64") from None
        if len(digest) == algorithm.digest_size:
            return digest
    return digest_of(text, algorithm)


def _size(value: Any) -> int | None:
    """0 means that nobody filled it in: an empty file is on no list."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadLine("its size is not a number of bytes")
    return size_of(str(value).strip()) or None


def _act(suspected: Any, act: Act) -> Act:
    """What is only suspected is reported."""
    key = suspected.strip().lower() if isinstance(suspected, str) else suspected
    if isinstance(key, float | list | dict) or key not in _BOOLEANS:
        raise BadLine("its IsSuspected is neither true nor false")
    return Act.REPORT if _BOOLEANS[key] else act
