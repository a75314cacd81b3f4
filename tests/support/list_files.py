"""Files of lists in every format that hashscan imports, with digests of made-up bytes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hashscan.model import Algorithm
from tests.support.service import digest, md5, sha1

MODEL_1 = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml"
MODEL_2 = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata"
NCMEC = "https://hashsharing.ncmec.org/hashsharing/v2"


def record(name: str, category: Any = 1, **fields: Any) -> dict[str, Any]:
    """A record of VICS as a national list has it; a field that is None is left out."""
    made = {
        "MediaID": len(name),
        "Category": category,
        "MD5": md5(name).upper(),
        "SHA1": sha1(name).upper(),
        "MediaSize": "12",
        "DateUpdated": "2023-06-07T02:31:49.8300Z",
        "IsPrecategorized": "false",
        "MediaFiles": [{"MD5": md5(name), "FileName": '}]"{ü.jpg', "FilePath": "a\\b"}],
        "AlternativeHashes": [{"HashName": "PhotoDNA", "HashValue": "AAMANw=="}],
        **fields,
    }
    return {key: value for key, value in made.items() if value is not ...}


def vics(records: Iterable[Any], *, model: str = MODEL_2, cases: bool = False, **dumps: Any) -> str:
    """A VICS file; with ``cases`` the records are in two cases."""
    every = list(records)
    key = "@odata.context" if "2.0" in model else "odata.metadata"
    if not cases:
        return json.dumps({key: f"{model}#Media", "value": every}, **dumps)
    half = len(every) // 2
    value = [{"CaseID": "x", "Media": every[:half], "ContactName": ""}, {"Tags": None, "Media": every[half:]}]
    return json.dumps({key: f"{model}#Cases", "value": value}, **dumps)


def entry(name: str, *, classification: str = "A1", at: str = "2026-01-01T00:00:00Z", **more: Any) -> str:
    """An image of a page; ``digests`` replaces its fingerprints, ``up`` and ``down`` are numbers of members who voted."""
    digests = more.get("digests", f"<md5>{md5(name)}</md5><sha1>{sha1(name)}</sha1>")
    votes = "".join(
        f'<{kind} type="Md5"><members>' + "".join(f'<member id="{n}">M</member>' for n in range(count)) + f"</members></{kind}>"
        for kind, count in (("affirmativeFeedback", more.get("up", 0)), ("negativeFeedback", more.get("down", 0)))
        if count
    )
    return (
        f'<image><member id="{more.get("member", 42)}">M</member><timestamp>{at}</timestamp><id>{more.get("id", name)}</id>'
        f"<classification>{classification}</classification>"
        f"<fingerprints>{digests}<pdna>AAAA</pdna></fingerprints><feedback>{votes}</feedback></image>"
    )


def tombstone(name: str, *, at: str = "2026-02-01T00:00:00Z", member: int = 42) -> str:
    """A deleted image of a page."""
    return f'<deletedImage><member id="{member}">M</member><id>{name}</id><timestamp>{at}</timestamp></deletedImage>'


def page(*entries: str, next_path: str = "", head: str = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>') -> str:
    """A page of NCMEC's Hash Sharing."""
    paging = f"<paging><next>{next_path.replace('&', '&amp;')}</next></paging>" if next_path else ""
    return (
        f'{head}\n<queryResult xmlns="{NCMEC}"><images count="{len(entries)}" maxTimestamp="2026-01-01T00:00:00Z">'
        f"{''.join(entries)}</images>{paging}</queryResult>"
    )


def hashdeep(names: Sequence[str], algorithms: str = "md5,sha1") -> str:
    """What hashdeep writes."""
    every = [",".join(digest(Algorithm(one), name) for one in algorithms.split(",")) for name in names]
    head = f"%%%% HASHDEEP-1.0\n%%%% size,{algorithms},filename\n## Invoked from: /home\n## \n"
    return head + "".join(f"{10 + n},{row},/srv/a, b/{n}.jpg\n" for n, row in enumerate(every))


def nsrl(names: Iterable[str], *, old: bool = False) -> bytes:
    """NSRLFile.txt, in the order of columns of since 2003 or of before."""
    if old:
        head = '"SHA-1","FileName","FileSize","ProductCode","OpSystemCode","MD4","MD5","CRC32","SpecialCode"\r\n'
        rows = [f'"{sha1(n).upper()}","{n}.dll",1024,1,"WIN","","{md5(n).upper()}","7A5407CA",""\r\n' for n in names]
        return (head + "".join(rows)).encode()
    head = '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\r\n'
    rows = [f'"{sha1(n).upper()}","{md5(n).upper()}","7A5407CA","\u00e9""{n}.dll",1024,1,"WIN",""\r\n' for n in names]
    return (head + "".join(rows)).encode("latin-1")


def nsrl3(path: Path, names: Iterable[str], *, view: str = "CREATE VIEW FILE AS SELECT * FROM METADATA") -> Path:
    """The database of NSRL RDS 3, as far as it matters."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE METADATA (object_id INTEGER, sha256 TEXT, sha1 TEXT, md5 TEXT, file_name TEXT)")
        rows = [(1, digest(Algorithm.SHA256, name).upper(), sha1(name).upper(), md5(name).upper(), "x") for name in names]
        connection.executemany("INSERT INTO METADATA VALUES (?, ?, ?, ?, ?)", rows)
        if view:
            connection.execute(view)
    connection.close()
    return path


def run(path: Path, *statements: str) -> None:
    """Change a database."""
    with sqlite3.connect(path) as connection:
        for statement in filter(None, statements):
            connection.execute(statement)
    connection.close()
