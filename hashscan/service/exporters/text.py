"""Lists as text: hash signatures of ClamAV, and what hashdeep takes as known files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from hashscan.atomic import replace_file
from hashscan.service.exporters.port import Sheet, Stock, Wish, Written

_NO_SIZE_LEVEL = 73  # of the engine that knows a size of *: ClamAV 0.98


def write_clamav(path: Path, stock: Stock, wish: Wish) -> Written:
    """A line for each digest: ``DIGEST:SIZE:hashscan.LIST.ENTRY``. All algorithms may be in one .hsb file."""

    def lines(sheet: Sheet) -> list[str]:
        tail = f":*:hashscan.{stock.list_id}.{sheet.id}:{_NO_SIZE_LEVEL}"
        if sheet.size is not None:
            tail = f":{sheet.size}:hashscan.{stock.list_id}.{sheet.id}"
        return [f"{sheet.digests[one].hex()}{tail}" for one in wish.algorithms if one in sheet.digests]

    return _write(path, stock, "", lines)


def write_hashdeep(path: Path, stock: Stock, wish: Wish) -> Written:
    """A line for each entry that has all the digests and a size: hashdeep calls a file of another size a collision."""
    head = f"%%%% HASHDEEP-1.0\n%%%% size,{','.join(wish.algorithms)},filename\n## hashscan, list {stock.list_id}\n## \n"

    def lines(sheet: Sheet) -> list[str]:
        if sheet.size is None or not sheet.digests.keys() >= set(wish.algorithms):
            return []
        return [",".join([str(sheet.size), *(sheet.digests[one].hex() for one in wish.algorithms), sheet.id])]

    written = _write(path, stock, head, lines)
    return written._replace(digests=written.entries * len(wish.algorithms))


def _write(path: Path, stock: Stock, head: str, lines: Callable[[Sheet], list[str]]) -> Written:
    entries = count = skipped = 0
    with replace_file(path) as stream:
        hasher = hashlib.sha256(head.encode())
        stream.write(head.encode())
        for sheet in stock.sheets():
            found = lines(sheet)
            entries, count, skipped = entries + bool(found), count + len(found), skipped + (not found)
            text = "".join(f"{one}\n" for one in found).encode()
            hasher.update(text)
            stream.write(text)
    return Written(entries, count, skipped, hasher.hexdigest())
