"""Between the parts of a split host: trays of small files. One part puts papers in, another takes them out.

::

    read/candidates/   READ puts candidates there, NET takes them; ACT gives back those whose verdict has grown too old
    net/findings/      NET puts candidates with their signed verdicts there, ACT takes them
    act/outcomes/      ACT puts what it did there, NET takes it; log-head.json there says how far the vault's log is

A paper is removed after everything that follows from it is durable elsewhere: a crash leaves it twice, never not at all. No
part believes another: a candidate is only a question, a verdict is signed, and an outcome says what the service is to be told.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from blake3 import blake3

from hashscan.atomic import fsync_directory, replace_file
from hashscan.central.outbox import (
    MAX_CANDIDATE_BYTES,
    Outbox,
    OutcomeRow,
    candidate_key,
    decode_candidate,
    encode_candidate,
    outcome_of,
)
from hashscan.errors import StateError
from hashscan.model import Action, Candidate, Case, Finding, Json, Place
from hashscan.ports import ActionResult, LogHead, Waiting
from hashscan.strict_json import Fields, parse_object

MOST = 10_000  # papers that one run takes out of a tray; the next run takes the others
_MAX_PAPER_BYTES = MAX_CANDIDATE_BYTES + (8 << 20)  # and a signed envelope
_PAPER = re.compile(r"[0-9a-f]{64}\.json")
_HEAD = "log-head"
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})  # a link, a socket: another part has no business with those


class Tray:
    """A folder of papers, each a JSON object under a key of 64 hex digits. Raises `StateError`.

    The folder comes with the installation (tmpfiles.d): its group is the part that takes papers out. Papers are readable for
    that group whatever the umask, and come and go in one step. ``spoiled`` counts what was no paper and was removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spoiled = 0

    def put(self, key: str, paper: Mapping[str, Json]) -> None:
        """Put a paper in, durable, in the place of one with the same key."""
        try:
            with replace_file(self._folder / f"{key}.json", mode=0o640) as stream:
                os.fchmod(stream.fileno(), 0o640)
                stream.write(json.dumps(paper, separators=(",", ":")).encode("ascii"))
        except OSError as error:
            raise self._failed(error) from None

    def papers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Key and paper of the first `MOST`; removed meanwhile is left out."""
        try:
            names = sorted(name for name in os.listdir(self._folder) if _PAPER.fullmatch(name))
        except OSError as error:
            raise self._failed(error) from None
        for name in names[:MOST]:
            if (paper := self.read(name.removesuffix(".json"))) is not None:
                yield name.removesuffix(".json"), paper

    def read(self, key: str) -> Mapping[str, Any] | None:
        """One paper; None where there is none. What is no paper is removed: it says nothing to anybody."""
        try:
            fd = os.open(self._folder / f"{key}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as stream:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise ValueError("no file")
                return parse_object(stream.read(_MAX_PAPER_BYTES + 1), max_bytes=_MAX_PAPER_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise self._failed(error) from None
        except ValueError:
            pass
        self.spoil(key)
        return None

    def spoil(self, key: str) -> None:
        """Remove what is no paper of ours; a folder stays, and is counted again."""
        self.spoiled += 1
        with suppress(StateError):
            self.remove(key)

    def remove(self, key: str) -> None:
        """What follows from it is done."""
        try:
            (self._folder / f"{key}.json").unlink(missing_ok=True)
            fsync_directory(self._folder)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StateError:
        hint = "'systemd-tmpfiles --create' makes the folders of a split host; is the disk full?"
        return StateError(f"the tray {self._folder} cannot be used: {error.strerror}", hint=hint)


def _paper(candidate: Candidate, first_seen: float, envelope: bytes = b"") -> dict[str, Json]:
    signed = {"envelope": base64.b64encode(envelope).decode("ascii")} if envelope else {}
    return {"candidate": encode_candidate(candidate), "first_seen": first_seen, **signed}


def _handed(paper: Mapping[str, Any]) -> Waiting:
    """Raises ValueError, KeyError or TypeError."""
    fields = Fields(paper, "paper")
    candidate = decode_candidate(fields.text("candidate", max_chars=MAX_CANDIDATE_BYTES))
    envelope = base64.b64decode(paper.get("envelope", ""), validate=True)
    return Waiting(candidate, fields.number("first_seen"), 0, "", envelope)


def handed(tray: Tray) -> Iterator[tuple[str, Waiting]]:
    """The candidates in a tray, with their keys."""
    for key, paper in tray.papers():
        try:
            yield key, _handed(paper)
        except (ValueError, KeyError, TypeError):
            tray.spoil(key)


class _Elsewhere:
    """What a `ports.Memory` need not remember where another part does."""

    def judged(self, findings: Iterable[Finding]) -> None:
        """Nothing."""

    def is_cleared(self, candidate: Candidate) -> bool:  # noqa: ARG002 - the port
        """Never: whoever asks knows."""
        return False

    def clear(self, candidate: Candidate, ttl: float) -> None:
        """Nothing."""


class ReadingMemory(_Elsewhere):
    """The `ports.Memory` of READ: what it remembers goes into the tray of NET, once a run. ``tray`` None: a dry run."""

    def __init__(self, tray: Tray | None, clock: Callable[[], float]) -> None:
        self._tray, self._clock = tray, clock
        self._met: dict[str, Waiting] = {}  # of this run, to be counted at its end; as many as `jobs.conclude.Deferred` holds

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Hand them over, those of this run that were not yet."""
        for one in candidates:
            key = candidate_key(one)
            if key not in self._met:
                now = self._clock()
                if self._tray is not None:
                    self._tray.put(key, _paper(one, now))
                self._met[key] = Waiting(one, now, 0, "")

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:
        """Nothing: NET asks, as long as it takes."""

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Nothing more is to be counted about them."""
        for one in candidates:
            self._met.pop(candidate_key(one), None)

    def waiting(self) -> Iterator[Waiting]:
        """Those of this run."""
        yield from list(self._met.values())

    def first_seen(self, candidate: Candidate) -> float:
        """When this run met it; now, where it did not."""
        met = self._met.get(candidate_key(candidate))
        return met.first_seen if met else self._clock()

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:  # noqa: ARG002 - the port
        """Cannot happen: READ asks nobody, so that it has no finding. Raises `StateError`."""
        raise StateError(f"the reading part has done something: {action}")


class AskingOutbox(Outbox):
    """The outbox of NET: candidates and outcomes come out of trays, findings go on to ACT."""

    def take_in(self, candidates: Tray, outcomes: Tray) -> None:
        """Make what the other parts have put down durable here, then remove it there."""
        for key, waits in handed(candidates):
            row = (candidate_key(waits.candidate), encode_candidate(waits.candidate), min(waits.first_seen, self._clock()))
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO pending (key, candidate, first_seen) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                    "candidate = excluded.candidate, first_seen = min(first_seen, excluded.first_seen)",
                    row,
                )
            candidates.remove(key)
        for key, paper in outcomes.papers():
            try:
                self._take_outcome(paper)
            except (ValueError, KeyError, TypeError):
                outcomes.spoil(key)
            else:
                outcomes.remove(key)

    def _take_outcome(self, paper: Mapping[str, Any]) -> None:
        fields = Fields(paper, "outcome")
        place = Place(base64.b64decode(paper["root"], validate=True), base64.b64decode(paper["path"], validate=True))
        texts = [fields.text(name) for name in ("entry", "list", "verdict")]
        action = Action(fields.text("action"))
        row = (texts[0], texts[1], texts[2], action.value, fields.number("first_seen"), fields.number("acted_at"))
        self._note(fields.text("what", max_chars=1000), place, row)

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """Nothing: ACT says what was done."""


class HandOver:
    """The `ports.Quarantine` of NET: a finding goes on to ACT with its signed verdict, and is told as reported meanwhile."""

    def __init__(self, findings: Tray, first_seen: Callable[[Candidate], float]) -> None:
        self._findings, self._first_seen = findings, first_seen

    def handle(self, finding: Finding) -> ActionResult:
        """Durable when it returns."""
        candidate = finding.candidate
        self._findings.put(candidate_key(candidate), _paper(candidate, self._first_seen(candidate), finding.envelope))
        return ActionResult(finding, Action.REPORTED, "", "handed over to the part that acts")


class ActingMemory(_Elsewhere):
    """The `ports.Memory` of ACT: what NET handed over, and what was done about it. ``candidates``: where questions go back."""

    def __init__(self, findings: Tray, candidates: Tray, outcomes: Tray, clock: Callable[[], float]) -> None:
        self._findings, self._candidates, self._outcomes, self._clock = findings, candidates, outcomes, clock
        self._waiting: dict[str, Waiting] = {}

    def waiting(self) -> Iterator[Waiting]:
        """What was handed over."""
        for _, waits in handed(self._findings):
            self._waiting[candidate_key(waits.candidate)] = waits
            yield waits

    def envelope(self, candidate: Candidate) -> bytes:
        """The signed verdict that came with a candidate; b"" where none did."""
        waits = self._waiting.get(candidate_key(candidate))
        return waits.verdict if waits else b""

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Nothing: they are in the tray."""

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:  # noqa: ARG002 - the port
        """Their verdicts cannot be used any more: NET shall ask again."""
        for one in candidates:
            self._candidates.put(candidate_key(one), _paper(one, self.first_seen(one)))
            self._done(one)

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Everything that follows is done."""
        for one in candidates:
            self._done(one)

    def _done(self, candidate: Candidate) -> None:
        self._findings.remove(candidate_key(candidate))
        self._waiting.pop(candidate_key(candidate), None)

    def first_seen(self, candidate: Candidate) -> float:
        """When READ met it; now, where nobody knows."""
        waits = self._waiting.get(candidate_key(candidate))
        return min(waits.first_seen, self._clock()) if waits else self._clock()

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """For NET to tell."""
        self._put(*outcome_of(finding, action, first_seen, self._clock()))

    def add_restored(self, case: Case, now: float) -> None:
        """For NET to tell: a case was restored."""
        row = (case.entry, case.list_id, case.verdict_id, Action.RESTORED.value, case.opened, now)
        self._put(f"{case.id}:{Action.RESTORED}:{now}", case.place, row)

    def _put(self, what: str, place: Place, row: OutcomeRow) -> None:
        names = ("entry", "list", "verdict", "action", "first_seen", "acted_at")
        where = {name: base64.b64encode(path).decode("ascii") for name, path in (("root", place.root), ("path", place.path))}
        key = blake3(f"outcome {what}".encode()).hexdigest()
        self._outcomes.put(key, {"what": what, **where, **dict(zip(names, row, strict=True))})


def put_head(folder: Path, head: LogHead) -> None:
    """Say in the tray of outcomes how far the vault's log is, for the service to sign."""
    Tray(folder).put(_HEAD, {"lines": head.lines, "hash": head.hash})


def read_head(folder: Path) -> LogHead | None:
    """How far the vault's log is, by ACT's last word; None where it said nothing. Raises `StateError`."""
    paper = Tray(folder).read(_HEAD)
    if paper is None:
        return None
    try:
        fields = Fields(paper, _HEAD)
        return LogHead(fields.integer("lines", low=0), fields.hex("hash", digits=64))
    except ValueError as error:
        raise StateError(
            f"{folder / _HEAD}.json cannot be read: {error}", hint="'hashscan quarantine take' writes it"
        ) from None
