#!/usr/bin/env python3
"""The command line that the public conformance suite of The Update Framework asks for, on top of `hashscan.known.updater`.

Source: CLIENT-CLI.md of https://github.com/theupdateframework/tuf-conformance. How to run it: README.md beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from hashscan.errors import HashscanError, NotPublishedError, ServiceUnavailable
from hashscan.known.updater import Layout, Refreshed, refresh

TARGETS = "targets/"  # no name of metadata has a slash
LAYOUT = Layout(delegations=32, digest_in_names=True, targets=TARGETS)
MAX_TARGET_BYTES = 64 * 2**20
TIMEOUT = 10.0  # seconds


class WebFetcher:
    """A `ports.Fetcher` of any repository on the web, without a key."""

    def __init__(self, metadata_url: str, targets_url: str) -> None:
        self._metadata_url = metadata_url.rstrip("/")
        self._targets_url = targets_url.rstrip("/")

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """As the port says; the caller counts the bytes too."""
        if name.startswith(TARGETS):
            url = f"{self._targets_url}/{name.removeprefix(TARGETS)}"
        else:
            url = f"{self._metadata_url}/{name}"
        with requests.get(url, stream=True, timeout=TIMEOUT, allow_redirects=False) as reply:
            if reply.status_code == 404:
                raise NotPublishedError(f"no {name}")
            if reply.status_code != 200:
                raise ServiceUnavailable(f"status {reply.status_code} for {name}")
            yield from reply.iter_content(1 << 16)


def pinned(folder: Path) -> Path:
    """Where the first root stays: beside the folder, which belongs to the updater."""
    return folder.with_name(folder.name + ".pinned")


def init(folder: Path, root: Path) -> None:
    """Pin ``root``, and show it as the root in force."""
    shutil.copyfile(root, pinned(folder))
    shutil.copyfile(root, folder / "root.json")


def update(options: argparse.Namespace) -> Refreshed:
    """Bring the metadata up to date."""
    folder = Path(options.metadata_dir)
    fetcher = WebFetcher(options.metadata_url, options.target_base_url or "")
    return refresh(fetcher, folder, pinned(folder).read_bytes(), layout=LAYOUT)


def download(options: argparse.Namespace) -> None:
    """Fetch each target that is not there already."""
    refreshed = update(options)
    for name in options.target_name:
        path = Path(options.target_dir) / quote(name, safe="")
        kept = path.read_bytes() if path.is_file() else None
        data = refreshed.target(name, max_bytes=MAX_TARGET_BYTES, kept=kept)
        if data is not kept:
            path.write_bytes(data)


def main() -> int:
    """0 if all went well, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata-dir", required=True)
    for name in ("--metadata-url", "--target-dir", "--target-base-url"):
        parser.add_argument(name)
    parser.add_argument("--target-name", action="append", default=[])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root")
    commands.add_parser("refresh")
    commands.add_parser("download")
    options = parser.parse_args()
    try:
        if options.command == "init":
            init(Path(options.metadata_dir), Path(options.trusted_root))
        elif options.command == "refresh":
            update(options)
        else:
            download(options)
    except HashscanError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
