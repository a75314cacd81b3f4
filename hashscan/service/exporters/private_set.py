"""A Private Search Set: keyed digests in a sorted file and in a Bloom filter, beside a description of both.

As the published implementation reads it, of which the published description says some things otherwise: its description file
holds exactly these eight fields, and the only algorithm is keyed BLAKE2b, called Blake2. What is keyed is the hex digest in
lowercase; the key is text. Without the key neither file says which digests are in it. Who has the key can ask about any.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hashscan.atomic import make_private_directory, replace_file, write_bytes
from hashscan.model import Algorithm
from hashscan.service.exporters.dcso import Filter
from hashscan.service.exporters.port import Stock, Wish, Written

NAME = "private-search-set"
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 64  # BLAKE2b takes 64; whoever names no key gets the word "infected" elsewhere


def write(path: Path, stock: Stock, wish: Wish) -> Written:
    """The folder ``path`` with .bloom, .pss and, last, .json. What is keyed is held in memory: some 200 bytes a digest."""
    made = Filter(stock.most + 1, wish.error_rate)
    lines: list[str] = []
    entries = 0
    for sheet in stock.sheets():
        entries += 1
        for digest in sheet.digests.values():
            lines.append(hashlib.blake2b(digest.hex().encode(), key=wish.key).hexdigest())
            made.add(lines[-1].encode())
    lines.sort()  # the order of the list would say which digests are of one entry
    hasher = hashlib.sha256()
    make_private_directory(path)
    write_bytes(path / f"{NAME}.bloom", made.encode())
    with replace_file(path / f"{NAME}.pss") as stream:
        for line in lines:
            hasher.update(f"{line}\n".encode())
            stream.write(f"{line}\n".encode())
    write_bytes(path / f"{NAME}.json", json.dumps(_description(made, stock, wish), indent=2).encode() + b"\n")
    return Written(entries, len(lines), 0, hasher.hexdigest())


def _description(made: Filter, stock: Stock, wish: Wish) -> dict[str, object]:
    return {
        "algorithm": "Blake2",
        "bloomfilter": {"capacity": made.capacity, "format": "dcso-v1", "fp-probability": made.error_rate},
        "canonicalization-format": "lower()",
        "description": f"hashscan, hash list {stock.list_id}: {', '.join(wish.algorithms)}",
        "generated-timestamp": int(stock.now),
        "keyid": wish.key_id,
        "misp-attribute-types": [one.value for one in wish.algorithms if one is not Algorithm.BLAKE3],  # MISP has none
        "version": 1,
    }
