"""What the service decides about codes and API keys: once, in time, for who knows the secret; what a revocation takes along."""

from __future__ import annotations

import logging
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from hashscan.errors import RefusedError, UsageError
from hashscan.known.codes import Code, read_code
from hashscan.known.enrolment import Application, Handover, api_key_sha256, new_api_key, open_handover
from hashscan.known.keys import KeyRing
from hashscan.known.metadata import read_root
from hashscan.service import admin, agents, enrolment
from hashscan.service.agents import MAX_FAILURES, Uses
from hashscan.service.enrolling import REPEAT_SECONDS
from hashscan.service.tables import Phase
from tests.support.databases import both
from tests.support.enrolling import DAY, NOW, Desk, found_service, opened
from tests.support.service import Clock, asking

NONCE = "n" * 43


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return found_service(tmp_path)


def new_code(data: Path, *, name: str = "acme", valid: float = DAY) -> Code:
    with opened(data) as store:
        return read_code(enrolment.new_code(store, name, valid=valid, now=NOW))


def apply(code: Code, api_key: str, label: str = "web1", nonce: str = NONCE) -> Application:
    return Application.make(code, api_key, label, nonce)


def enrol(data: Path, code: Code, api_key: str, *, at: float = NOW, label: str = "web1") -> Handover:
    application = apply(code, api_key, label)
    return open_handover(Desk(data, None, lambda: at).enrol(application.encode()), application, code)


def refusal(data: Path, application: Application, *, at: float = NOW) -> str:
    with pytest.raises(RefusedError) as caught:
        Desk(data, None, lambda: at).enrol(application.encode())
    return str(caught.value)


def keys(data: Path, name: str = "acme") -> dict[str, agents.AgentKey]:
    return {one.label: one for one in admin.agents(data, name).keys}


def test_two_agents_of_one_provider_get_the_same_provider_key_and_keys_of_their_own(data: Path) -> None:
    made = {}
    for label in ("web1", "web2"):
        code, api_key = new_code(data), new_api_key()
        made[label] = enrol(data, code, api_key, label=label), api_key, code
    assert made["web1"][0] == made["web2"][0]
    handover = made["web1"][0]
    assert handover.provider == "acme"
    assert read_root(handover.root).version == 1
    told = keys(data)
    assert {label: one.code for label, one in told.items()} == {label: code.id.hex() for label, (_, _, code) in made.items()}
    assert all(Desk(data, api_key).works() for _, api_key, _ in made.values())
    assert not Desk(data, new_api_key()).works()


@both
def test_a_code_works_once(data: Path) -> None:
    code = new_code(data)
    first = new_api_key()
    enrol(data, code, first)
    assert "410" in refusal(data, apply(code, new_api_key()))
    assert [one.label for one in admin.agents(data, "acme").keys] == ["web1"]
    assert admin.agents(data, "acme").codes == ()


@both
def test_a_lost_reply_is_given_again_until_the_key_is_used(data: Path) -> None:
    code, api_key = new_code(data), new_api_key()
    first = enrol(data, code, api_key)
    assert enrol(data, code, api_key, at=NOW + REPEAT_SECONDS) == first
    assert "410" in refusal(data, apply(code, api_key), at=NOW + REPEAT_SECONDS + 1)
    assert Desk(data, api_key).works()
    assert "410: this enrolment code was used" in refusal(data, apply(code, api_key))
    assert len(admin.agents(data, "acme").keys) == 1


def secrets_kept(data: Path) -> list[bytes]:
    with closing(sqlite3.connect(data / "service.sqlite3")) as connection:
        return [secret for (secret,) in connection.execute("SELECT secret FROM enrolment_code")]


def test_the_secret_of_a_used_code_is_gone(data: Path) -> None:
    code, api_key = new_code(data), new_api_key()
    assert secrets_kept(data) == [code.secret]
    enrol(data, code, api_key)
    Desk(data, api_key).works()
    assert secrets_kept(data) == [b""]


@pytest.mark.parametrize(("after", "good"), [(DAY - 1, True), (DAY, False), (DAY * 400, False)])
def test_a_code_expires(data: Path, after: float, *, good: bool) -> None:
    code = new_code(data, valid=DAY)
    if good:
        assert enrol(data, code, new_api_key(), at=NOW + after).provider == "acme"
    else:
        assert "410: this enrolment code has expired" in refusal(data, apply(code, new_api_key()), at=NOW + after)
        assert admin.agents(data, "acme").keys == ()


@both
def test_wrong_proofs_burn_a_code(data: Path) -> None:
    code = new_code(data)
    guess = apply(Code(code.id, bytes(16), code.pin), new_api_key())
    for count in range(MAX_FAILURES):
        with opened(data) as store:
            assert [one.failures for one in agents.codes(store, "acme", now=NOW)] == [count]
        assert "401: this enrolment code is not known here" in refusal(data, guess)
    assert "410: this enrolment code does not work any more" in refusal(data, apply(code, new_api_key()))
    with opened(data) as store:
        assert agents.codes(store, "acme", now=NOW) == ()
    assert admin.agents(data, "acme").keys == ()


def test_nine_wrong_proofs_do_not(data: Path) -> None:
    code = new_code(data)
    for _ in range(MAX_FAILURES - 1):
        refusal(data, apply(Code(code.id, bytes(16), code.pin), new_api_key()))
    assert enrol(data, code, new_api_key()).provider == "acme"


def test_an_unknown_code_and_a_wrong_proof_are_told_apart_by_nobody(data: Path) -> None:
    code = new_code(data)
    unknown = refusal(data, apply(Code(bytes(8), code.secret, code.pin), new_api_key()))
    assert unknown == refusal(data, apply(Code(code.id, bytes(16), code.pin), new_api_key()))


def test_a_suspended_provider_enrols_nobody(data: Path) -> None:
    code = new_code(data)
    admin.set_phase(data, "acme", Phase.SUSPENDED)
    assert "403" in refusal(data, apply(code, new_api_key()))
    with pytest.raises(UsageError, match="suspended"):
        new_code(data)
    admin.set_phase(data, "acme", Phase.TRIAL)
    assert enrol(data, code, new_api_key()).provider == "acme"


def test_an_api_key_of_somebody_else_is_not_taken_over(data: Path) -> None:
    api_key = new_api_key()
    enrol(data, new_code(data), api_key)
    admin.add_provider(data, "other", phase=Phase.REGULAR)
    assert "409" in refusal(data, apply(new_code(data, name="other"), api_key))
    assert admin.agents(data, "other").keys == ()


@pytest.mark.parametrize("valid", [59.0, 0.0, -1.0, 31 * DAY, float("inf"), float("nan")])
def test_a_code_is_valid_for_a_time_that_makes_sense(data: Path, valid: float) -> None:
    with pytest.raises(UsageError, match="a code is valid"):
        new_code(data, valid=valid)


def test_a_code_needs_a_provider_and_a_root(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="no provider 'nobody'"):
        new_code(data, name="nobody")
    bare = tmp_path / "bare"
    admin.init(bare, name="No root")
    admin.add_provider(bare, "acme", phase=Phase.TRIAL)
    with pytest.raises(UsageError, match="no root yet"):
        new_code(bare)


@both
def test_an_open_code_can_be_ended(data: Path) -> None:
    code = new_code(data)
    with opened(data) as store:
        assert agents.revoke(store, "acme", code.id.hex(), now=NOW) == agents.Revoked((), (code.id.hex(),), last=False)
    assert "410" in refusal(data, apply(code, new_api_key()))
    with pytest.raises(UsageError, match="no open code"):
        admin.revoke_api_key(data, "acme", code.id.hex())


def rotate(data: Path, old: str, label: str) -> str:
    new = new_api_key()
    Desk(data, old).add_api_key(api_key_sha256(new), label)
    return new


@both
def test_revoking_a_key_takes_along_what_a_thief_made_with_it(data: Path) -> None:
    stolen, honest = new_api_key(), new_api_key()
    enrol(data, new_code(data), stolen)
    enrol(data, new_code(data), honest, label="web2")
    thief = rotate(data, stolen, "looks-harmless")
    deeper = rotate(data, thief, "deeper")
    revoked = admin.revoke_api_key(data, "acme", str(keys(data)["web1"].id))
    assert len(revoked.keys) == 3
    assert not revoked.last
    assert [Desk(data, one).works() for one in (stolen, thief, deeper, honest)] == [False, False, False, True]
    assert admin.revoke_api_key(data, "acme", str(keys(data)["web2"].id)).last
    for what in (str(keys(data)["web2"].id), "999", "x", "9" * 30, ""):
        with pytest.raises(UsageError):
            admin.revoke_api_key(data, "acme", what)


@both
def test_a_key_ends_its_predecessor_and_no_neighbour(data: Path) -> None:
    first, neighbour = new_api_key(), new_api_key()
    enrol(data, new_code(data), first)
    enrol(data, new_code(data), neighbour, label="web2")
    second = rotate(data, first, "web1")
    for old in (neighbour, second):
        with pytest.raises(RefusedError, match="409"):
            Desk(data, second).retire_api_key(api_key_sha256(old))
    with pytest.raises(RefusedError, match="409"):
        Desk(data, first).retire_api_key(api_key_sha256(second))
    for _ in range(2):  # asking again is fine
        Desk(data, second).retire_api_key(api_key_sha256(first))
    assert [Desk(data, one).works() for one in (first, second, neighbour)] == [False, True, True]


def test_a_key_is_added_once_and_for_one_provider(data: Path) -> None:
    first = new_api_key()
    enrol(data, new_code(data), first)
    second = rotate(data, first, "web1")
    for asker in (first, second):
        Desk(data, asker).add_api_key(api_key_sha256(second), "web1")
    assert len(admin.agents(data, "acme").keys) == 2
    Desk(data, second).retire_api_key(api_key_sha256(first))
    with pytest.raises(RefusedError, match="409"):
        Desk(data, second).add_api_key(api_key_sha256(first), "web1")


def test_the_number_of_keys_is_bounded(data: Path) -> None:
    first = new_api_key()
    enrol(data, new_code(data), first)
    with closing(sqlite3.connect(data / "service.sqlite3")) as connection, connection:
        rows = [(number.to_bytes(32, "big"), 1.0) for number in range(agents.MAX_KEYS - 1)]
        connection.executemany("INSERT INTO api_key (provider_id, sha256, label, created) VALUES (1, ?, 'x', ?)", rows)
    with pytest.raises(RefusedError, match="409"):
        rotate(data, first, "web1")


@both
def test_a_use_is_noted_once_a_day(data: Path) -> None:
    api_key = new_api_key()
    enrol(data, new_code(data), api_key)
    assert keys(data)["web1"].used_day is None
    uses = Uses()
    with opened(data) as store:
        key_id = keys(data)["web1"].id
        for at in (NOW, NOW + 60, NOW + 2 * DAY, NOW + DAY):
            uses.record(store, key_id, at)
    assert keys(data)["web1"].used_day == int((NOW + 2 * DAY) // DAY)


@both
def test_no_answer_waits_for_a_use_to_be_noted(data: Path) -> None:
    api_key = new_api_key()
    enrol(data, new_code(data), api_key)
    uses = Uses()
    with opened(data) as store:
        with store.writing():
            uses.record(store, 1, NOW)
        assert keys(data)["web1"].used_day is None
        uses.record(store, 1, NOW)
    assert keys(data)["web1"].used_day == int(NOW // DAY)


@both
def test_a_rotated_provider_key_counts_from_the_next_epoch(data: Path) -> None:
    before = enrol(data, new_code(data), new_api_key()).ring
    assert admin.rotate_provider_key(data, "acme") == enrolment.Rotated("acme", 2, 0)
    both = enrol(data, new_code(data), new_api_key(), label="web2").ring
    assert set(both.keys) == {1, 2}
    assert both.at(1) == before.at(1)
    assert both.at(2) != before.at(1)
    assert admin.rotate_provider_key(data, "acme", revoke_old=True) == enrolment.Rotated("acme", 3, 2)
    last = enrol(data, new_code(data), new_api_key(), label="web3").ring
    assert set(last.keys) == {3}
    assert not last.has(2)
    with pytest.raises(UsageError, match="no provider"):
        admin.rotate_provider_key(data, "nobody")


def test_a_ring_does_not_grow_for_ever(data: Path) -> None:
    for _ in range(63):
        admin.rotate_provider_key(data, "acme")
    with pytest.raises(UsageError, match="64 keys"):
        admin.rotate_provider_key(data, "acme")
    assert admin.rotate_provider_key(data, "acme", revoke_old=True).epoch == 65


def test_the_folder_form_holds_what_an_agent_needs(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "other"
    made = admin.add_provider(data, "other", phase=Phase.TRIAL, url="https://hashes.example.org", out=out)
    assert sorted(path.name for path in made.files) == ["api-key", "config.toml", "provider-key", "root.json"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in made.files)
    assert Desk(data, (out / "api-key").read_text().strip()).works()
    assert set(KeyRing.from_text((out / "provider-key").read_text()).keys) == {1}
    assert read_root((out / "root.json").read_bytes()).version == 1
    assert 'root_file = "root.json"' in (out / "config.toml").read_text()
    with pytest.raises(UsageError, match="holds an enrolment"):
        admin.add_provider(data, "third", phase=Phase.TRIAL, url="https://hashes.example.org", out=out)
    with pytest.raises(UsageError, match="need the URL"):
        admin.add_provider(data, "third", phase=Phase.TRIAL, out=tmp_path / "third")


def test_nothing_secret_is_logged_or_in_a_message(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code, api_key = new_code(data), new_api_key()
    enrol(data, code, api_key)
    said = [
        refusal(data, apply(code, new_api_key())),
        refusal(data, apply(Code(code.id, bytes(16), code.pin), api_key)),
        caplog.text,
    ]
    for secret in (code.secret.hex(), str(code.secret), code.text(), api_key):
        assert not any(secret in one for one in said)


def test_the_routes_are_bounded_and_say_who_may_ask(data: Path) -> None:
    with asking(data, None, Clock(NOW)) as client:
        assert client.post("/v1/enrol", b" " * 4097).status_code == 413
        assert client.post("/v1/enrol", b"{}").status_code == 422
        assert client.get("/v1/enrol").status_code == 405
        for path in ("/v1/api-keys", "/v1/api-keys/retire"):
            answer = client.post(path, b"x" * 5000)
            assert answer.status_code == 401  # who asks comes before what is asked
            assert answer.headers["cache-control"] == "no-store"
        assert client.get("/v1/provider-keys").status_code == 401
        code, api_key = new_code(data), new_api_key()
        answer = client.post("/v1/enrol", apply(code, api_key).encode())
        assert answer.status_code == 200
        assert open_handover(answer.content, apply(code, api_key), code).provider == "acme"
        bearer = {"Authorization": f"Bearer {api_key}"}
        new = {"api_key_sha256": api_key_sha256(new_api_key()), "label": "web1"}
        assert client.post("/v1/api-keys", new, bearer).status_code == 201
        assert client.post("/v1/api-keys", b"x" * 5000, bearer).status_code == 413
        for body in (b"", b"[]", b'{"api_key_sha256": "x"}', b'{"label": "a"}'):
            assert client.post("/v1/api-keys", body, bearer).status_code == 422
            assert client.post("/v1/api-keys/retire", body, bearer).status_code == 422
