"""The adapter for the public conformance suite, driven as the suite drives it, against a repository of ours on loopback."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time

import pytest

from tests.support.repository import Repository, file_spec

CLIENT = Path(__file__).with_name("client.py")
CONTENT = b"harmless"


class Place:
    """A repository on loopback, and a client's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = Repository(time(), "anybody")
        self.asked: list[str] = []
        for name in ("metadata", "targets"):
            (folder / name).mkdir()
        self.publish(1)

    def publish(self, version: int) -> None:
        spec = file_spec("a/b.txt", CONTENT, {})
        self.repository.files[f"a/{spec.sha256}.b.txt"] = CONTENT
        self.repository.sign_targets(version, [spec])
        self.repository.sign_snapshot(version, version)
        self.repository.sign_timestamp(version, version)

    def run(self, *arguments: str) -> int:
        command = [sys.executable, str(CLIENT), "--metadata-dir", str(self.folder / "metadata"), *arguments]
        return subprocess.run(command, check=False, capture_output=True).returncode

    def init(self) -> int:
        root = self.folder / "initial.json"
        root.write_bytes(self.repository.roots[0])
        return self.run("init", str(root))

    def version(self, role: str) -> bytes:
        return (self.folder / "metadata" / f"{role}.json").read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Place, str]]:
    here = Place(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            data = here.repository.files.get(self.path.partition("/")[2].partition("/")[2])
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield here, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_init_refresh_download(place: tuple[Place, str]) -> None:
    here, url = place
    assert here.init() == 0
    assert here.asked == []
    assert here.version("root") == here.repository.roots[0]

    refresh = ("--metadata-url", f"{url}/metadata", "refresh")
    assert here.run(*refresh) == 0
    for role in ("timestamp", "1.snapshot", "1.targets"):
        assert here.version(role.removeprefix("1.")) == here.repository.files[f"{role}.json"]

    here.repository.rotate_online()
    here.publish(2)
    download = (
        "--metadata-url", f"{url}/metadata", "--target-name", "a/b.txt",
        "--target-base-url", f"{url}/targets", "--target-dir", str(here.folder / "targets"), "download",
    )  # fmt: skip
    assert here.run(*download) == 0
    assert here.version("root") == here.repository.roots[1]
    assert [path.read_bytes() for path in (here.folder / "targets").iterdir()] == [CONTENT]
    here.asked.clear()
    assert here.run(*download) == 0
    assert here.asked == ["/metadata/3.root.json", "/metadata/timestamp.json"], "the target is there already"


def test_what_is_refused_ends_with_1(place: tuple[Place, str]) -> None:
    here, url = place
    assert here.init() == 0
    refresh = ("--metadata-url", f"{url}/metadata", "refresh")
    assert here.run(*refresh) == 0
    here.repository.sign_timestamp(2, 1, expires=time() - 1)
    assert here.run(*refresh) == 1
    assert (
        here.run("--metadata-url", f"{url}/metadata", "--target-name", "no such", "--target-dir", str(here.folder), "download")
        == 1
    )
    del here.repository.files["timestamp.json"]
    assert here.run(*refresh) == 1
