"""What waits for the service, durably: pending candidates, cleared answers while they last, outcomes not yet acknowledged.

One SQLite file in the state directory, every change synced to disk before it counts. A candidate is written here before the
service is asked about it, and leaves only after everything that follows from the answer is done.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

from blake3 import blake3

from hashscan.atomic import make_private_directory
from hashscan.central.counts import BUSY_SECONDS, PENDING, UNSENT, VERSION, check_version, guarded
from hashscan.errors import StateError
from hashscan.model import Action, Algorithm, Candidate, Case, FileEntry, Finding, HashedFile, ListRef, Outcome, Place, Receipt
from hashscan.ports import Backlog, LogHead, Waiting
from hashscan.strict_json import Fields, parse_object

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
  key TEXT PRIMARY KEY, candidate TEXT NOT NULL, first_seen REAL NOT NULL,
  asked INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS judged (key TEXT PRIMARY KEY, verdict TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdict (id TEXT PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cleared (key TEXT PRIMARY KEY, until REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcome (
  id TEXT PRIMARY KEY, entry TEXT NOT NULL, list TEXT NOT NULL, verdict TEXT NOT NULL, action TEXT NOT NULL,
  first_seen REAL NOT NULL, acted_at REAL NOT NULL, receipt BLOB, finding TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
"""
_FROM_1 = "ALTER TABLE outcome ADD COLUMN finding TEXT NOT NULL DEFAULT ''"
MAX_CANDIDATE_BYTES = 64 * 2**20  # a tree may be as deep as a tenant likes; its paths are in base64
_WAITING = """SELECT candidate, first_seen, asked, reason, envelope FROM pending LEFT JOIN judged ON judged.key = pending.key
LEFT JOIN verdict ON verdict.id = judged.verdict WHERE pending.key = ?"""
_NO_LONGER_KEPT = "DELETE FROM verdict WHERE NOT EXISTS (SELECT 1 FROM judged WHERE judged.verdict = verdict.id)"
OutcomeRow: TypeAlias = tuple[str, str, str, str, float, float]
"""Entry, list, verdict, action, first seen, acted at."""
_OUTCOME = "id, entry, list, verdict, action, first_seen, acted_at, finding"


class Outbox:
    """The durable state between agent and service. Raises `StateError` where the file cannot be read or written."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        with self._guard():
            make_private_directory(path.parent)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version:
            check_version(self._path, version)
        if version == 1:
            with self._transaction() as db:  # a crash between the two would leave a column that is added again
                db.execute(_FROM_1)
                db.execute(f"PRAGMA user_version={VERSION}")
        self._db.executescript(_SCHEMA)
        if version == 0:  # the last step of making one; a whole one is only opened, and nothing is written
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Make ``candidates`` durable before anyone is asked about them; one that is there already keeps its first time."""
        rows = [(candidate_key(one), encode_candidate(one), self._clock()) for one in candidates]
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO pending (key, candidate, first_seen) VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET candidate = excluded.candidate",
                rows,
            )

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:
        """The service was asked about ``candidates`` and gave no usable answer."""
        with self._transaction() as db:
            rows = [(reason[:500], candidate_key(one)) for one in candidates]
            db.executemany("UPDATE pending SET asked = asked + 1, reason = ? WHERE key = ?", rows)

    def judged(self, findings: Iterable[Finding]) -> None:
        """Keep the verdicts of findings with their candidates. One envelope answers a hundred of them, and is kept once."""
        signed = [one for one in findings if one.envelope]
        with self._transaction() as db:
            envelopes = {one.verdict_id: one.envelope for one in signed}
            db.executemany("INSERT OR IGNORE INTO verdict VALUES (?, ?)", envelopes.items())
            rows = [(candidate_key(one.candidate), one.verdict_id) for one in signed]
            db.executemany("INSERT OR REPLACE INTO judged VALUES (?, ?)", rows)
            db.execute(_NO_LONGER_KEPT)

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Everything that follows from the answers is done."""
        keys = [(candidate_key(one),) for one in candidates]
        with self._transaction() as db:
            db.executemany("DELETE FROM pending WHERE key = ?", keys)
            db.executemany("DELETE FROM judged WHERE key = ?", keys)
            db.execute(_NO_LONGER_KEPT)

    def waiting(self) -> Iterator[Waiting]:
        """All pending candidates, the oldest first; those that are settled meanwhile are left out."""
        with self._guard():
            keys = [row[0] for row in self._db.execute("SELECT key FROM pending ORDER BY first_seen, key")]
        for key in keys:
            with self._guard():
                row = self._db.execute(_WAITING, (key,)).fetchone()
            if row:
                yield Waiting(self._decode(row[0]), row[1], row[2], row[3], row[4] or b"")

    def first_seen(self, candidate: Candidate) -> float:
        """When the candidate was remembered first; now, where it never was."""
        with self._guard():
            row = self._db.execute("SELECT first_seen FROM pending WHERE key = ?", (candidate_key(candidate),)).fetchone()
        return float(row[0]) if row else self._clock()

    def count(self) -> int:
        """How many candidates are pending."""
        with self._guard():
            return int(self._db.execute(PENDING).fetchone()[0])

    def backlog(self) -> Backlog:
        """What is pending, in numbers."""
        with self._guard():
            count, since = self._db.execute("SELECT count(*), min(first_seen) FROM pending").fetchone()
        return Backlog(count, None if since is None else round(since, 6))

    def backlog_told(self) -> Backlog | None:
        """What the service was last told to be pending."""
        with self._guard():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'backlog'").fetchone()
        match = re.fullmatch(r"([0-9]{1,15}) ([0-9]+\.[0-9]+|-)", row[0]) if row else None
        return Backlog(int(match[1]), None if match[2] == "-" else float(match[2])) if match else None

    def note_backlog(self, told: Backlog) -> None:
        """The service has acknowledged what is pending."""
        with self._transaction() as db:
            text = f"{told.pending} {'-' if told.since is None else format(told.since, '.6f')}"
            db.execute("INSERT OR REPLACE INTO meta VALUES ('backlog', ?)", (text,))

    def clear(self, candidate: Candidate, ttl: float) -> None:
        """Remember for ``ttl`` seconds that the service knows no such file, by its digests and the states of the lists."""
        with self._transaction() as db:
            db.execute("DELETE FROM cleared WHERE until < ?", (self._clock(),))
            db.execute("INSERT OR REPLACE INTO cleared VALUES (?, ?)", (_content_key(candidate), self._clock() + ttl))

    def is_cleared(self, candidate: Candidate) -> bool:
        """Whether an answer that still lasts has cleared these digests on these states of the lists."""
        with self._guard():
            query = "SELECT 1 FROM cleared WHERE key = ? AND until >= ?"
            return self._db.execute(query, (_content_key(candidate), self._clock())).fetchone() is not None

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """Note what was done about a finding, to be told to the service; it has no path and no name."""
        self._note(*outcome_of(finding, action, first_seen, self._clock()))

    def add_restored(self, case: Case, now: float) -> None:
        """Note that a case was restored; each restore is told."""
        row = (case.entry, case.list_id, case.verdict_id, Action.RESTORED.value, case.opened, now)
        self._note(f"{case.id}:{Action.RESTORED}:{now}", case.place, row)

    def _note(self, what: str, place: Place, row: OutcomeRow) -> None:
        """Store an outcome under an id that is a hash of ``what`` under a salt of this host.

        So a finding which is reported every night is told once, and the id says nothing about the path. The same goes for the
        name of the finding, which is the same for one entry at one path, so that the service can tell what is left of it: the
        path and not the root, or a file that a second scan met below another root would be open for ever.
        """
        with self._transaction() as db:
            salt = bytes.fromhex(self._salt(db))
            identity = "o_" + blake3(what.encode(), key=salt).hexdigest()[:32]
            finding = "f_" + blake3(f"finding {row[1]} {row[0]} ".encode() + place.full, key=salt).hexdigest()[:32]
            db.execute("INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)", (identity, *row, finding))

    def _salt(self, db: sqlite3.Connection) -> str:
        db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (secrets.token_hex(32),))
        return str(db.execute("SELECT value FROM meta WHERE key = 'salt'").fetchone()[0])

    def unsent(self, at_most: int) -> Sequence[Outcome]:
        """Outcomes without a receipt, the oldest first."""
        with self._guard():
            query = f"SELECT {_OUTCOME} FROM outcome WHERE receipt IS NULL ORDER BY acted_at, id LIMIT ?"  # noqa: S608 - a constant
            return [Outcome(a, b, c, d, Action(e), *more) for a, b, c, d, e, *more in self._db.execute(query, (at_most,))]

    def unsent_count(self) -> int:
        """How many outcomes the service has not acknowledged."""
        with self._guard():
            return int(self._db.execute(UNSENT).fetchone()[0])

    def acknowledge(self, receipts: Iterable[Receipt], head: LogHead | None = None) -> None:
        """Keep the signed receipts, the company's proof against the norm, and the head of the log that they repeat."""
        with self._transaction() as db:
            if head is not None:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('log_head', ?)", (f"{head.lines} {head.hash}",))
            db.executemany("UPDATE outcome SET receipt = ? WHERE id = ?", [(one.envelope, one.outcome_id) for one in receipts])

    def log_head(self) -> LogHead | None:
        """The head of the vault's log as the service last acknowledged it."""
        with self._guard():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'log_head'").fetchone()
        match = re.fullmatch("([0-9]{1,15}) ([0-9a-f]{64})", row[0]) if row else None
        if row and match is None:
            raise StateError(f"{self._path} holds a head of the log that cannot be read", hint="restore it from a backup")
        return LogHead(int(match[1]), match[2]) if match else None

    def _decode(self, text: str) -> Candidate:
        try:
            return decode_candidate(text)
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{self._path} holds a pending candidate that cannot be read: {error}", hint="restore it from a backup"
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _guard(self) -> AbstractContextManager[None]:
        return guarded(self._path)


def outcome_of(finding: Finding, action: Action, first_seen: float, now: float) -> tuple[str, Place, OutcomeRow]:
    """What an outcome is called on this host, where its file is, and what the service is told. Times in seconds since 1970."""
    what = f"{candidate_key(finding.candidate)}:{finding.list.id}:{finding.entry}:{action}"
    row = (finding.entry, finding.list.id, finding.verdict_id, action.value, first_seen, now)
    return what, finding.candidate.hashed.entry.place, row


def candidate_key(candidate: Candidate) -> str:
    """One candidate is one content at one place, whatever the states of the lists."""
    entry = candidate.hashed.entry
    identity = f"{entry.device}:{entry.inode}:{entry.size}:{entry.mtime_ns}:{entry.ctime_ns}:".encode()
    return blake3(identity + len(entry.place.root).to_bytes(4, "little") + entry.place.root + entry.place.path).hexdigest()


def _content_key(candidate: Candidate) -> str:
    digests = sorted(candidate.hashed.digests.items())
    lists = [(one.id, one.version, one.epoch) for one in candidate.lists]
    return blake3(json.dumps([digests, lists, candidate.hashed.entry.size]).encode()).hexdigest()


def encode_candidate(candidate: Candidate) -> str:
    """A candidate as JSON text; byte paths in base64. `decode_candidate` is its inverse."""
    entry = candidate.hashed.entry
    return json.dumps(
        {
            "root": base64.b64encode(entry.place.root).decode(),
            "path": base64.b64encode(entry.place.path).decode(),
            "stat": [getattr(entry, name) for name in _STAT],
            "digests": {algorithm.value: digest for algorithm, digest in candidate.hashed.digests.items()},
            "lists": [[one.id, one.version, one.epoch] for one in candidate.lists],
        },
        separators=(",", ":"),
    )


_STAT = ("device", "inode", "size", "mtime_ns", "ctime_ns", "mode", "uid", "gid", "links")


def decode_candidate(text: str) -> Candidate:
    """The candidate that `encode_candidate` wrote, a permit issued earlier. Raises ValueError, KeyError or TypeError."""
    data = parse_object(text.encode(), max_bytes=MAX_CANDIDATE_BYTES)
    place = Place(base64.b64decode(data["root"], validate=True), base64.b64decode(data["path"], validate=True))
    entry = FileEntry(place, *(_integer(value) for value in data["stat"]))
    fields = Fields(data["digests"], "digests")
    digests = {(one := Algorithm(name)): fields.hex(name, digits=2 * one.digest_size) for name in fields.names()}
    lists = tuple(ListRef(str(name), _integer(version), _integer(epoch)) for name, version, epoch in data["lists"])
    return Candidate(HashedFile(entry, digests), lists)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not an integer")
    return value
