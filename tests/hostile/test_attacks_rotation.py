"""Key rotation against the real agent over real TLS, as the service does it and as a thief would; patience; our certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashscan.cli import wiring
from hashscan.known.envelopes import SigningKey
from hashscan.known.keys import KeyRing
from hashscan.model import Lists
from tests.support.faults import Wire, everywhere
from tests.support.gateway import Endpoint, Spot
from tests.support.siege import Agent, Siege, besieged
from tests.support.standin import ONE, TWO, Keys, Publisher, Standin

LISTED = (ONE, TWO)


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    with besieged() as siege:
        yield siege


@pytest.fixture
def agent(siege: Siege) -> Iterator[Agent]:
    """At edition 6, with a service that publishes 7."""
    siege.gateway.service = siege.service(siege.editions.seventh)
    agent = siege.agent()
    agent.be_patient()
    yield agent
    siege.gateway.context = None
    siege.gateway.heal()


def in_force(agent: Agent) -> Lists:
    return wiring.service_tools(agent.settings()).lists_in_force()[0]


def rotated(siege: Siege, *, signers: list[SigningKey] | None = None, sequence: int = 8) -> Standin:
    """A service with new online and verdict keys under root 2, which the owners of root 1 have signed (or ``signers``)."""
    honest = siege.editions.honest
    keys = Keys(root=honest.keys.root)
    publisher = Publisher(honest.now, keys=keys, ring=honest.ring, root=honest.root)
    second = keys.make_root(honest.now, 2, signers)
    files = publisher.edition(sequence, publisher.targets(9, 1, LISTED, {}), roots=[honest.root, second])
    return Standin(publisher, files, listed=LISTED, refs=frozenset({(6, 1), (9, 1)}))


@pytest.mark.parametrize("sequence", [8, 3], ids=["counting on", "counting anew"])
def test_all_online_keys_are_rotated(siege: Siege, agent: Agent, sequence: int) -> None:
    """Also with lower numbers: whoever stole the old keys could have signed the highest ones there are."""
    assert agent.sync().code == 0
    siege.gateway.service = rotated(siege, sequence=sequence)
    ended = agent.sync()
    assert ended.code == 0, ended.message
    assert (in_force(agent).root, in_force(agent).sequence, in_force(agent).targets[0].list.version) == (2, sequence, 9)
    assert agent.scan().code == 10
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


def test_after_a_rotation_the_old_keys_count_no_more(siege: Siege, agent: Agent) -> None:
    siege.gateway.service = new = rotated(siege)
    assert agent.sync().code == 0
    siege.gateway.service = siege.service(siege.editions.anew)  # signed with the old ones, higher numbers
    assert agent.sync().code == 20
    assert in_force(agent).root == 2
    ended = agent.scan()  # verdicts with the old keys
    assert ended.code == 11
    assert agent.pending() == {"one", "two", "confused"}
    siege.gateway.service = new
    assert (agent.sync().code, agent.confirm().code) == (0, 10)
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


@pytest.mark.parametrize("which", ["one owner", "one owner twice", "nobody", "a stranger", "the online keys"])
def test_a_rotation_that_the_owners_did_not_sign(siege: Siege, agent: Agent, which: str) -> None:
    honest = siege.editions.honest
    owner, stranger = honest.keys.root[0], SigningKey.generate()
    signers = {
        "one owner": [owner],
        "one owner twice": [owner, owner],
        "nobody": [],
        "a stranger": [owner, stranger],
        "the online keys": [owner, *honest.keys.online.values()],
    }[which]
    siege.gateway.service = rotated(siege, signers=signers)
    ended = agent.sync()
    assert ended.code == 20
    assert "root" in ended.message
    assert in_force(agent).root == 1
    siege.gateway.service = siege.service(siege.editions.seventh)
    assert [agent.sync().code, agent.scan().code] == [0, 10]
    assert (in_force(agent).sequence, agent.pending(), agent.unsent()) == (7, set(), 0)


def test_verdict_keys_are_rotated_without_a_gap(siege: Siege, agent: Agent) -> None:
    """New key published, both sign, the old one ends: an agent that syncs now and then believes each of them in its time."""
    honest = siege.editions.honest
    new = SigningKey.generate()
    targets = honest.targets(7, 1, LISTED, {})
    targets["verdict-keys.json"] = (honest.verdict_keys([new]), {"kind": "verdict-keys"})
    siege.gateway.service = service = siege.service(honest.edition(7, targets))
    assert agent.sync().code == 0
    only_new = Publisher(honest.now, keys=Keys(honest.keys.root, honest.keys.online, [new]), ring=honest.ring, root=honest.root)
    service.publisher = only_new
    assert agent.scan().code == 10
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


def test_control_a_verdict_key_that_was_not_published(siege: Siege, agent: Agent) -> None:
    honest = siege.editions.honest
    assert agent.sync().code == 0
    keys = Keys(honest.keys.root, honest.keys.online, [SigningKey.generate()])
    siege.gateway.service.publisher = Publisher(honest.now, keys=keys, ring=honest.ring, root=honest.root)
    assert agent.scan().code == 11
    assert agent.present() == {"one", "two", "innocent", "confused"}


def test_the_provider_key_is_rotated_during_a_sync(siege: Siege, agent: Agent) -> None:
    siege.gateway.service = siege.service(siege.editions.rekeyed)
    assert [agent.sync().code, agent.scan().code] == [0, 10]
    assert in_force(agent).targets[0].list.epoch == 2
    held = KeyRing.from_text((agent.top / "etc/provider-key").read_text())
    assert held.keys == siege.editions.honest.ring.keys
    assert (agent.top / "etc/provider-key").stat().st_mode & 0o077 == 0
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


# Patience: with a deadline that leaves time for another attempt, a fault that passes costs nothing.

PASSING = [
    "status 500", "status 502", "429 retry after none", "429 retry after seconds", "503 retry after none", "gzip bomb",
    "reset at once", "reset in the middle", "closed before the last byte", "redirect 301", "tls reset in the handshake",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", [Endpoint.CONFIRM, Endpoint.OUTCOMES])
@pytest.mark.parametrize("fault", [one for one in everywhere() if one.name in PASSING], ids=str)
def test_what_passes_is_waited_for(siege: Siege, agent: Agent, fault: Wire, endpoint: Endpoint) -> None:
    assert agent.sync().code == 0
    siege.gateway.attack(fault, Spot(endpoint), 1)
    ended = agent.scan()
    assert siege.gateway.struck == 1
    assert ended.code == 10
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


def configure(agent: Agent, **lines: str) -> None:
    """Replace or add a line of [service]."""
    config = agent.top / "etc/config.toml"
    text = config.read_text()
    for name, line in lines.items():
        text = "\n".join(one for one in text.splitlines() if not one.startswith(f"{name} ="))
        text = text.replace("[service]", f"[service]\n{line}")
    config.write_text(text)


# The certificate of the agent, from its configuration.


def test_a_service_that_wants_certificates(siege: Siege, agent: Agent) -> None:
    siege.gateway.context = siege.certificates.mutual
    ended = agent.sync()
    assert ended.code == 11
    pair = siege.certificates.client("agent-1")
    configure(
        agent,
        client_cert_file=f'client_cert_file = "{pair.certificate}"',
        client_key_file=f'client_key_file = "{pair.key}"',
    )
    assert [agent.sync().code, agent.scan().code] == [0, 10]
    assert (agent.present(), agent.pending(), agent.unsent()) == ({"innocent", "confused"}, set(), 0)


def test_a_certificate_that_cannot_be_used_stops_everything_before_it_begins(
    siege: Siege, agent: Agent, tmp_path: Path
) -> None:
    pair = siege.certificates.client("agent-2")
    configure(
        agent,
        client_cert_file=f'client_cert_file = "{pair.certificate}"',
        client_key_file=f'client_key_file = "{tmp_path / "missing.key"}"',
    )
    asked = len(siege.gateway.requests)
    for ended in (agent.sync(), agent.scan(), agent.confirm()):
        assert ended.code == 2
        assert "service.client_key_file" in ended.message
    assert len(siege.gateway.requests) == asked
    assert agent.pending() == set()
