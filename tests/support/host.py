"""A server of a company, as a sysadmin works on it: nothing of hashscan yet, then enrolled, then scanning."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hashscan.known.keys import KeyRing
from tests.support.world import Told, content, hashscan


@dataclass
class Host:
    """Everything of it is below ``top``: settings in etc, customers in srv, state where the environment says."""

    top: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("state", "run", "cache"):
            self.env[f"HASHSCAN_PATHS_{name.upper()}"] = str(self.top / name)
        self.tree.mkdir(parents=True)

    @property
    def etc(self) -> Path:
        return self.top / "etc"

    @property
    def tree(self) -> Path:
        return self.top / "srv"

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.etc.iterdir()} if self.etc.exists() else set()

    @property
    def ring(self) -> KeyRing:
        return KeyRing.from_text((self.etc / "provider-key").read_text())

    def enroll(self, url: str, code: str, *more: str | Path, label: str = "") -> Told:
        """With the code from stdin, as a careful operator does it."""
        arguments = ("enroll", url, "-", "--out", self.etc, "--label", label or self.top.name, *more)
        return hashscan(*arguments, stdin=f"{code}\n".encode(), env=self.env)

    def run(self, *words: str | Path) -> Told:
        return hashscan("--config", self.etc / "config.toml", *words, env=self.env)

    def must(self, *words: str | Path, code: int = 0) -> Told:
        """Run it, and it ends with this exit code."""
        told = self.run(*words)
        assert told.code == code, (words, told.code, told.out, told.err)
        return told

    def scan(self) -> Told:
        return self.run("scan", "--json", self.tree)

    def plant(self, *names: str, customer: str = "") -> None:
        home = self.tree / customer
        home.mkdir(exist_ok=True)
        for name in names:
            (home / name).write_bytes(content(name))
            (home / name).chmod(0o640)
