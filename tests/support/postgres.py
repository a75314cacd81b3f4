"""A PostgreSQL server for tests: Debian's, in a folder of its own, as a user who is not root, on a unix socket and no network.

Each service gets a schema of its own in one database.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from sqlalchemy import create_engine, text

_UNPRIVILEGED = ("postgres", "nobody")
_START_SECONDS = 60
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # what survives a power cut is tested with the settings of a real server
    "autovacuum": "off",
    "max_connections": "200",
    "log_min_messages": "warning",
}


def programs() -> Path | None:
    """The folder with initdb and postgres: the newest that Debian has installed, or that of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def present() -> bool:
    return programs() is not None


def _unprivileged() -> dict[str, int]:
    """How a child is started that must not be root."""
    if os.geteuid() != 0:
        return {}
    for name in _UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid}
    raise AssertionError("no user to run PostgreSQL as")


class Server:
    """A running server; ``folder`` holds its socket and its data."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._programs = programs()
        assert self._programs is not None
        self._settings = {**_SETTINGS, **(settings or {})}
        self._who = _unprivileged()
        if self._who:
            os.chown(folder, self._who["user"], self._who["group"])
        self._command(
            "initdb", "--auth=trust", "--username=hashscan", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync", "-D", "data"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _command(self, program: str, *arguments: str) -> None:
        assert self._programs is not None
        done = subprocess.run(
            [self._programs / program, *arguments], cwd=self.folder, capture_output=True, text=True, check=False, **self._who
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        assert self._programs is not None
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", "-k", str(self.folder), *settings],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._who,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (self.folder / ".s.PGSQL.5432").exists() or not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        assert self._programs is not None
        ask = [self._programs / "pg_isready", "-q", "-h", str(self.folder), "-d", "postgres"]
        return subprocess.run(ask, check=False).returncode == 0

    def stop(self, *, kill: bool = False) -> None:
        """End it at once; with ``kill`` as a crash would."""
        assert self._process is not None
        if kill:
            self._command("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-s")
        else:
            self._process.send_signal(2)  # SIGINT: fast shutdown
        self._process.wait(_START_SECONDS)

    def url(self, schema: str) -> str:
        """The URL of a service's own schema, which is made here."""
        base = f"postgresql://hashscan@/postgres?host={self.folder}"
        engine = create_engine(base.replace("postgresql:", "postgresql+psycopg:", 1), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        engine.dispose()
        return f"{base}&options=-csearch_path%3D{schema}"
