"""A data folder with keys and nothing else, and root keys that sign: what the tests of the ceremony share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hashscan.known.metadata import RootPlan
from hashscan.service import ceremony, keys, root_keys
from hashscan.service.root_keys import Draft, RootKeyFile
from hashscan.service.store import Folder, Store, connect, open_store
from hashscan.service.tables import ServiceRow

NOW = 1_790_000_000.0
DAY = 86_400.0


@contextmanager
def keyed_store(data: Path, *, now: float = NOW) -> Iterator[Store]:
    """A service in ``data`` that has its online keys and no root; made where it is not there yet."""
    if not data.exists():
        data.mkdir(mode=0o700)
        fresh = connect(Folder(data), cache_kib=1024, busy_seconds=5.0)
        fresh.database.make()
        fresh.upgrade()
        with fresh.writing() as session:
            session.add(ServiceRow(name="test", created=now))
        keys.make_online_keys(fresh, now=now)
        fresh.close()
    with open_store(data) as store:
        yield store


class Holders:
    """People with root keys, each in a file of the folder ``home``."""

    def __init__(self, home: Path, names: str) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        self.files: dict[str, RootKeyFile] = {}
        for name in names:
            self.join(name)

    def join(self, name: str) -> str:
        self.files[name] = root_keys.make_root_key(self.home / f"{name}.pem")
        return self.files[name].public

    def publics(self, names: str) -> list[str]:
        return [self.files[name].public for name in names]

    def signed(self, draft: Draft, names: Sequence[str]) -> Path:
        path = self.home / "draft.json"
        root_keys.write_draft(path, draft)
        for name in names:
            root_keys.sign_draft(path, self.files[name].private)
        return path

    def put_into_force(self, store: Store, draft: Draft, names: Sequence[str], *, now: float = NOW) -> RootPlan:
        return ceremony.install(store, self.signed(draft, names), now=now)

    def begin(self, store: Store, names: str, threshold: int, *, now: float = NOW) -> RootPlan:
        """The first root, signed by all."""
        return self.put_into_force(store, ceremony.draft_init(store, self.publics(names), threshold, now=now), names, now=now)
