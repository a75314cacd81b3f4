"""The console blocks of the README are typed, by a shell, against a real service on loopback. All files are harmless.

What a reader would see in ``/srv/www`` and ``/etc/hashscan`` is a folder of the test; nothing else in a line is changed but the
address of the service, and the words CASE and CODE.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TIMEOUT = 60.0  # seconds for one line
PUBLIC_URL = "https://hashes.example.org"

NOT_RUN = {
    "Try it": "scripts/demo makes an environment of its own from the package index; the demo itself is run by another story",
    "Install": "pip install fetches from the package index",
    "From nothing to a nightly scan": "scripts/chroots types it into fresh chroots of Debian",
}
"""Headings whose blocks are not typed here, and why."""

RUN = {
    "A one-off audit, no service needed": 1,
    "Nightly, with a service": 2,
    "JSON": 1,
    "Running the central service": 1,
}
"""Headings whose blocks are typed here, and how many console blocks they have."""


def blocks(text: str, language: str) -> dict[str, list[str]]:
    """The code blocks of one language, by the heading above them."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        heading, _, body = part.partition("\n")
        for block in re.findall(rf"^```{language}\n(.*?)^```", body, re.MULTILINE | re.DOTALL):
            found.setdefault(heading, []).append(block)
    return found


def lines(block: str) -> list[str]:
    """The command lines of a console block; every line of it must be one."""
    typed = block.splitlines()
    assert typed
    assert all(line.startswith("$ ") for line in typed), "a console block holds commands only, each after a prompt"
    return [line.removeprefix("$ ") for line in typed]


@dataclass(frozen=True)
class Machine:
    """A machine for one reader: ``top`` holds what would be /, ``environment`` is that of the shell."""

    top: Path
    environment: Mapping[str, str]

    def mapped(self, line: str) -> str:
        """The line with the folders of this machine."""
        return line.replace("/srv/www", shlex.quote(str(self.top / "srv/www")))

    def type(self, line: str, *, expect: int = 0, **more: str) -> str:
        """Type one line into a shell; its stdout. Fails where the exit code is not the expected one."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", self.mapped(line)],
            cwd=self.top,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == expect, (
            f"$ {line}\nexit code {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def config(self, text: str) -> None:
        """Append to the configuration."""
        with (self.top / "etc/hashscan/config.toml").open("a", encoding="utf-8") as stream:
            stream.write(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """``hashscan`` is on the PATH, and two of the files in /srv/www are on the list that a reader would have."""
    top = tmp_path
    site = top / "srv/www/site"
    site.mkdir(parents=True)
    for number in range(20):
        (site / f"page-{number}.html").write_text(f"<p>harmless page {number}</p>\n")
    listed = {site / "one.bin": b"harmless stand-in one\n", site / "two.bin": b"harmless stand-in two\n" * 99}
    for path, content in listed.items():
        path.write_bytes(content)
    digests = "".join(f"{hashlib.sha1(content).hexdigest()}  a file\n" for content in listed.values())
    (top / "list.txt").write_text(digests)
    (top / "list.sha1").write_text(digests)
    program = top / "bin/hashscan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hashscan "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(top / "home"),
        "HASHSCAN_CONFIG": str(top / "etc/hashscan/config.toml"),
        **{f"HASHSCAN_PATHS_{name}": str(top / "var" / name.lower()) for name in ("STATE", "RUN", "CACHE")},
        "LC_ALL": "C.UTF-8",
    }
    return Machine(top, environment)


@contextmanager
def served(machine: Machine, line: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Type the line that serves, on a free port, for the time of the block; the URL where it answers."""
    command = ["bash", "-c", f"exec {line} --port 0"]
    with subprocess.Popen(command, cwd=machine.top, env=environment, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            said = child.stderr.readline()
            assert said.startswith("answering on http://127.0.0.1:"), said + child.stderr.read()
            yield said.split()[-1]
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(TIMEOUT) == 0


@contextmanager
def hotline(machine: Machine) -> Iterator[None]:
    """The section about the service, and the first line of the one about agents, with the code that the hotline hands over."""
    # Only for these commands: the agent's own would take the variable for a setting.
    with_data = {"HASHSCAN_HOTLINE": str(machine.top / "hotline")}
    *prepared, last = lines(blocks(README, "console")["Running the central service"][0])
    assert last == "hashscan service serve"
    said = [machine.type(line, expect=0, **with_data) for line in prepared]
    (code,) = re.findall(r"hse1-[a-z2-7-]+", "".join(said))
    phase = "hashscan service provider phase acme regular"
    assert f"`{phase}`" in README
    machine.type(phase, expect=0, **with_data)
    enroll = lines(blocks(README, "console")["Nightly, with a service"][0])[0]
    assert f" {PUBLIC_URL} CODE " in enroll
    with served(machine, last, {**machine.environment, **with_data}) as url:  # there is no reverse proxy with TLS here
        told = machine.type(enroll.replace(PUBLIC_URL, url).replace("CODE", code))
        assert told.count("ok ") == 4, "the sync and three steps of the self-test"
        yield


def test_every_console_block_is_typed_or_excused() -> None:
    found = {heading: len(some) for heading, some in blocks(README, "console").items()}
    assert found == {**dict.fromkeys(NOT_RUN, 1), **RUN}


def test_the_audit(machine: Machine) -> None:
    (line,) = lines(blocks(README, "console")["A one-off audit, no service needed"][0])
    before = sorted(machine.top.rglob("*"))
    machine.type(line, expect=10, HASHSCAN_CONFIG="")  # this section knows of no configuration
    (machine.top / "list.txt").write_text("ab" * 20 + "\n")
    machine.type(line, expect=0, HASHSCAN_CONFIG="")
    assert sorted(path for path in machine.top.rglob("*") if path.name != "home") == before


def test_the_service_and_its_nightly_agent(machine: Machine) -> None:
    first, second = (lines(block) for block in blocks(README, "console")["Nightly, with a service"])
    site = machine.top / "srv/www/site"
    with hotline(machine):
        _enroll, sync, selftest, scan = first
        machine.type(sync)
        assert machine.type(selftest).count("ok ") == 3
        machine.type(scan, expect=10)
        assert (site / "one.bin").exists(), "a fresh installation only reports"

        (switch_on,) = blocks(README, "toml")["Nightly, with a service"]
        machine.config(switch_on)
        machine.type("hashscan scan -q /srv/www", expect=10)  # what the timer does
        assert not (site / "one.bin").exists()
        assert not (site / "two.bin").exists()

        status, confirm, listing, restore, verify = second
        assert re.search(r"cases\.done +2", machine.type(status))
        machine.type(confirm)
        cases = re.findall(r"^done +([0-9a-f]{16})", machine.type(listing), re.MULTILINE)
        assert len(cases) == 2
        for case in cases:
            machine.type(restore.replace("CASE", case))
        assert "the log holds" in machine.type(verify)
        assert (site / "one.bin").read_bytes() == b"harmless stand-in one\n"
        assert (site / "two.bin").read_bytes() == b"harmless stand-in two\n" * 99


@pytest.mark.optional("jq")
def test_the_json(machine: Machine) -> None:
    scan, found, left, whole = lines(blocks(README, "console")["JSON"][0])
    with hotline(machine):
        machine.type(scan, expect=10)
    site = machine.top / "srv/www/site"
    assert sorted(line.split("\t")[1] for line in machine.type(found).splitlines()) == [
        str(site / "one.bin"),
        str(site / "two.bin"),
    ]
    assert json.loads(machine.type(left)) == {"skipped": {}, "errors": {}}
    assert machine.type(whole) == "true\n"
    events = machine.top / "events.ndjson"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-1]))
    machine.type(whole, expect=1)  # cut off


def test_control_a_line_that_fails_is_noticed(machine: Machine) -> None:
    with pytest.raises(AssertionError, match="exit code 2, expected 0"):
        machine.type("hashscan scan --no-such-flag /srv/www")
    with pytest.raises(AssertionError, match="exit code 0, expected 10"):
        machine.type("hashscan --version", expect=10)


def test_control_blocks_are_found() -> None:
    one = "## One\n```console\n$ b # why\n$ c\n```\n```toml\nx = 1\n```\n"
    text = f"# T\n```console\n$ a\n```\n{one}## Two\n```console\n$ d\n```\n"
    assert blocks(text, "console") == {"# T": ["$ a\n"], "One": ["$ b # why\n$ c\n"], "Two": ["$ d\n"]}
    assert lines("$ b # why\n$ c\n") == ["b # why", "c"]
    with pytest.raises(AssertionError, match="after a prompt"):
        lines("$ a\nits output\n")
