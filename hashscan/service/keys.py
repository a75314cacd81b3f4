"""The keys that this service signs with, and the roots that name them (docs/service.md, "The keys of the service").

::

    DATA/keys/ROLE-KEYID.pem   0600, Ed25519: targets, snapshot, timestamp, verdict
    DATA/roots/N.root.json     version N of the root, signed offline; the highest N is in force

The root in force says which keys sign targets, snapshot and timestamp. Verdict keys are ours to change: the targets name them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.atomic import fsync_directory, make_private_directory
from hashscan.errors import HashscanError, UsageError
from hashscan.known.envelopes import SigningKey, key_id
from hashscan.known.metadata import MAX_ROOT_BYTES, RootPlan, read_root
from hashscan.model import VerdictKey
from hashscan.service.asking import Asking, Statement
from hashscan.service.private_files import read_key, write_key
from hashscan.service.store import Store
from hashscan.service.tables import OnlineKey, Role

ROOT_ROLES = (Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP)
OVERLAP = 14 * 86_400.0  # seconds that an old verdict key signs beside the new one: agents sync every few hours
LISTED_AFTER = 30 * 86_400.0  # seconds that a retired verdict key stays listed: for envelopes that are on their way or stored
MAX_LISTED = 8  # verdict keys; agents refuse more
MAX_IN_USE = 4  # verdict keys that sign at a time: agents check at most 8 signatures
_ROOT_NAME = re.compile(r"([1-9][0-9]{0,6})\.root\.json")


_VERDICT_KEYS = Statement(
    select(OnlineKey.public, OnlineKey.since, OnlineKey.until)
    .where(OnlineKey.role == Role.VERDICT.value)
    .order_by(OnlineKey.id)
)


class OnlineKeys:
    """What an open service signs with. Every call looks at what is in force now: a rotation needs no restart.

    Safe to share between threads. Every method raises `UsageError` where a file is missing, damaged or readable by others.
    """

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._read: dict[str, SigningKey] = {}  # by public key

    @classmethod
    def open(cls, store: Store, *, now: Callable[[], float] = time.time) -> OnlineKeys:
        """The keys of ``store``; ``now`` gives seconds since 1970."""
        return cls(store, now)

    def signing(self, role: Role) -> list[SigningKey]:
        """The keys that sign for ``role`` now: one, of verdicts several while they are rotated."""
        if role is Role.VERDICT:
            with self._store.asking() as asking:
                return self.signing_verdicts(asking)
        return [self._key(role, read_root(self.latest_root()).online[role.value])]

    def signing_verdicts(self, asking: Asking) -> list[SigningKey]:
        """The keys that sign verdicts now, read in a transaction that is open."""
        rows = (VerdictKey(*row) for row in asking.rows(_VERDICT_KEYS))
        return [self._key(Role.VERDICT, one.public) for one in rows if in_use(one, self._now())]

    def _key(self, role: Role, public: str) -> SigningKey:
        if public not in self._read:
            self._read[public] = private_half(self._store, role, public)
        return self._read[public]

    def verdict_keys(self) -> tuple[VerdictKey, ...]:
        """What the targets say of verdict keys, in the order of ``since``: those in use and those retired not long ago."""
        return listed(self._verdict_rows(), self._now())

    def _verdict_rows(self) -> list[VerdictKey]:
        with self._store.reading() as session:
            return _verdict_keys(session)

    def root_files(self) -> list[Path]:
        """The versions of the root, from the first to the one in force."""
        return root_files(self._store)

    def latest_root(self) -> bytes:
        """The root in force. Raises `UsageError` where there is none yet."""
        return latest_root(self._store)

    def bootstrap_root(self) -> bytes:
        """The root that new agents pin: the one in force."""
        return self.latest_root()


def in_use(key: VerdictKey, now: float) -> bool:
    """Whether a verdict key signs at ``now``."""
    return key.until is None or now < key.until


def listed(keys: Iterable[VerdictKey], now: float) -> tuple[VerdictKey, ...]:
    """Of all verdict keys those that agents must know at ``now``: all in use, and the last ones retired."""
    keys = list(keys)
    active = [one for one in keys if in_use(one, now)]
    retired = [one for one in keys if one.until is not None and one.until <= now < one.until + LISTED_AFTER]
    retired.sort(key=lambda one: one.until or 0.0, reverse=True)
    return tuple(sorted([*active, *retired][:MAX_LISTED], key=lambda one: one.since))


def make_online_keys(store: Store, *, now: float | None = None) -> None:
    """The first key of every role, for a service that was just made. Raises `UsageError`, `HashscanError` (no space)."""
    with store.writing() as session:
        if session.scalar(select(OnlineKey.id).limit(1)) is not None:
            raise UsageError("this service has its keys already")
        for role in Role:
            new_key(store, session, role, time.time() if now is None else now)


def new_key(store: Store, session: Session, role: Role, now: float) -> str:
    """A new key of ``role`` in the caller's transaction; returns the public half. The private half is on disk first."""
    key = SigningKey.generate()
    public = key.public_hex()
    try:
        make_private_directory(store.folder.keys)
    except OSError as error:
        raise HashscanError(f"cannot make {store.folder.keys}: {error.strerror}") from None
    write_key(key_path(store, role, public), key)
    session.add(OnlineKey(role=role.value, public=public, since=now, until=None))
    session.flush()
    return public


def rotate_verdict_key(store: Store, overlap: float = OVERLAP, *, now: float | None = None) -> VerdictKey:
    """A new verdict key beside the old ones, which sign on for ``overlap`` seconds or until `retire_verdict_keys`.

    Agents believe the new key alone only once they have synced. Raises `UsageError`.
    """
    at = time.time() if now is None else now
    if not 0 < overlap <= 366 * 86_400:
        raise UsageError("the overlap is from 1 second to 366 days")
    with store.writing() as session:
        active = [row for row in _rows(session) if row.until is None or at < row.until]
        if len(active) >= MAX_IN_USE:
            raise UsageError(
                f"{len(active)} verdict keys are in use already", hint="run 'hashscan service keys retire-verdict'"
            )
        for row in active:
            row.until = at + overlap if row.until is None else min(row.until, at + overlap)
        public = new_key(store, session, Role.VERDICT, at)
    remove_retired(store, now=at)
    return VerdictKey(public, at, None)


def retire_verdict_keys(store: Store, *, now: float | None = None) -> tuple[VerdictKey, ...]:
    """End all verdict keys but the newest, now, and remove their private halves; returns those that this ended.

    Raises `UsageError` where there is one key only.
    """
    at = time.time() if now is None else now
    with store.writing() as session:
        rows = _rows(session)
        if len(rows) < 2:
            raise UsageError("there is only one verdict key", hint="run 'hashscan service keys rotate --verdict' first")
        ended = [row for row in rows[:-1] if row.until is None or at < row.until]
        for row in ended:
            row.until = at
        found = tuple(VerdictKey(row.public, row.since, row.until) for row in ended)
    remove_retired(store, now=at)
    return found


def remove_retired(store: Store, *, now: float | None = None) -> None:
    """Remove private halves that sign no more: of ended verdict keys, and of role keys older than those the root names.

    Safe to repeat: after a power cut the next change of keys does what is left. Raises `HashscanError`.
    """
    at = time.time() if now is None else now
    paths = [key_path(store, Role.VERDICT, one.public) for one in _read_rows(store) if not in_use(one, at)]
    if root_files(store):
        plan = read_root(latest_root(store))
        with store.writing() as session:
            for role in ROOT_ROLES:
                paths += [key_path(store, role, row.public) for row in _end_older(session, role, plan, at)]
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        if paths:
            fsync_directory(store.folder.keys)
    except OSError as error:
        raise HashscanError(f"cannot remove a retired key in {store.folder.keys}: {error.strerror}") from None


def _end_older(session: Session, role: Role, plan: RootPlan, now: float) -> list[OnlineKey]:
    """Newer keys than the one in force may stand in a draft that is being signed: they stay."""
    current = session.scalar(select(OnlineKey.id).where(OnlineKey.public == plan.online[role.value]))
    if current is None:  # the database is older than the root: nothing is known about what is retired
        return []
    rows = list(session.scalars(select(OnlineKey).where(OnlineKey.role == role.value, OnlineKey.id < current)))
    for row in rows:
        row.until = now if row.until is None else row.until
    return rows


def _read_rows(store: Store) -> list[VerdictKey]:
    with store.reading() as session:
        return _verdict_keys(session)


def _verdict_keys(session: Session) -> list[VerdictKey]:
    return [VerdictKey(row.public, row.since, row.until) for row in _rows(session)]


def _rows(session: Session) -> list[OnlineKey]:
    return list(session.scalars(select(OnlineKey).where(OnlineKey.role == Role.VERDICT.value).order_by(OnlineKey.id)))


def newest_public(session: Session, role: Role) -> str:
    """The key of ``role`` that was made last. Raises `UsageError` where there is none."""
    found = session.scalar(select(OnlineKey.public).where(OnlineKey.role == role.value).order_by(OnlineKey.id.desc()).limit(1))
    if found is None:
        raise UsageError(f"this service has no {role.value} key", hint="was it made by 'hashscan service init'?")
    return found


def private_half(store: Store, role: Role, public: str) -> SigningKey:
    """The private key that belongs to ``public``. Raises `UsageError` where this service does not have it."""
    path = key_path(store, role, public)
    key = read_key(path)
    if key.public_hex() != public:
        raise UsageError(f"{path} holds another key than its name says", hint="restore it from its backup")
    return key


def key_path(store: Store, role: Role, public: str) -> Path:
    """Where the private half of a key lies."""
    return store.folder.keys / f"{role.value}-{key_id(public)}.pem"


def root_files(store: Store) -> list[Path]:
    """The versions of the root, from the first to the one in force. Raises `UsageError`."""
    folder = store.folder.roots
    try:
        names = os.listdir(folder) if folder.exists() else []
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from None
    found = {int(match[1]): folder / name for name in names if (match := _ROOT_NAME.fullmatch(name))}
    return [found[version] for version in sorted(found)]


def latest_root(store: Store) -> bytes:
    """The root in force. Raises `UsageError` where there is none yet."""
    files = root_files(store)
    if not files:
        raise UsageError("this service has no root yet: agents would believe nothing", hint="run 'hashscan service keys init'")
    try:
        with files[-1].open("rb") as stream:
            return stream.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {files[-1]}: {error.strerror}", hint="restore it from its backup") from None
