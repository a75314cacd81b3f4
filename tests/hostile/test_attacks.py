"""The agent under attack: faults x endpoints x {once, three times, for ever}, over real TLS, then healed.

In every case: nothing innocent moves, nothing moves without an authentic verdict, the lists in force are a state that the
service published and never an older one than before, every known candidate is moved or pending, each run ends in time with an
expected exit code; after healing everything is resolved. Cases are drawn anew in each run of the tests; HASHSCAN_BUDGET=25 runs
all of them, in about 20 minutes.
"""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.budget import attempts
from tests.support.faults import Wire, everywhere
from tests.support.gateway import Endpoint, Spot
from tests.support.gullible import without_a_net, without_memory, without_proof, without_trust
from tests.support.siege import FOREVER, SPOTS, Agent, Broken, Siege, besieged

TIMES = {1: "once", 3: "three times", FOREVER: "for ever"}
FAULTS, LIES = 40, 24  # cases at a budget of 1: about a quarter of a minute
MEMORY = 200 * 2**20  # bytes that the whole matrix may add to this process; a bomb of it would unpack to 64 MiB at once

Case = tuple[Wire, Spot, float]


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    with besieged() as siege:
        yield siege


def at_every_spot() -> list[Case]:
    """A fault of the handshake strikes connections, not files."""
    return [
        (fault, spot, times) for fault in everywhere() for spot in SPOTS for times in TIMES
        if not (spot.what and (fault.greets or fault.refuses))
    ]  # fmt: skip


def lies(siege: Siege) -> list[Case]:
    told = {
        Endpoint.REPOSITORY: siege.lies.repository,
        Endpoint.CONFIRM: siege.lies.verdicts,
        Endpoint.OUTCOMES: siege.lies.receipts,
        Endpoint.PROVIDER_KEYS: siege.lies.provider_keys,
    }
    return [(fault, Spot(endpoint), times) for endpoint, faults in told.items() for fault in faults for times in TIMES]


def drawn(cases: list[Case], usual: int) -> list[Case]:
    """As many as the budget says; each run of the tests draws others."""
    share = min(attempts(usual), len(cases))
    return cases if share == len(cases) else random.Random().sample(cases, share)


def run(siege: Siege, cases: list[Case]) -> None:
    broken, memory, began = [], _memory(), time.monotonic()
    for fault, spot, times in cases:
        try:
            siege.case(fault, spot, times)
        except Broken as problem:
            broken.append(f"{fault} | {spot} | {TIMES[times]} | {problem}")
    _print(siege, cases, len(broken), time.monotonic() - began)
    assert not broken, "\n".join(["", *broken])
    assert _memory() - memory < MEMORY


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _print(siege: Siege, cases: list[Case], broken: int, seconds: float) -> None:
    faults = {str(fault) for fault, _, _ in cases}
    spots = Counter(str(spot.endpoint) for _, spot, _ in cases)
    print(f"\n{len(cases)} cases in {seconds:.0f} s: {len(faults)} faults; by endpoint {dict(spots)};")
    print(f"by times {dict(Counter(TIMES[times] for _, _, times in cases))}; {siege.counts.jobs} runs of the agent so far,")
    print(f"the slowest {siege.counts.slowest:.2f} s; exit codes {dict(sorted(siege.counts.codes.items()))}; {broken} broken")


def test_faults_at_every_endpoint(siege: Siege) -> None:
    cases = at_every_spot()
    assert len({str(fault) for fault, _, _ in cases}) >= 45
    run(siege, drawn(cases, FAULTS))


def test_lies_about_what_is_signed(siege: Siege) -> None:
    run(siege, drawn(lies(siege), LIES))


# Controls: the same harness notices an agent that is not what it should be.


def find(siege: Siege, name: str) -> Wire:
    known = (*everywhere(), *siege.lies.repository, *siege.lies.verdicts, *siege.lies.receipts)
    return next(fault for fault in known if fault.name == name)


def caught(siege: Siege, agent: Agent, name: str, endpoint: Endpoint, times: float = FOREVER) -> str:
    with pytest.raises(Broken) as problem:
        siege.case(find(siege, name), Spot(endpoint), times, agent)
    return str(problem.value)


@pytest.mark.parametrize(
    "lie", ["signed by a stranger", "a replayed verdict", "for another provider", "for another version", "no signature"]
)
def test_control_an_agent_that_believes_every_verdict(siege: Siege, lie: str) -> None:
    agent = siege.agent()
    agent.change_plan = partial(without_proof, siege.editions.honest)
    assert "wrong act: {'" in caught(siege, agent, f"verdict: {lie}", Endpoint.CONFIRM)


@pytest.mark.parametrize("lie", ["signed by a stranger", "no signature", "rotation of the root by a stranger"])
def test_control_an_agent_that_believes_every_list(siege: Siege, lie: str) -> None:
    agent = siege.agent()
    agent.change_tools = without_trust
    says = caught(siege, agent, lie, Endpoint.REPOSITORY)
    assert "never published" in says or "ended with" in says


def test_control_an_agent_that_forgets(siege: Siege) -> None:
    agent = siege.agent()
    agent.change_plan = without_memory
    assert "lost: " in caught(siege, agent, "status 500", Endpoint.CONFIRM)


def test_control_an_agent_that_crashes(siege: Siege) -> None:
    agent = siege.agent()
    agent.change_plan = without_a_net
    assert "crashed" in caught(siege, agent, "status 500", Endpoint.CONFIRM)


def test_control_an_agent_without_a_deadline(siege: Siege) -> None:
    agent = siege.agent()
    config = agent.top / "etc/config.toml"
    config.write_text(config.read_text().replace("deadline = 1.0", "deadline = 60").replace("deadline = 0.3", "deadline = 60"))
    assert "seconds" in caught(siege, agent, "slow body", Endpoint.CONFIRM, 1)


def test_control_a_fault_that_never_strikes(siege: Siege) -> None:
    with pytest.raises(Broken, match="never struck"):
        siege.case(find(siege, "status 500"), Spot(Endpoint.TARGETS, "no such file"), 1)


def test_control_no_fault_at_all(siege: Siege) -> None:
    """What the honest service does resolves in one round."""
    agent = siege.agent()
    agent.be_patient()
    siege.gateway.service = service = siege.service(siege.editions.seventh)
    siege.gateway.heal()
    assert [agent.sync().code, agent.scan().code, agent.scan().code] == [0, 10, 0]
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)
    assert len(service.told) == 2
