"""A split host without systemd as process 1: its users, folders and rights are made of the unit files themselves.

`systemd-sysusers` and `systemd-tmpfiles` make users and folders below a folder. A unit is then run as its user, with exactly
the capabilities that it has, without a network where it has none, and with what is read-only or hidden for it, by means of
unshare(1) and setpriv(1).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.splitting import PACKAGES
from tests.support.world import REPOSITORY, TIMEOUT, Told, World, clean_environment

SYSTEMD = REPOSITORY / "packaging" / "systemd"
_PLACES = ("/var/lib/hashscan-parts", "/run/hashscan-parts", "/var/cache/hashscan-read", "/etc")


@dataclass(frozen=True)
class Unit:
    """A service file: its settings in order; one that is given several times has several values."""

    name: str
    settings: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str) -> Unit:
        """The unit as it is shipped."""
        found: dict[str, list[str]] = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", (SYSTEMD / name).read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(key, []).append(value)
        return cls(name, found)

    def one(self, key: str, default: str = "") -> str:
        """The last value."""
        return self.settings.get(key, [default])[-1]

    def words(self, key: str) -> list[str]:
        """All words of all values."""
        return [word for value in self.settings.get(key, []) for word in shlex.split(value)]

    def capabilities(self, key: str) -> str:
        """As setpriv wants them."""
        return ",".join(["-all", *(f"+{one.lower().removeprefix('cap_')}" for one in self.words(key))])


@dataclass
class SplitHost:
    """Everything of the host below ``top``; ``world`` is the company whose host it is."""

    top: Path
    world: World

    @property
    def parts(self) -> Path:
        return self.top / "var/lib/hashscan-parts"

    @property
    def tree(self) -> Path:
        return self.top / "srv"

    @property
    def python(self) -> str:
        """The interpreter as units see it."""
        inside = os.path.relpath(os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix))
        return str(self.top / "python" / inside)

    def ids(self, user: str) -> tuple[int, int]:
        """User and group id."""
        rows = [line.split(":") for line in (self.top / "etc/passwd").read_text().splitlines()]
        return next(((int(row[2]), int(row[3])) for row in rows if row[0] == user), (0, 0))

    def here(self, text: str) -> str:
        """The paths of a unit, below ``top``."""
        for place in _PLACES:
            text = text.replace(place, f"{self.top}{place}")
        return text

    def papers(self, tray: str) -> list[str]:
        """What is in a tray, like "read/candidates"."""
        return sorted(os.listdir(self.parts / tray))

    def command(self, unit: Unit, words: Sequence[str]) -> list[str]:
        """A command line with the rights of a unit."""
        uid, gid = self.ids(unit.one("User", "root"))
        rights = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        rights += [f"--bounding-set={unit.capabilities('CapabilityBoundingSet')}"]
        ambient = unit.capabilities("AmbientCapabilities")
        rights += [f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
        apart = ["unshare", "--mount", *(["--net"] if unit.one("PrivateNetwork") == "yes" else [])]
        return [*apart, "sh", "-ec", self._mounts(unit) + '\nexec setpriv "$@"', "sh", *rights, *words]

    def _mounts(self, unit: Unit) -> str:
        """What the unit may not write, and what it may not see; of the rest of the machine nothing is looked at here."""
        top = shlex.quote(str(self.top))
        lines = []
        if "/" in unit.words("ReadOnlyPaths") or unit.one("ProtectSystem") == "strict":
            lines += [f"mount --bind {top} {top}", f"mount -o remount,bind,ro {top}"]
            own = [*unit.words("ReadWritePaths"), *(f"/var/cache/{one}" for one in unit.words("CacheDirectory"))]
            for path in (shlex.quote(self.here(one)) for one in own):
                lines += [f"mount --bind {path} {path}", f"mount -o remount,bind,rw {path}"]
        # The interpreter may lie in a home that others cannot enter.
        lines.append(f"mount --bind {shlex.quote(sys.base_prefix)} {top}/python")
        for path in unit.words("InaccessiblePaths"):
            hidden = shlex.quote(self.here(path.removeprefix("-")))
            lines.append(f"if [ -d {hidden} ]; then mount -t tmpfs -o mode=000 none {hidden}; fi")
        return "\n".join(lines)

    def environment(self, unit: Unit) -> dict[str, str]:
        """That of the unit, with its credentials."""
        env = {**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
        env["LD_LIBRARY_PATH"] = str(self.top / "python/lib")  # where the interpreter is built as a library
        env["PYTHONPATH"] += os.pathsep + PACKAGES
        for one in unit.words("Environment"):
            name, _, value = one.partition("=")
            env[name] = self.here(value)
        if unit.one("User", "root") == "root":  # whose standard files are in /etc/hashscan, whatever the environment says
            env["HASHSCAN_CONFIG"] = str(self.top / "etc/hashscan/config.toml")
        if unit.settings.get("LoadCredential"):
            folder = self.top / "credentials" / unit.name
            folder.mkdir(parents=True, exist_ok=True)
            uid, _ = self.ids(unit.one("User", "root"))
            for one in unit.words("LoadCredential"):
                name, _, source = one.partition(":")
                shutil.copyfile(self.here(source), folder / name)
                (folder / name).chmod(0o440 if uid else 0o400)
                os.chown(folder / name, 0, self.ids(unit.one("User", "root"))[1])
            env["CREDENTIALS_DIRECTORY"] = str(folder)
        return env

    def run(self, name: str, *more: str, before: Sequence[str] = ()) -> Told:
        """Run what a unit runs, to its end; ``before`` goes before the program."""
        unit = Unit.read(name)
        words = [word for word in shlex.split(unit.one("ExecStart")) if word != "--scheduled" and not word.startswith("$")]
        line = self.command(unit, [*before, self.python, "-m", "hashscan", *words[1:], *more])
        return self._run(line, self.environment(unit))

    def as_unit(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run something else with the rights of a unit: what could whoever took it do?"""
        unit = Unit.read(name)
        env = self.environment(unit)
        return subprocess.run(
            self.command(unit, words), capture_output=True, text=True, check=False, env=env, cwd="/", timeout=TIMEOUT
        )

    def person(self, *words: str) -> Told:
        """A command of root's."""
        env = {**clean_environment(), "XDG_CONFIG_HOME": str(self.top / "etc")}
        config = ["--config", str(self.top / "etc/hashscan/config.toml")]
        return self._run([sys.executable, "-m", "hashscan", *config, *words], env)

    def _run(self, line: list[str], env: dict[str, str]) -> Told:
        done = subprocess.run(line, capture_output=True, check=False, env=env, cwd="/", timeout=TIMEOUT)
        told = Told(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))
        assert "Traceback" not in told.err, told.err
        return told


@contextmanager
def split_host(world: World, **sections: dict[str, object]) -> Iterator[SplitHost]:
    """A host of the company, set up as docs/operating.md says, with an empty tree. Its folder can be entered by all users."""
    with tempfile.TemporaryDirectory(prefix="hashscan-split-") as folder:
        host = SplitHost(Path(folder), world)
        host.top.chmod(0o711)
        for name in ("etc/hashscan", "srv", "var/cache/hashscan-read", "run", "python"):
            (host.top / name).mkdir(parents=True)
        root = f"--root={host.top}"
        for line in (["systemd-sysusers", root], ["systemd-tmpfiles", root, "--create"]):
            kind = f"{line[0].removeprefix('systemd-')}.d"
            (host.top / "usr/lib" / kind).mkdir(parents=True)
            shutil.copyfile(SYSTEMD / kind / "hashscan.conf", host.top / "usr/lib" / kind / "hashscan.conf")
            done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=TIMEOUT)
            complaints = [one for one in done.stderr.splitlines() if not one.startswith("Creating ")]
            assert (done.returncode, complaints) == (0, []), done
        os.chown(host.top / "var/cache/hashscan-read", *host.ids("hashscan-read"))
        _configure(host, sections)
        yield host


def _configure(host: SplitHost, sections: dict[str, dict[str, object]]) -> None:
    etc, keys = host.top / "etc/hashscan", host.parts / "net/keys"
    for name in ("api-key", "provider-key"):
        shutil.copyfile(host.world.etc / name, keys / name)
        (keys / name).chmod(0o600)
        os.chown(keys / name, *host.ids("hashscan-net"))
    shutil.copyfile(host.world.etc / "root.json", etc / "root.json")
    service = {**host.world.options["service"], **{f"{one}_key_file": str(keys / f"{one}-key") for one in ("api", "provider")}}
    places = {"state": str(host.parts), "run": host.here("/run/hashscan-parts"), "cache": host.here("/var/cache/hashscan-read")}
    told: dict[str, dict[str, object]] = {"service": service, "paths": {"split": True, **places}, **sections}
    lines = []
    for section, values in told.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (etc / "config.toml").write_text("\n".join(lines) + "\n")
    for path in (etc, *etc.iterdir()):
        os.chown(path, 0, host.ids("hashscan-net")[1])
        path.chmod(0o750 if path.is_dir() else 0o640)
