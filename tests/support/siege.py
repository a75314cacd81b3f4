"""An agent under attack: its real sync, scan, confirm and outcomes over real TLS, and what must hold whatever is done to it.

`Siege.case` lets one fault strike at one spot, runs the agent, ends the fault, and runs the agent again. `Broken` is what it
raises where something does not hold: a wrong act, a lost candidate, a crash, an exit code that nobody would expect, no end.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hashscan.central.outbox import Outbox
from hashscan.cli import engines, plans, wiring
from hashscan.cli.plans import Plan
from hashscan.cli.wiring import ServiceTools
from hashscan.errors import HashscanError
from hashscan.jobs.conclude import ActTools, never
from hashscan.jobs.confirm import confirm_waiting
from hashscan.jobs.outcomes import close_run
from hashscan.jobs.scan import ScanTools, scan
from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.sync import sync
from hashscan.known.keys import KeyRing
from hashscan.model import CaseState
from hashscan.report.tally import Tally
from tests.support.acting import Told
from tests.support.faults import PENDING, Wire
from tests.support.gateway import Elsewhere, Endpoint, Gateway, Spot
from tests.support.lies import Editions, Lies
from tests.support.standin import API_KEY, CONFUSED, INNOCENT, ONE, TWO, Standin, ids
from tests.support.tls import Certificates

FOREVER = float("inf")
DEADLINE, SYNC_DEADLINE = 0.3, 1.0  # seconds, for one question and for a whole sync
SLACK = 3.0  # seconds for a busy machine
PATIENT = 30.0  # seconds for both, when nothing is wrong any more
TREE = {"one": ONE, "two": TWO, "innocent": INNOCENT, "confused": CONFUSED}
LISTED = ("one", "two")


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Ended:
    """How one run of the agent ended."""

    what: str
    code: int
    message: str
    seconds: float
    complete: bool


@dataclass
class Agent:
    """One host: its enrolment and state in ``top``. ``change_tools`` and ``change_plan`` take parts out, for controls."""

    top: Path
    gateway: Gateway
    change_tools: Callable[[ServiceTools], ServiceTools] = lambda tools: tools
    change_plan: Callable[[Plan], Plan] = lambda plan: plan
    told: Told = field(default_factory=Told)

    @property
    def tree(self) -> Path:
        return self.top / "srv"

    @property
    def state(self) -> Path:
        return self.top / "var"

    def settings(self) -> Any:
        return wiring.settings(self.top / "etc/config.toml")

    def be_patient(self) -> None:
        """From now on a machine that is busy with other things does not look like a fault."""
        config = self.top / "etc/config.toml"
        text = config.read_text().replace(f"\ndeadline = {DEADLINE}\n", f"\ndeadline = {PATIENT}\n")
        config.write_text(text.replace(f"sync_deadline = {SYNC_DEADLINE}\n", f"sync_deadline = {PATIENT}\n"))

    def sync(self) -> Ended:
        return self._run("sync", self._sync)

    def _sync(self, stack: ExitStack) -> int:
        settings = self.settings()
        tools = self.change_tools(wiring.service_tools(settings))
        stack.enter_context(wiring.lock(settings, "sync.lock"))
        self.gateway.enter("sync")
        sync(tools.sync_tools(stack, self.told))
        return 0

    def scan(self) -> Ended:
        return self._run("scan", lambda stack: self._act(stack, walks=True))

    def confirm(self) -> Ended:
        return self._run("confirm", lambda stack: self._act(stack, walks=False))

    def _act(self, stack: ExitStack, *, walks: bool) -> int:
        """As `hashscan scan` and `hashscan confirm` do it, in this process."""
        settings = self.settings()
        plan = self.change_plan(plans.service_plan(settings, stack, dry_run=False))
        require_self_test(plan.sieve)
        tally = Tally(unsettled_cases=plans.recover(plan, self.told))
        act = ActTools(plan.confirmer, plan.memory, plan.quarantine, self.told, never)
        self.gateway.enter("confirm")
        if walks:
            engine = engines.small_engine(settings)
            scan(ScanTools(engine, plan.sieve, act, time.monotonic, never), [os.fsencode(self.tree)], tally)
        else:
            confirm_waiting(act, plan.sieve, tally)
        self.gateway.enter("outcomes")
        close_run(plan.tell, plan.confirmer, self.told, tally)
        return int(tally.exit_code)

    def _run(self, what: str, job: Callable[[ExitStack], int]) -> Ended:
        began, message, complete = time.monotonic(), "", False
        try:
            with ExitStack() as stack:
                code = job(stack)
                complete = True
        except HashscanError as error:
            code, message = int(error.exit_code), str(error)
        except Exception:
            raise Broken(f"{what} crashed:\n{traceback.format_exc()}") from None
        finally:
            self.gateway.enter("")
        return Ended(what, code, message, time.monotonic() - began, complete)

    # What is there afterwards.

    def present(self) -> set[str]:
        return {
            name for name, content in TREE.items() if (self.tree / name).exists() and (self.tree / name).read_bytes() == content
        }

    def pending(self) -> set[str]:
        return {os.path.basename(os.fsdecode(one.candidate.hashed.entry.place.path)) for one in self._outbox(Outbox.waiting)}

    def unsent(self) -> int:
        return self._outbox(lambda box: [box.unsent_count()])[0]

    def _outbox(self, read: Callable[[Outbox], Any]) -> list[Any]:
        with ExitStack() as stack:
            box = wiring.outbox_if_any(self.settings(), stack)
            return [] if box is None else list(read(box))

    def records(self) -> Iterator[dict[str, Any]]:
        """The records of all cases."""
        vault = wiring.vault(self.settings(), "")
        for case in vault.cases():
            if case.state is not CaseState.DONE:
                raise Broken(f"case {case.id} is {case.state}: {case}")
            yield dict(vault.record(case.id))


def signature_holds(envelope: bytes, public_keys: list[str]) -> bytes | None:
    """The payload where one of ``public_keys`` signed it; none of the program's own code is asked."""
    document = json.loads(envelope)
    payload, kind = base64.b64decode(document["payload"]), document["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    for one in document["signatures"]:
        for public in public_keys:
            try:
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(base64.b64decode(one["sig"]), signed)
            except (InvalidSignature, ValueError):
                continue
            return payload
    return None


@dataclass
class Counts:
    """What a run of cases came to."""

    struck: int = 0
    jobs: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0


@dataclass
class Siege:
    """Everything that cases share: certificates, the history of the service, the gateway, an enrolled and synced agent."""

    folder: Path
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.editions = Editions.make(time.time())
        self.lies = Lies.about(self.editions)
        self.certificates = Certificates(self.folder)
        self.elsewhere = Elsewhere()
        self.gateway = Gateway(self.certificates, self.service(self.editions.sixth), elsewhere=self.elsewhere.url)
        self._ranks = self._rank()
        self._number = 0
        self._enrol()

    def close(self) -> None:
        self.gateway.__exit__(None, None, None)
        self.elsewhere.__exit__(None, None, None)

    def service(self, files: dict[str, bytes]) -> Standin:
        refs = frozenset((version, epoch) for version in range(5, 10) for epoch in (1, 2))
        return Standin(self.editions.honest, dict(files), listed=(ONE, TWO), refs=refs)

    def _rank(self) -> list[tuple[int, Any, Any]]:
        """The genuine states: how new, and what was signed as timestamp and targets."""
        known = []
        mine = self.editions
        published = [(6, mine.sixth), (7, mine.seventh), (7, mine.whole), (7, mine.rekeyed), (90, mine.anew)]
        for rank, files in (*published, *((80, files) for files in self.lies.harmless)):
            targets = next(data for name, data in files.items() if name.endswith(".targets.json"))
            known.append((rank, json.loads(files["timestamp.json"])["signed"], json.loads(targets)["signed"]))
        return known

    def _enrol(self) -> None:
        template = self.folder / "template"
        (template / "etc").mkdir(parents=True)
        honest = self.editions.honest
        secrets = {
            "api-key": API_KEY.encode(),
            "provider-key": KeyRing({1: honest.ring.at(1)}).text().encode(),
            "root.json": honest.root,
        }
        for name, data in secrets.items():
            (template / "etc" / name).touch(mode=0o600)
            (template / "etc" / name).write_bytes(data)
        (template / "etc/config.toml").write_text(
            f'[service]\nurl = "{self.gateway.url}"\nprovider = "{honest.provider}"\nca_file = "{self.certificates.ca_file}"\n'
            f"deadline = {DEADLINE}\nsync_deadline = {SYNC_DEADLINE}\n[quarantine]\nenabled = true\n[cache]\nenabled = false\n"
            '[paths]\nstate = "../var"\nrun = "../run"\ncache = "../cache"\n'
        )
        agent = Agent(template, self.gateway)
        ended = agent.sync()
        assert ended.code == 0, ended
        assert self.rank(agent) == 6

    def agent(self) -> Agent:
        """A host as it is after enrolment and a first sync, with two listed files, an innocent one and a false positive."""
        self._number += 1
        top = self.folder / f"host-{self._number}"
        shutil.copytree(self.folder / "template", top)
        (top / "srv").mkdir()
        for name, content in TREE.items():
            (top / "srv" / name).write_bytes(content)
        return Agent(top, self.gateway)

    def rank(self, agent: Agent) -> int:
        """How new the lists in force are. Raises `Broken` where they are no state that the service ever published."""
        stored = json.loads((agent.state / "lists/in-force.json").read_bytes())
        timestamp, targets = (json.loads(base64.b64decode(stored[name]))["signed"] for name in ("timestamp", "targets"))
        for rank, signed, listed in self._ranks:
            if signed == timestamp and listed == targets:
                self._check_filters(agent, listed)
                return rank
        raise Broken(f"the lists in force were never published: {timestamp}")

    def _check_filters(self, agent: Agent, listed: Any) -> None:
        genuine = {
            **self.editions.sixth,
            **self.editions.seventh,
            **self.lies.harmless[0],
            **self.editions.anew,
            **self.editions.rekeyed,
        }
        for name in listed["targets"]:
            if name.endswith((".filter", ".withdrawn")) and (agent.state / "lists" / name).read_bytes() != genuine[name]:
                raise Broken(f"{name} on the shelf is not the one that was published")

    def _published(self, spot: Spot) -> dict[str, bytes]:
        """What the service publishes next, so that the agent comes by ``spot``."""
        if spot.endpoint is Endpoint.PROVIDER_KEYS:
            return self.editions.rekeyed
        return self.editions.whole if spot.what == "filter" else self.editions.seventh

    # One case.

    def case(self, fault: Wire, spot: Spot, times: float, agent: Agent | None = None) -> None:
        """Strike, watch, heal, watch. Raises `Broken`."""
        agent = agent or self.agent()
        self.gateway.service = service = self.service(self._published(spot))
        self.gateway.attack(fault, spot, times)
        watch = _Watch(self, agent, service, fault)
        try:
            watch.under_attack(4 if times == 3 else 2)
            struck = self.gateway.struck
            self.gateway.heal()
            if fault.insider:
                service.files = dict(self.editions.anew)
            watch.after_healing()
        finally:
            self.gateway.heal()
            shutil.rmtree(agent.top, ignore_errors=True)
        self.counts.struck += bool(struck)
        if not struck:
            raise Broken("the fault never struck: the case shows nothing")
        if self.elsewhere.visits:
            raise Broken("a redirect was followed")


@dataclass
class _Watch:
    """Runs one agent, and holds what it did against what may be."""

    siege: Siege
    agent: Agent
    service: Standin
    fault: Wire
    rank: int = 6
    scanned: int = 0

    def under_attack(self, rounds: int) -> None:
        for number in range(rounds):
            self._job(self.agent.sync, attacked=True)
            self._job(self.agent.confirm if number % 2 else self.agent.scan, attacked=True)

    def after_healing(self) -> None:
        self.agent.be_patient()
        self._job(self.agent.sync, attacked=False)
        self._job(self.agent.scan, attacked=False)
        self._job(self.agent.confirm, attacked=False)
        if self.rank not in {7, 90}:
            raise Broken(f"after healing the lists of edition {self.rank} are in force")
        if left := self.agent.present() & set(LISTED):
            raise Broken(f"after healing {left} are still there")
        if pending := self.agent.pending():
            raise Broken(f"after healing {pending} are pending")
        if unsent := self.agent.unsent():
            raise Broken(f"after healing {unsent} outcomes are not acknowledged")
        moved = sorted(one["entry"] for one in self.service.told.values() if one["action"] == "quarantined")
        if moved != sorted(map(ids, (ONE, TWO))):
            raise Broken(f"the service was told of {moved}")

    def _job(self, job: Callable[[], Ended], *, attacked: bool) -> None:
        before = self.siege.gateway.struck
        ended = job()
        counts = self.siege.counts
        counts.jobs += 1
        counts.slowest = max(counts.slowest, ended.seconds)
        counts.codes[f"{ended.what} {ended.code}"] = counts.codes.get(f"{ended.what} {ended.code}", 0) + 1
        struck = attacked and self.siege.gateway.struck > before
        allowed = {0} | ({10} if ended.what != "sync" else set()) | (self.fault.codes if struck else frozenset())
        if attacked and ended.seconds >= DEADLINE:
            allowed |= {PENDING}  # it was this machine that was slow
        if ended.code not in allowed:
            raise Broken(f"{ended.what} ended with {ended.code}, not one of {sorted(allowed)}: {ended.message}")
        if attacked and ended.seconds > SYNC_DEADLINE + 2 * DEADLINE + SLACK:
            raise Broken(f"{ended.what} took {ended.seconds:.1f} seconds")
        self._wrong_act()
        self._lists()
        self._keys()
        if ended.what == "scan" and ended.complete:
            self.scanned = self.rank
        if self.scanned:
            self._lost()

    def _wrong_act(self) -> None:
        present = self.agent.present()
        if taken := {"innocent", "confused"} - present:
            raise Broken(f"wrong act: {taken} moved or changed")
        proven = set(self._proven())
        if unproven := set(LISTED) - present - proven:
            raise Broken(f"wrong act: {unproven} moved without an authentic verdict")

    def _proven(self) -> Iterator[str]:
        public = [key.public_hex() for key in self.siege.editions.honest.keys.verdict]
        names = {ids(content): name for name, content in TREE.items()}
        for record in self.agent.records():
            finding = record["finding"]
            payload = signature_holds(base64.b64decode(finding["envelope_b64"]), public)
            if payload is not None and payload in self.service.verdicts:
                yield names[finding["entry"]]

    def _lists(self) -> None:
        rank = self.siege.rank(self.agent)
        if rank < self.rank:
            raise Broken(f"the lists in force went back from edition {self.rank} to {rank}")
        self.rank = rank

    def _keys(self) -> None:
        genuine = self.siege.editions.honest.ring
        held = KeyRing.from_text((self.agent.top / "etc/provider-key").read_text())
        if wrong := [epoch for epoch, key in held.keys.items() if key != genuine.at(epoch)]:
            raise Broken(f"the provider keys of the epochs {wrong} are not ours")

    def _lost(self) -> None:
        """Everything that the lists of the last scan know is moved or remembered."""
        known = {"one"} if self.scanned == 6 else set(LISTED)
        if lost := known & self.agent.present() - self.agent.pending():
            raise Broken(f"lost: {lost} are neither moved nor pending")


@contextmanager
def besieged() -> Iterator[Siege]:
    """A siege in a folder of its own: in memory where the system has such a folder.

    Power cuts are for other tests, and fsync costs 0.3 s a case.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hashscan-siege-", dir=memory) as folder:
        siege = Siege(Path(folder))
        try:
            yield siege
        finally:
            siege.close()


# Where a fault strikes.

METADATA, TARGETS = Endpoint.METADATA, Endpoint.TARGETS
SPOTS = (
    Spot(METADATA),
    Spot(METADATA, r"\d+\.root\.json", "root"),
    Spot(METADATA, r"timestamp\.json", "timestamp"),
    Spot(METADATA, r"\d+\.snapshot\.json", "snapshot"),
    Spot(METADATA, r"\d+\.targets\.json", "targets"),
    Spot(TARGETS),
    Spot(TARGETS, r".*\.delta", "delta"),
    Spot(TARGETS, r".*\.filter", "filter"),
    Spot(TARGETS, r".*\.withdrawn", "withdrawn"),
    Spot(TARGETS, r"verdict-keys\.json", "verdict-keys"),
    Spot(Endpoint.CONFIRM),
    Spot(Endpoint.OUTCOMES),
    Spot(Endpoint.PROVIDER_KEYS),
)
