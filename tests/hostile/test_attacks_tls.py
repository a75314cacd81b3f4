"""TLS: whoever is not the service is not believed, and the message says what to do; the agent's own certificate works."""

from __future__ import annotations

import json
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from hashscan.central.certificates import validity
from hashscan.central.client import Clock, HttpFetcher, HttpService, Link
from hashscan.central.retry import Backoff
from hashscan.central.wire import question
from hashscan.errors import ServiceUnavailable, UsageError
from hashscan.model import Algorithm, Candidate, FileEntry, HashedFile, ListRef, Place
from tests.support.gateway import Reply, read_request
from tests.support.tls import LONG_AGO, Certificates, LoopbackServer, Pair

KEY = "hsk_" + "s3cr3t" * 7
LIST = ListRef("police", 1, 1)
ENTRY = FileEntry(Place(b"/srv", b"a"), device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5, mode=0o100644, uid=6, gid=7, links=1)
QUESTION = question(LIST, [Candidate(HashedFile(ENTRY, {Algorithm.SHA1: "0" * 40}), (LIST,))])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def serving(context: ssl.SSLContext, seen: list[object] | None = None) -> Iterator[str]:
    """A service that answers each request with ``signed``; ``seen`` gets what the client showed of itself."""

    def play(connection: socket.socket) -> None:
        connection.settimeout(5)
        with context.wrap_socket(connection, server_side=True) as tls:
            if seen is not None:
                seen.append((tls.version(), tls.getpeercert()))
            while read_request(tls) is not None:
                tls.sendall(Reply(b"signed").head() + b"signed")

    with LoopbackServer(play) as server:
        yield server.url


def link(url: str, certificates: Certificates, pair: Pair | None = None, ca_file: Path | None = None) -> Link:
    return Link(url, KEY, ca_file=ca_file or certificates.ca_file, deadline=2.0, client_cert=pair.files if pair else None)


def ask(link: Link) -> bytes:
    service = HttpService(link, backoff=Backoff(attempts=1))
    try:
        return service.confirm(QUESTION)
    finally:
        service.close()


def fetch(link: Link) -> bytes:
    fetcher = HttpFetcher(link)
    try:
        return b"".join(fetcher.fetch("timestamp.json", max_bytes=100))
    finally:
        fetcher.close()


Shown = Callable[[Certificates], ssl.SSLContext]
REFUSED: dict[str, tuple[Shown, str, str]] = {
    "wrong authority": (lambda one: one.of_a_stranger, "unable to get local issuer", "service.ca_file"),
    "self-signed": (lambda one: one.self_signed, "self-signed certificate", "service.ca_file"),
    "wrong host name": (lambda one: one.of_another_name, "mismatch", "service.url"),
    "wrong address": (lambda one: one.of_another_address, "mismatch", "service.url"),
    "expired": (lambda one: one.expired, "has expired", "clock"),
    "not yet valid": (lambda one: one.not_yet_valid, "not yet valid", "clock"),
    "wants a certificate of ours": (lambda one: one.mutual, "", "service.client_cert_file"),
}


@pytest.mark.parametrize(("shown", "says", "hint"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("way", [ask, fetch], ids=["ask", "fetch"])
def test_who_is_not_the_service_is_refused(
    certificates: Certificates, way: Callable[[Link], bytes], shown: Shown, says: str, hint: str
) -> None:
    with serving(shown(certificates)) as url, pytest.raises(ServiceUnavailable) as caught:
        way(link(url, certificates))
    assert says in str(caught.value)
    assert hint in caught.value.hint
    assert KEY not in str(caught.value) + caught.value.hint
    assert "Traceback" not in str(caught.value)


def test_control_the_service_itself(certificates: Certificates) -> None:
    seen: list[object] = []
    with serving(certificates.honest, seen) as url:
        assert ask(link(url, certificates)) == fetch(link(url, certificates)) == b"signed"
        assert ask(link(url.replace("127.0.0.1", "localhost"), certificates)) == b"signed"
    assert seen == [("TLSv1.3", None)] * 3


def test_a_public_authority_does_not_count_where_one_is_configured(certificates: Certificates) -> None:
    """And without ``ca_file`` ours does not: the pins of the system are the ones that count then."""
    with serving(certificates.honest) as url:
        with pytest.raises(ServiceUnavailable, match="certificate"):
            ask(Link(url, KEY, deadline=2.0))
        with pytest.raises(ServiceUnavailable, match="certificate"):
            ask(link(url, certificates, ca_file=certificates.stranger_file))


def test_the_environment_adds_no_authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(certificates.stranger_file))
    with serving(certificates.of_a_stranger) as url, pytest.raises(ServiceUnavailable, match="certificate"):
        ask(link(url, certificates))


def test_old_versions_of_tls_are_not_spoken(certificates: Certificates) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = certificates._context(certificates.authority.issue_cert("127.0.0.1"))
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
    with serving(old) as url, pytest.raises(ServiceUnavailable) as caught:
        ask(link(url, certificates))
    assert "TLS 1.2" in caught.value.hint


def test_tls_1_2_is_spoken(certificates: Certificates) -> None:
    older = certificates._context(certificates.authority.issue_cert("127.0.0.1"))
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    seen: list[object] = []
    with serving(older, seen) as url:
        assert ask(link(url, certificates)) == b"signed"
    assert seen == [("TLSv1.2", None)]


# Our own certificate.


def test_our_certificate_is_shown(certificates: Certificates) -> None:
    seen: list[tuple[str, dict[str, object]]] = []
    pair = certificates.client("acme-1")
    with serving(certificates.mutual, seen) as url:  # type: ignore[arg-type]
        assert ask(link(url, certificates, pair)) == fetch(link(url, certificates, pair)) == b"signed"
    assert len(seen) == 2
    for _, shown in seen:
        assert "acme-1" in json.dumps(shown)


def test_a_certificate_of_another_authority_is_not_accepted(certificates: Certificates) -> None:
    pair = certificates.client("stranger", authority=certificates.stranger)
    with serving(certificates.mutual) as url, pytest.raises(ServiceUnavailable) as caught:
        ask(link(url, certificates, pair))
    assert "service.client_cert_file" in caught.value.hint or "reachable" in caught.value.hint


def _wrong_pairs(one: Certificates, folder: Path) -> Iterator[tuple[str, Pair, str]]:
    good, other = one.client("good"), one.client("other")
    text = folder / "text"
    text.write_text("hello\n")
    text.chmod(0o600)
    yield (
        "no such certificate",
        Pair(folder / "missing", good.key),
        "service.client_cert_file: .*missing cannot be read: No such",
    )
    yield (
        "no such key",
        Pair(good.certificate, folder / "missing"),
        "service.client_key_file: .*missing cannot be read: No such",
    )
    yield "the key of another", Pair(good.certificate, other.key), "client_key_file: .*other.key is not the key of .*good.crt"
    yield "no certificate", Pair(text, good.key), "client_cert_file: .*text is not a certificate"
    yield "no key", Pair(good.certificate, text), "client_key_file: .*text is not a key"
    yield "a folder", Pair(folder, good.key), "client_cert_file: .* is not a file|cannot be read"
    yield "expired", one.client("old", ends=LONG_AGO), "client_cert_file: .*old.crt expired on 2001-01-01"
    yield "the two swapped", Pair(good.key, good.certificate), "client_cert_file: .*good.key is not a certificate"
    readable = one.client("readable")
    readable.key.chmod(0o644)
    yield "a key that others can read", readable, "client_key_file: .*readable.key can be read by others"
    locked = one.client("locked")
    locked.key.write_bytes(_with_password(locked.key.read_bytes()))
    yield "a key with a password", locked, "client_key_file: .*locked.key is protected by a password"


def _with_password(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*form, serialization.BestAvailableEncryption(b"secret"))


def test_files_that_cannot_be_used_are_told_at_once(certificates: Certificates, tmp_path: Path) -> None:
    """Before anything is asked: nobody listens at that address."""
    tried = 0
    for name, pair, says in _wrong_pairs(certificates, tmp_path):
        for make in (HttpService, HttpFetcher):
            with pytest.raises(UsageError, match=says) as caught:
                make(link("https://127.0.0.1:1", certificates, pair))
            assert caught.value.hint, name
            assert caught.value.__cause__ is None
            tried += 1
    assert tried == 20


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\0" * 100, b"x" * (2 << 20)], ids=lambda one: repr(one)[:12])
def test_an_authority_that_cannot_be_used_is_told_at_once(
    certificates: Certificates, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"service\.ca_file"):
        HttpService(link("https://127.0.0.1:1", certificates, ca_file=path))


def test_an_authority_with_comments_in_any_language(certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes("# Größe \u4e2d\n".encode() + certificates.ca_file.read_bytes())
    with serving(certificates.honest) as url:
        assert ask(link(url, certificates, ca_file=path)) == b"signed"


def test_a_certificate_that_begins_later(certificates: Certificates) -> None:
    pair = certificates.client("early")
    long_ago = Clock(now=lambda: LONG_AGO.timestamp() - 40 * 365 * 86_400.0)
    with pytest.raises(UsageError, match=r"early.crt begins on .* UTC"):
        HttpService(link("https://127.0.0.1:1", certificates, pair), clock=long_ago)


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2100])
def test_when_a_certificate_is_valid(year: int) -> None:
    """Held against the library that made it; from 2050 on the form of the time is another one."""
    begins, ends = datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(days=30)
    issued = trustme.CA().issue_cert("x.example", not_before=begins, not_after=ends)
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    assert validity(der) == (begins.timestamp(), ends.timestamp())
    for length in range(len(der)):
        try:
            validity(der[:length])
        except ValueError:
            continue
        pytest.fail(f"{length} of {len(der)} bytes are no certificate")
