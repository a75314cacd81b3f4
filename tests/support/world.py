"""A small world for stories at the command line: a hotline that serves on loopback, and companies that it has admitted.

The hotline is made once a session; each test gets a company of its own (a copy of the enrolment and of lists that are in force
already) and an empty tree. Every file is harmless, and listed or not by its name alone: `content`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hashscan.report.schema import load
from tests.support.budget import attempts

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = float(max(60, attempts(60)))  # seconds for one command
LISTED = tuple(f"listed-{number}" for number in range(6))
WITHDRAWN, DISPUTED, REPORT_ONLY, MD5_ONLY = "to-withdraw", "to-dispute", "report-only", "md5-only"
COPIES = 24  # listed contents for tests with many findings: copy-0 ...
PHASES = {"acme": "regular", "newbie": "trial"}


def content(name: str) -> bytes:
    """The harmless bytes that stand for the file ``name``; larger ones among them."""
    return f"harmless stand-in {name}\n".encode() * (1 + 700 * (len(name) % 3))


def digest(name: str, algorithm: str = "sha1") -> str:
    """The digest of `content`."""
    return hashlib.new(algorithm, content(name)).hexdigest()


@cache
def _schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(load("event"))


@dataclass(frozen=True)
class Told:
    """What a command said and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The NDJSON lines of stdout, each held against the schema, numbered without a gap."""
        lines = [json.loads(line) for line in self.out.decode("ascii").split("\n")[:-1]]
        for number, line in enumerate(lines):
            _schema().validate(line)
            assert line["seq"] == number
        return lines

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]

    @property
    def summary(self) -> dict[str, Any]:
        """The last event, which is a summary that says the exit code."""
        last = self.events[-1]
        assert last["type"] == "summary"
        assert last["exit_code"] == self.code
        return last

    @property
    def complaint(self) -> str:
        """The one line ``hashscan: ...`` (and perhaps a hint) that all of stderr is; without the prefix."""
        lines = self.err.splitlines()
        assert lines, "nothing was said"
        assert lines[0].startswith("hashscan: "), self.err
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("          ")), self.err
        return self.err.removeprefix("hashscan: ")


def clean_environment() -> dict[str, str]:
    """The environment without settings of ours, warnings as errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HASHSCAN_", "XDG_", "COV_"))}
    path = os.pathsep.join(part for part in (str(REPOSITORY), kept.get("PYTHONPATH")) if part)
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "error", "TERM": "dumb", "COLUMNS": "200"}


def command(*arguments: str | bytes | Path) -> list[str | bytes | Path]:
    """The command line as a user would type it."""
    return [sys.executable, "-m", "hashscan", *arguments]


def hashscan(*arguments: str | bytes | Path, stdin: bytes = b"", **more: Any) -> Told:
    """Run a command to its end. It never ends with a traceback, whatever it was given."""
    env = {**clean_environment(), **more.pop("env", {})}
    done = subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=TIMEOUT, check=False, env=env, **more)
    told = Told(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))
    assert "Traceback" not in told.err, told.err
    return told


@dataclass
class World:
    """One company: its enrolment, state and a tree of customers; ``hotline`` is the data folder of the service."""

    top: Path
    hotline: Path
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        return self.top / "srv"

    @property
    def etc(self) -> Path:
        return self.top / "etc"

    @property
    def state(self) -> Path:
        return self.top / "var"

    @property
    def vault(self) -> Path:
        return self.state / "vault"

    @property
    def config(self) -> Path:
        return self.etc / "config.toml"

    def configure(self, **sections: Mapping[str, Any]) -> None:
        """Change settings: ``configure(quarantine={"enabled": True})``."""
        for name, values in sections.items():
            self.options.setdefault(name, {}).update(values)
        lines = []
        for name, values in self.options.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.config.write_text("\n".join(lines) + "\n")

    def reach(self, url: str, provider: str = "acme") -> None:
        """Say where the service answers, with the files of the enrolment."""
        files = {"api_key_file": "api-key", "provider_key_file": "provider-key", "root_file": "root.json"}
        self.configure(
            service={"url": url, "provider": provider, **files}, paths={"state": "../var", "run": "../run", "cache": "../cache"}
        )

    def run(self, *arguments: str | bytes | Path, **more: Any) -> Told:
        """One command with this company's configuration."""
        return hashscan("--config", self.config, *arguments, **more)

    def scan(self, *arguments: str | bytes | Path, **more: Any) -> Told:
        """A scan of the tree that tells machines."""
        return self.run("scan", "--json", *arguments, self.tree, **more)

    def service(self, *arguments: str | Path) -> str:
        """One command of the hotline, which must succeed; what it printed."""
        told = hashscan("service", "--data", self.hotline, *arguments)
        assert told.code == 0, told.err
        return told.out.decode()

    def plant(self, *names: str, at: str = "alice") -> list[Path]:
        """Files with the contents of these names."""
        home = self.tree / at
        home.mkdir(parents=True, exist_ok=True)
        paths = [home / name for name in names]
        for path in paths:
            path.write_bytes(content(path.name))
            path.chmod(0o640)
        return paths

    def cases(self) -> list[dict[str, Any]]:
        """What ``quarantine list`` says."""
        told = self.run("quarantine", "list", "--json")
        assert told.code == 0, told.err
        return told.of("case")

    def pending(self) -> int:
        """What ``status`` says."""
        (event,) = self.run("status", "--json").of("status")
        count = event["status"]["pending"]
        assert isinstance(count, int)
        return count


@dataclass(frozen=True)
class Mark:
    """Everything about one name that must not change."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    atime_ns: int
    inode: int
    digest: str

    def restored(self) -> Mark:
        """What a restore gives back: a new inode, so its number and the times that the kernel alone sets may differ."""
        return replace(self, inode=0, ctime_ns=0, atime_ns=0)


def marks(top: Path) -> dict[bytes, Mark]:
    """All names below ``top`` as they are, without leaving a trace of having looked: not even access times change."""
    found = {}
    waiting = [os.fsencode(top)]
    while waiting:
        folder = waiting.pop()
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME)
        try:
            names = os.listdir(fd)
        finally:
            os.close(fd)
        for path in (os.path.join(folder, os.fsencode(name)) for name in names):
            found[path] = mark = _mark(path)
            if stat.S_ISDIR(mark.mode):
                waiting.append(path)
    return found


def _mark(path: bytes) -> Mark:
    status = os.lstat(path)
    return Mark(
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_atime_ns,
        status.st_ino,
        _digest(path) if stat.S_ISREG(status.st_mode) else "",
    )


def _digest(path: bytes) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    with os.fdopen(fd, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


@dataclass(frozen=True)
class Hotline:
    """A service that answers, with one published list and two companies: acme (regular) and newbie (on trial)."""

    top: Path
    url: str

    @property
    def data(self) -> Path:
        return self.top / "service"

    def admit(self, folder: Path, provider: str = "acme") -> World:
        """A company as it is after enrolment and a first sync, with an empty tree in ``folder``."""
        shutil.copytree(self.top / provider, folder, dirs_exist_ok=True)
        (folder / "srv").mkdir()
        world = World(folder, self.data)
        world.reach(self.url, provider)
        return world


def _found(top: Path) -> None:
    """A hotline that has imported its lists and admitted its companies."""
    from hashscan.service import admin  # noqa: PLC0415 - an extra
    from hashscan.service.importers.port import Shape  # noqa: PLC0415 - an extra
    from hashscan.service.importing import ImportRequest  # noqa: PLC0415 - an extra
    from hashscan.service.tables import Phase  # noqa: PLC0415 - an extra

    data, source = top / "service", top / "list"
    admin.init(data, name="Test hotline", root_keys=top / "root-keys")
    moving = [*LISTED, WITHDRAWN, DISPUTED, *(f"copy-{number}" for number in range(COPIES))]
    lists: Iterable[tuple[str, str, str]] = (
        ("police", "quarantine", "".join(f"{digest(name)}\n" for name in moving)),
        ("police", "report", f"{digest(REPORT_ONLY)}\n"),
        ("old", "quarantine", f"{digest(MD5_ONLY, 'md5')}\n"),
    )
    for name, act, text in lists:
        source.write_text(text)
        admin.import_list(data, ImportRequest(name, source, "test", shape=Shape(act=admin_act(act))))
    for provider, phase in PHASES.items():
        admin.add_provider(data, provider, phase=Phase(phase), url="http://127.0.0.1:1", out=top / provider / "etc")
    admin.publish(data)


def admin_act(name: str) -> Any:
    """The act as the importer takes it."""
    from hashscan.model import Act  # noqa: PLC0415 - beside the extra

    return Act(name)


@contextmanager
def serving(top: Path) -> Iterator[Hotline]:
    """Serve a hotline that was founded in ``top``."""
    from hashscan.service.embedded import start_embedded  # noqa: PLC0415 - an extra

    with start_embedded(top / "service") as service:
        yield Hotline(top, service.url)


@pytest.fixture(scope="session")
def hotline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hotline]:
    """The hotline of the session. Tests do not change it, but for entries of their own."""
    top = tmp_path_factory.mktemp("hotline")
    _found(top)
    with serving(top) as started:
        for provider in PHASES:
            world = World(top / provider, top / "service")
            world.reach(started.url, provider)
            assert world.run("sync", "-q").code == 0
        yield started


@pytest.fixture
def world(hotline: Hotline, tmp_path: Path) -> World:
    """A company of one's own."""
    return hotline.admit(tmp_path / "acme")


@pytest.fixture
def own_hotline(hotline: Hotline, tmp_path: Path) -> Callable[[], AbstractContextManager[Hotline]]:
    """A copy of the hotline that a test may change, stop and start again."""
    top = tmp_path / "hotline"
    shutil.copytree(hotline.top, top)
    return lambda: serving(top)
