"""The process that answers agents: it starts, tells where, ends in order, and an agent's own code believes it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.central.client import HttpService, Link
from hashscan.errors import HashscanError, RefusedError, ServiceUnavailable, UsageError
from hashscan.known import verdicts
from hashscan.model import Action, Algorithm, ListRef, Outcome, Standing
from hashscan.ports import Question
from hashscan.service import admin
from hashscan.service.batches import Terms
from hashscan.service.embedded import start_embedded
from hashscan.service.run import Door, Tls, serve
from hashscan.service.serving import Options
from tests.support.service import LIST, NONCE, Agent, Clock, asking, enrol, load, make, sha1
from tests.support.tls import Certificates

ROOT = Path(__file__).resolve().parents[2]


def served(tmp_path: Path) -> tuple[Path, Agent]:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    return data, agent


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_agents_own_code_asks_and_believes(tmp_path: Path) -> None:
    data, agent = served(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        keys = client.lists(agent.trust(clock)).verdict_keys
    with start_embedded(data) as running:
        service = HttpService(Link(running.url, agent.api_key))
        try:
            asked = Question(
                ListRef(LIST, 1, 1), NONCE, (({Algorithm.SHA1: sha1("a")[:8]}, 10), ({Algorithm.SHA1: "00000000"}, 10))
            )
            envelope = service.confirm(asked)
            verdict = verdicts.open_verdict(keys, envelope, verdicts.Asked(asked, "acme", time.time()))
            assert [len(entries) for entries in verdict.answers] == [1, 0]
            assert verdict.answers[0][0].standing is Standing.ACTIVE
            done = Outcome("o_1", verdict.answers[0][0].entry, LIST, verdict.id, Action.REPORTED, 1.0, 2.0)
            (receipt,) = verdicts.open_receipts(keys, service.report_outcomes([done]), "acme")
            assert receipt.outcome_id == "o_1"
            admin.publish(data, terms=Terms(anew=True))  # while it serves
        finally:
            service.close()
        refused = HttpService(Link(running.url, "hsk_" + "x" * 43))
        try:
            with pytest.raises(RefusedError):
                refused.confirm(asked)
        finally:
            refused.close()
    assert gone(running.pid)
    with asking(data, agent, clock) as client:
        lists = client.lists(agent.trust(clock))
    assert [target.list for target in lists.targets] == [ListRef(LIST, 2, 1)]
    assert dict(admin.stats(data).providers[0].outcomes) == {"reported": 1}


def test_an_embedded_service_ends_with_its_block_also_by_an_error(tmp_path: Path) -> None:
    data, _ = served(tmp_path)
    pids: list[int] = []

    def fail_inside() -> None:
        with start_embedded(data) as running:
            pids.append(running.pid)
            raise KeyError(running.url)

    with pytest.raises(KeyError, match=r"http://127\.0\.0\.1:"):
        fail_inside()
    assert gone(*pids)


def test_an_embedded_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(HashscanError, match="did not start: there is no service"), start_embedded(tmp_path):
        pytest.fail("it started")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    data, _ = served(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-m", "hashscan.service.run", str(data)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        line = child.stdout.readline()
        try:
            assert line.startswith(b"ready http://127.0.0.1:")
            child.send_signal(number)
            assert child.wait(15) == 0
            assert child.stderr.read() == b""
        finally:
            child.kill()


def test_the_command_needs_its_argument() -> None:
    done = subprocess.run([sys.executable, "-m", "hashscan.service.run"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage" in done.stderr


def test_serve_returns_and_gives_the_signals_back(tmp_path: Path) -> None:
    data, _ = served(tmp_path)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    told: list[str] = []

    def ready(url: str) -> None:
        told.append(url)
        port = int(url.rpartition(":")[2])
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)):
            os.kill(os.getpid(), signal.SIGTERM)

    serve(data, Door(), Options(), ready=ready)
    assert len(told) == 1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_address_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    data, _ = served(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UsageError, match="cannot listen"):
        serve(data, Door(port=other.getsockname()[1]), Options())
    with pytest.raises(UsageError, match="cannot listen"):
        serve(data, Door(port=99_999), Options())
    with pytest.raises(UsageError, match="no service"):
        serve(tmp_path, Door(), Options())


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ours(certificates: Certificates) -> tuple[Path, Path]:
    """Chain and key that a service on loopback may show."""
    issued = certificates.authority.issue_cert("127.0.0.1")
    cert, key = certificates.folder / "server.crt", certificates.folder / "server.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return cert, key


def ask(link: Link) -> bytes:
    service = HttpService(link)
    try:
        return service.confirm(Question(ListRef(LIST, 1, 1), NONCE, (({Algorithm.SHA1: sha1("a")[:8]}, 10),)))
    finally:
        service.close()


def test_tls_for_small_set_ups(tmp_path: Path, certificates: Certificates, ours: tuple[Path, Path]) -> None:
    data, agent = served(tmp_path)
    with start_embedded(data, tls=ours) as running:
        assert running.url.startswith("https://127.0.0.1:")
        assert b"signatures" in ask(Link(running.url, agent.api_key, certificates.ca_file))
        with pytest.raises(ServiceUnavailable):
            ask(Link(running.url, agent.api_key, certificates.stranger_file, deadline=1.0))


def test_tls_with_certificates_of_agents(tmp_path: Path, certificates: Certificates, ours: tuple[Path, Path]) -> None:
    data, agent = served(tmp_path)
    friend = certificates.client().files
    theirs = certificates.client("stranger", authority=certificates.stranger).files
    with start_embedded(data, tls=(*ours, certificates.ca_file)) as running:
        link = Link(running.url, agent.api_key, certificates.ca_file, deadline=1.0)
        assert b"signatures" in ask(replace(link, client_cert=friend))
        for other in (None, theirs):
            with pytest.raises(ServiceUnavailable):
                ask(replace(link, client_cert=other))


def test_files_that_are_no_certificate_are_said(tmp_path: Path, ours: tuple[Path, Path]) -> None:
    data, _ = served(tmp_path)
    cert, key = ours
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\njunk\n")
    for tls in (Tls(key, cert), Tls(junk, key), Tls(cert, tmp_path / "none.pem"), Tls(cert, key, junk)):
        with pytest.raises(UsageError, match="for TLS"):
            serve(data, Door(tls=tls), Options())
    with pytest.raises(HashscanError, match="for TLS"), start_embedded(data, tls=(junk, key)):
        pytest.fail("it started")
