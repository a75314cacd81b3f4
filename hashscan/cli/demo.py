"""hashscan demo: a service on loopback, a harmless tree, the whole job, in a temporary folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import click

from hashscan.cli.demo_pages import show_pages
from hashscan.cli.folding import speak
from hashscan.cli.lines import emphasised
from hashscan.cli.main import run
from hashscan.errors import ExitCode, UsageError
from hashscan.model import CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault

_CUSTOMERS = ("alice", "bob", "carol")
_EXPECTED = 4  # planted copies of listed files


class DemoFailure(Exception):
    """A step of the demo did not end as it should."""


@click.command(name="demo")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Work in this new folder and leave it behind.")
@click.option("--pages", is_flag=True, help="Instead: serve the pages of a hotline with made-up data, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="With --pages: the port on loopback; 0 picks one.")
def command(keep: Path | None, port: int, **options: bool) -> int:
    """Show the whole job on this machine with harmless files: list, publish, sync, scan, confirm, quarantine, restore.

    Leaves nothing behind. Exit 0: the expected findings were found, confirmed and quarantined, and one was restored.
    """
    if options["pages"]:
        return _pages(keep, port)
    try:
        if keep is not None:
            _make(keep)
            _Demo(keep).play()
        else:
            with tempfile.TemporaryDirectory(prefix="hashscan-demo-") as folder:
                _Demo(Path(folder)).play()
    except DemoFailure as failure:
        speak(f"the demo FAILED: {failure}", err=True)
        return ExitCode.CRASH
    emphasised("\nThe demo succeeded.")
    return ExitCode.OK


def _pages(keep: Path | None, port: int) -> int:
    if keep is not None:
        _make(keep)
        show_pages(keep, port)
    else:
        with tempfile.TemporaryDirectory(prefix="hashscan-demo-") as folder:
            show_pages(Path(folder), port)
    return ExitCode.OK


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", hint="--keep names a new folder") from None


class _Demo:
    """One run through, each step with the very commands that a person would type."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = folder / "srv"
        self._data = folder / "service"
        self._enrolment = folder / "etc"
        self._step = 0

    def play(self) -> None:
        """All acts. Raises `DemoFailure`."""
        # The service is an extra, and costs half a second to import.
        from hashscan.service.embedded import start_embedded  # noqa: PLC0415

        self._plant()
        self._run(
            "A hotline makes a service and imports its list",
            "service init --name Demo --root-keys {keys}",
            "service import {list} --list police",
        )
        with start_embedded(self._data) as service:
            self._run(
                "It admits a hosting company and publishes the list for it, signed",
                f"service provider add acme --url {service.url} --phase regular --out {{etc}}",
                "service publish",
            )
            self._write_config()
            self._run("The company fetches the list and tests the whole chain", "sync", "selftest")
            self._run("A first scan reports and moves nothing", "scan {tree}", expect=ExitCode.FINDINGS)
            self._check_untouched()
            self._run("With --quarantine, confirmed findings are taken", "scan --quarantine {tree}", expect=ExitCode.FINDINGS)
            case = self._check_quarantined()
            self._run("Anybody can check, years later and offline, why a file was taken", f"audit verdict {case}")
            self._run("One file turns out to be a mistake and goes back", f"quarantine restore {case}")
            self._check_restored()
            self._run("What the host and the hotline know now", "confirm -q", "status", "service status")

    def _plant(self) -> None:
        """Harmless files of three customers, four of which the list will name."""
        for customer in _CUSTOMERS:
            home = self._tree / customer / "public_html"
            home.mkdir(parents=True)
            for number in range(200):
                (home / f"page-{number}.html").write_text(f"<p>harmless page {number} of {customer}</p>\n" * (number % 40 + 1))
        self._listed = {
            self._tree / "alice" / "public_html" / "planted-1.bin": b"harmless stand-in one\n" * 1000,
            self._tree / "alice" / "public_html" / "a copy.bin": b"harmless stand-in one\n" * 1000,
            self._tree / "bob" / "public_html" / "planted-2.bin": b"harmless stand-in two\n" * 5000,
            self._tree / "carol" / "public_html" / "odd\nname.bin": b"harmless stand-in three\n",
        }
        for path, content in self._listed.items():
            path.write_bytes(content)
            path.chmod(0o640)
        lines = sorted({f"{hashlib.sha1(content).hexdigest()}  file" for content in self._listed.values()})  # noqa: S324
        (self._folder / "police.sha1").write_text("\n".join(lines) + "\n")
        files = sum(len(names) for _, _, names in os.walk(self._tree))
        speak(f"A harmless tree: {files} files of {len(_CUSTOMERS)} customers. {len(self._listed)} of them are on the list.")

    def _write_config(self) -> None:
        with (self._enrolment / "config.toml").open("a") as config:
            ours = {"state": "var", "run": "run", "cache": "cache"}
            config.write("\n[paths]\n" + "".join(f'{key} = "{self._folder / name}"\n' for key, name in ours.items()))

    def _run(self, title: str, *lines: str, expect: ExitCode = ExitCode.OK) -> None:
        self._step += 1
        emphasised(f"\n{self._step}. {title}")
        names = {
            "tree": str(self._tree),
            "list": str(self._folder / "police.sha1"),
            "etc": str(self._enrolment),
            "keys": str(self._folder / "root-keys"),
        }
        for line in lines:
            words = [word.format(**names) for word in line.split(" ")]
            emphasised(f"$ hashscan {' '.join(words)}".replace(str(self._folder), "DEMO"), "cyan")
            where = ["--data", str(self._data)] if words[0] == "service" else []
            config = [] if words[0] == "service" else ["--config", str(self._enrolment / "config.toml")]
            code = run([*config, words[0], *where, *words[1:]])
            if code != expect:
                raise DemoFailure(f"'hashscan {line}' ended with exit code {code}, expected {int(expect)}")

    def _check_untouched(self) -> None:
        if any(path.read_bytes() != content for path, content in self._listed.items()):
            raise DemoFailure("a scan that only reports changed a file")

    def _check_quarantined(self) -> str:
        left = [path.name for path in self._listed if path.exists()]
        cases = [case for case in Vault(self._folder / "var" / "vault", Limits()).cases() if case.state is CaseState.DONE]
        if left or len(cases) != _EXPECTED:
            raise DemoFailure(f"{len(cases)} of {_EXPECTED} findings were quarantined, left in place: {left}")
        self._case = cases[0]
        return cases[0].id

    def _check_restored(self) -> None:
        path = Path(os.fsdecode(self._case.place.full))
        if path.read_bytes() != self._listed[path] or path.stat().st_mode & 0o777 != 0o640:
            raise DemoFailure("the restored file is not as it was")
        speak("The file is back: same bytes, same mode.")
