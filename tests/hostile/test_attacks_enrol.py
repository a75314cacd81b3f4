"""Enrolment under attack: the same faults at POST /v1/enrol, and lies that only a thief of the address could tell.

In every case: no file of an enrolment is written before the answer is proven, what is written in the end is what the service
handed over to the holder of the code, and the same command goes on after a lost reply.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hashscan.central.enrolling import HttpKeys
from hashscan.central.link import Link
from hashscan.errors import HashscanError, RefusedError
from hashscan.jobs.enroll import enroll
from hashscan.jobs.settling import Connection, choose
from hashscan.known.codes import Code
from hashscan.known.enrolment import Application, Handover, api_key_sha256, seal_handover
from hashscan.known.keys import KeyRing, ProviderKey
from tests.support.budget import attempts
from tests.support.faults import FILTER, PENDING, REFUSED, Play, Wire, everywhere
from tests.support.gateway import Endpoint, Spot, Strike
from tests.support.siege import DEADLINE, FOREVER, PATIENT, SLACK, Broken, Siege, besieged
from tests.support.standin import Standin

TIMES = {1: "once", 3: "three times", FOREVER: "for ever"}
WRITTEN = {"api-key", "provider-key", "root.json", "config.toml"}
NAMES = {"label": "host-1"}


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    with besieged() as siege:
        yield siege


@dataclass
class Host:
    """A host that has a code and nothing else."""

    siege: Siege
    code: Code
    number: int
    deadline: float = DEADLINE

    @property
    def etc(self) -> Any:
        return self.siege.folder / f"new-{self.number}" / "etc"

    def enrol(self) -> int:
        """The exit code. Raises `Broken` for what must never be."""
        authority = self.siege.certificates.ca_file
        connection = Connection(self.siege.gateway.url, authority)
        client = HttpKeys(Link(connection.url, None, authority, deadline=self.deadline))
        began, self.siege.gateway.spot = time.monotonic(), Spot(Endpoint.ENROL)
        self.siege.gateway.enter("enrol")
        try:
            enroll(self.code, NAMES["label"], choose(self.etc, replace=False), connection, client.enrol)
        except HashscanError as error:
            if left := self.names() - {".enrolling"}:
                raise Broken(f"{left} written, and then {error}") from None
            return int(error.exit_code)
        except Exception as error:
            raise Broken(f"crashed: {error!r}") from error
        finally:
            client.close()
            self.siege.gateway.enter("")
            if time.monotonic() - began > self.deadline + SLACK:
                raise Broken("it took too long")
        return 0

    def names(self) -> set[str]:
        return {path.name for path in self.etc.iterdir()} if self.etc.exists() else set()

    def check(self, service: Standin) -> None:
        handed = service.handover()
        if self.names() != WRITTEN:
            raise Broken(f"written were {self.names()}")
        if (self.etc / "root.json").read_bytes() != handed.root or (
            self.etc / "provider-key"
        ).read_text() != handed.ring.text():
            raise Broken("what was written is not what the service handed over")
        if api_key_sha256((self.etc / "api-key").read_text().strip()) != service.codes[self.code]:
            raise Broken("the API key is not the one that the service knows")
        if any((self.etc / name).stat().st_mode & 0o077 for name in WRITTEN - {"config.toml", "root.json"}):
            raise Broken("others can read the secrets")


def case(siege: Siege, number: int, fault: Wire, times: float) -> None:
    siege.gateway.service = service = siege.service({})
    host = Host(siege, Code.generate(siege.editions.honest.root), number)
    service.codes[host.code] = ""
    siege.gateway.attack(fault, Spot(Endpoint.ENROL), times)
    try:
        code = -1
        for _ in range(4 if times == 3 else 2):
            code = host.enrol()
            if code == 0:
                break
            if code not in fault.codes | {REFUSED, PENDING}:
                raise Broken(f"it ended with {code}")
        struck = siege.gateway.struck
        siege.gateway.heal()
        host.deadline = PATIENT
        if code != 0 and host.enrol() == REFUSED:
            # The service had accepted the code when a refusal that was not its own came back: the hotline makes a new one.
            if REFUSED not in fault.codes:
                raise Broken("the code was lost")
            host.code = Code.generate(siege.editions.honest.root)
            service.codes[host.code] = ""
            if ended := host.enrol():
                raise Broken(f"with a new code it ended with {ended}")
        host.check(service)
        if not struck:
            raise Broken("the fault never struck")
    finally:
        siege.gateway.heal()
        shutil.rmtree(host.etc.parent, ignore_errors=True)


# Lies.


def _answer(change: Callable[[Handover], Handover], **how: Any) -> Play:
    """A handover that was changed, sealed with the secret of the code (or ``secret``); ``fields`` are changed afterwards."""

    def play(strike: Strike) -> None:
        application = Application.parse(strike.request.body)
        code = next(one for one in strike.service.codes if one.id.hex() == application.code_id)
        application = replace(application, **how.get("application", {}))
        sealed = seal_handover(change(strike.service.handover()), application, how.get("secret", code.secret))
        body = json.dumps({**json.loads(sealed), **how.get("fields", {})}).encode()
        strike.reply(replace(strike.honest, status=200, body=body))

    return play


def lies(siege: Siege) -> list[Wire]:
    stranger = siege.editions.stranger
    theirs = KeyRing({1: ProviderKey.generate()})
    told: dict[str, Play] = {
        "another root": _answer(lambda one: replace(one, root=stranger.keys.make_root(stranger.now))),
        "no root": _answer(lambda one: replace(one, root=b"")),
        "other keys without the secret": _answer(lambda one: replace(one, ring=theirs), secret=bytes(16)),
        "another provider without the secret": _answer(lambda one: replace(one, provider="other"), secret=bytes(16)),
        "another provider afterwards": _answer(lambda one: one, fields={"provider": "other"}),
        "a path for a provider afterwards": _answer(lambda one: one, fields={"provider": "../../etc"}),
        "keys in the open": _answer(lambda one: one, fields={"keys": theirs.text()}),
        "no MAC": _answer(lambda one: one, fields={"mac": "00" * 32}),
        "for another application": _answer(lambda one: one, application={"nonce": "r" * 43}),
        "for another API key": _answer(lambda one: one, application={"api_key_sha256": "00" * 32}),
        "for another label": _answer(lambda one: one, application={"label": "host-2"}),
    }
    return [Wire(f"enrolment: {name}", frozenset({FILTER}), play) for name, play in told.items()]


def run(siege: Siege, faults: list[Wire], usual: int) -> None:
    cases = [(fault, times) for fault in faults for times in TIMES]
    if (share := attempts(usual)) < len(cases):
        cases = random.Random().sample(cases, share)
    broken, began = [], time.monotonic()
    for number, (fault, times) in enumerate(cases):
        try:
            case(siege, number, fault, times)
        except Broken as problem:
            broken.append(f"{fault} | {TIMES[times]} | {problem}")
    print(
        f"\n{len(cases)} cases of {len(faults)} faults x {len(TIMES)} in {time.monotonic() - began:.0f} s; {len(broken)} broken"
    )
    assert not broken, "\n".join(["", *broken])


def test_faults_while_a_host_enrols(siege: Siege) -> None:
    faults = [replace(fault, codes=fault.codes | {PENDING, FILTER}) for fault in everywhere()]
    run(siege, faults, 60)


def test_lies_while_a_host_enrols(siege: Siege) -> None:
    run(siege, lies(siege), 33)


def test_control_a_handover_that_the_holder_of_the_secret_changed(siege: Siege) -> None:
    """What the harness compares is what was handed over: another ring under the right secret is noticed."""
    other = _answer(lambda one: replace(one, ring=KeyRing({1: ProviderKey.generate()})))
    with pytest.raises(Broken, match="not what the service handed over"):
        case(siege, 9001, Wire("other keys", frozenset(), other), FOREVER)


def test_control_a_code_that_was_lost(siege: Siege) -> None:
    """A refusal on the way is noticed where the fault should not have had one."""
    refusal = next(fault for fault in everywhere() if fault.name == "status 403")
    with pytest.raises(Broken, match=r"code was lost|ended with"):
        case(siege, 9002, replace(refusal, codes=frozenset({PENDING})), 1)


def test_a_wrong_code_is_refused(siege: Siege) -> None:
    siege.gateway.service = siege.service({})
    host = Host(siege, Code.generate(siege.editions.honest.root), 9003, PATIENT)
    assert host.enrol() == int(RefusedError.exit_code)
    assert host.names() == set()
