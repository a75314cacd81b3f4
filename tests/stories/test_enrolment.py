"""From a code on the telephone to a host at work, and what becomes of it: at the command line, against a real service."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hashscan.known.codes import Code, read_code
from hashscan.service import admin, enrolment
from hashscan.service.importers.port import Shape
from hashscan.service.importing import ImportRequest
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from tests.support.between import Between
from tests.support.host import Host
from tests.support.world import LISTED, Hotline, content, digest, hashscan, serving

FILES = {"api-key", "config.toml", "provider-key", "root.json"}


@pytest.fixture
def mine(own_hotline: Callable[[], AbstractContextManager[Hotline]]) -> Iterator[Hotline]:
    """A hotline of one's own, serving."""
    with own_hotline() as hotline:
        yield hotline


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "web1")


def new_code(hotline: Hotline, provider: str = "acme") -> str:
    told = hashscan("service", "--data", hotline.data, "provider", "code", provider)
    assert told.code == 0, told.err
    return told.out.decode().strip()


def agents(hotline: Hotline, provider: str = "acme") -> dict[str, Any]:
    return {one.label: one for one in admin.agents(hotline.data, provider).keys if one.revoked is None}


def test_two_agents_enrol_and_work(mine: Hotline, tmp_path: Path) -> None:
    rings = []
    for label in ("web1", "web2"):
        host = Host(tmp_path / label)
        told = host.enroll(mine.url, new_code(mine), label=label)
        assert told.code == 0, told.err
        said = told.out.decode().splitlines()
        assert said[0].startswith(f"enrolled at {mine.url} as {label} of acme")
        assert [line[:6] for line in said[1:]] == ["ok    "] * 4
        assert host.files == FILES
        host.plant(LISTED[0], "innocent")
        scanned = host.scan()
        assert scanned.code == 10, scanned.err
        assert len(scanned.of("finding")) == 1
        rings.append(host.ring)
    assert rings[0] == rings[1]
    assert {"web1", "web2"} <= set(agents(mine))
    assert all(agents(mine)[label].used_day == int(time.time() // 86_400) for label in ("web1", "web2"))


def test_a_code_works_once_and_a_second_host_is_left_untouched(mine: Hotline, host: Host, tmp_path: Path) -> None:
    code, second = new_code(mine), Host(tmp_path / "web2")
    assert host.enroll(mine.url, code).code == 0
    told = second.enroll(mine.url, code, label="web2")
    assert told.code == 22
    assert "was used" in told.complaint
    assert not second.etc.exists()
    assert "web2" not in agents(mine)


def test_a_code_that_was_typed_wrongly_is_told_before_anybody_is_asked(host: Host) -> None:
    good = Code.generate(b"a root").text()
    groups = good.split("-")
    groups[7] = groups[7][::-1] if groups[7] != groups[7][::-1] else groups[7][:-1] + "q"
    for code in ("", "hse1", good[:-1], "-".join(groups), f"{good}x", good.replace("hse1", "hsk_")):
        told = host.enroll("https://127.0.0.1:9", code)
        assert told.code == 2
        assert groups[3] not in told.err
        assert not host.etc.exists()


def test_an_expired_code(mine: Hotline, host: Host) -> None:
    with open_store(mine.data) as store:
        code = enrolment.new_code(store, "acme", valid=60.0, now=time.time() - 61)
    told = host.enroll(mine.url, code)
    assert told.code == 22
    assert "expired" in told.complaint
    assert not host.etc.exists()


def test_ten_wrong_proofs_burn_a_code(mine: Hotline, host: Host) -> None:
    good = new_code(mine)
    code = read_code(good)
    wrong = Code(code.id, bytes(16), code.pin).text()
    for _ in range(10):
        assert host.enroll(mine.url, wrong).code == 22
    told = host.enroll(mine.url, good)
    assert told.code == 22
    assert "does not work any more" in told.complaint
    assert not host.etc.exists()
    assert admin.agents(mine.data, "acme").codes == ()


def test_a_man_in_the_middle_who_swaps_the_root_is_noticed(mine: Hotline, host: Host) -> None:
    def swap(path: str, _: bytes, reply: bytes) -> bytes:
        document = json.loads(reply) if path == "/v1/enrol" else {}
        if "root" in document:
            root = json.loads(base64.b64decode(document["root"]))
            root["signed"]["version"] = 2
            document["root"] = base64.b64encode(json.dumps(root).encode()).decode()
            return json.dumps(document).encode()
        return reply

    code = new_code(mine)
    with Between(mine.url, swap) as between:
        told = host.enroll(between.url, code)
        assert told.code == 20
        assert "another root" in told.complaint
        assert host.files == {".enrolling"}
        between.change = lambda _path, _request, reply: reply.replace(b"acme", b"acne")
        told = host.enroll(between.url, code)
        assert told.code == 20
        assert "was changed on its way" in told.complaint
    assert host.enroll(mine.url, code).code == 0
    assert host.files == FILES


def test_a_lost_reply_costs_nothing(mine: Hotline, host: Host) -> None:
    code = new_code(mine)
    with Between(mine.url, lambda path, _, reply: None if path == "/v1/enrol" else reply) as between:
        told = host.enroll(between.url, code)
        assert told.code == 11
        assert host.files == {".enrolling"}
        assert len(between.seen) == 3  # asked again with the same words
        assert len({request for _, request, _ in between.seen}) == 1
    assert "web1" in agents(mine)
    told = host.enroll(mine.url, code)
    assert told.code == 0, told.err
    assert [label for label in agents(mine) if label == "web1"] == ["web1"]


def test_who_listens_learns_nothing_that_opens_the_provider_key(mine: Hotline, host: Host) -> None:
    with Between(mine.url) as between:
        assert host.enroll(between.url, new_code(mine)).code == 0
        admin.rotate_provider_key(mine.data, "acme")
        admin.publish(mine.data)
        assert host.run("sync").code == 0
        talk = b"".join(part for _, *parts in between.seen for part in parts)
    assert set(host.ring.keys) == {1, 2}
    decoded = b"".join(
        base64.b64decode(json.loads(reply)["payload"]) for path, _, reply in between.seen if "provider-keys" in path
    )
    assert decoded
    for key in host.ring.keys.values():
        assert key.raw not in talk + decoded
        assert key.hex().encode() not in talk + decoded


def test_an_enrolled_host_is_not_enrolled_over(mine: Hotline, host: Host) -> None:
    assert host.enroll(mine.url, new_code(mine)).code == 0
    before = (host.etc / "api-key").read_bytes()
    code = new_code(mine)
    told = host.enroll(mine.url, code)
    assert told.code == 2
    assert "--replace" in told.err
    assert (host.etc / "api-key").read_bytes() == before
    assert host.enroll(mine.url, code, "--replace").code == 0
    assert (host.etc / "api-key.old").read_bytes() == before


def test_a_host_moves_to_another_company_and_to_another_hotline(mine: Hotline, host: Host, tmp_path: Path) -> None:
    assert host.enroll(mine.url, new_code(mine)).code == 0
    old_root = (host.etc / "root.json").read_bytes()
    told = host.enroll(mine.url, new_code(mine, "newbie"), "--replace")
    assert told.code == 0, told.err
    assert "lists.old" in told.out.decode()
    other = tmp_path / "other"
    admin.init(other / "service", name="Other hotline", root_keys=other / "root-keys")
    admin.add_provider(other / "service", "acme", phase=Phase.REGULAR)
    (other / "list").write_text("".join(f"{digest(name)}\n" for name in LISTED))
    admin.import_list(other / "service", ImportRequest("police", other / "list", "test", shape=Shape()))
    admin.publish(other / "service")
    with serving(other) as elsewhere:
        told = host.enroll(elsewhere.url, new_code(elsewhere), "--replace")
        assert told.code == 0, told.err
        assert (host.etc / "root.json.old").read_bytes() == old_root
        host.plant(LISTED[0])
        assert host.scan().code == 10


def test_nothing_published_yet_is_no_half_enrolment(mine: Hotline, host: Host) -> None:
    assert hashscan("service", "--data", mine.data, "provider", "add", "fresh").code == 0
    told = host.enroll(mine.url, new_code(mine, "fresh"))
    assert told.code == 20
    assert "this host is enrolled" in told.err
    assert host.files == FILES
    admin.publish(mine.data)
    assert host.run("sync").code == 0
    assert host.run("selftest").code == 0


def test_a_new_api_key_without_a_gap(mine: Hotline, host: Host) -> None:
    assert host.enroll(mine.url, new_code(mine)).code == 0
    host.plant(LISTED[0])
    before = (host.etc / "api-key").read_text()
    told = host.run("rotate-key", "--label", "web1")
    assert told.code == 0, told.err
    assert (host.etc / "api-key").read_text() != before
    assert host.files == FILES
    assert host.scan().code == 10
    (host.etc / "api-key").write_text(before)
    assert host.run("sync").code == 22


def test_a_revoked_agent_is_refused(mine: Hotline, host: Host) -> None:
    assert host.enroll(mine.url, new_code(mine)).code == 0
    key = str(agents(mine)["web1"].id)
    assert hashscan("service", "--data", mine.data, "provider", "revoke", "acme", key).code == 0
    for command in ("sync", "rotate-key"):
        told = host.run(command)
        assert told.code == 22
        assert "revoked" in told.err
    assert host.files == FILES


@pytest.mark.parametrize("revoke_old", [False, True])
def test_a_rotated_provider_key_reaches_an_agent_that_has_candidates_pending(
    own_hotline: Callable[[], AbstractContextManager[Hotline]], host: Host, *, revoke_old: bool
) -> None:
    with own_hotline() as mine:
        assert host.enroll(mine.url, new_code(mine)).code == 0
    host.plant(LISTED[0], LISTED[1])
    assert host.scan().code == 11  # nobody answers: both are pending under the old epoch
    (host.tree / "more").write_bytes(content(LISTED[2]))
    admin.rotate_provider_key(mine.data, "acme", revoke_old=revoke_old)
    admin.publish(mine.data)
    with serving(mine.top) as again:  # on another port
        _point_to(host, mine.url, again.url)
        told = host.scan()  # not synced yet: the old epoch is answered, unless it was revoked
        assert told.code == (22 if revoke_old else 10)
        assert host.run("sync").code == 0
        assert set(host.ring.keys) == {1, 2}
        told = host.run("confirm", "--json")
        assert told.code == (10 if revoke_old else 0), told.err
        status = host.run("status", "--json").of("status")[0]["status"]
        assert status["pending"] == 0
        assert host.run("selftest").code == 0
        told = host.scan()
        assert told.code == 10
        assert len(told.of("finding")) == 3
        assert host.run("sync").code == 0


def _point_to(host: Host, old: str, new: str) -> None:
    config = host.etc / "config.toml"
    config.write_text(config.read_text().replace(old, new))
