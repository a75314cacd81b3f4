"""Passwords, second factors, logins: who comes in, for how long, and how often somebody may try."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from hashscan.errors import UsageError
from hashscan.service.actors import PersonRole
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from hashscan.service.web import managing, passwords, sessions, throttling, totp
from hashscan.service.web.tables import PersonRow, TrailRow, WebSession
from tests.support.browsing import CHEAP, PASSWORD, Browser, Page, browse, pages, person
from tests.support.service import Clock, enrol, make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = make(tmp_path)
    person(data, "ann", PersonRole.HOTLINE)
    return data


# Passwords and codes.


def test_a_password_agrees_with_what_was_kept_of_it_and_no_other() -> None:
    kept = passwords.stored("a long enough password")
    assert kept.startswith("scrypt$14$8$5$")
    assert passwords.agrees("a long enough password", kept)
    assert not passwords.agrees("a long enough passwort", kept)
    assert not passwords.agrees("", kept)
    assert not passwords.agrees("x", None)
    assert not passwords.agrees("x", "plain text")
    assert kept != passwords.stored("a long enough password")
    assert not passwords.is_outdated(kept)
    old = passwords.stored("a long enough password", CHEAP)
    assert passwords.agrees("a long enough password", old)
    assert passwords.is_outdated(old)


def test_the_hash_is_that_of_the_specification() -> None:
    """RFC 7914, section 12, second vector, with its first 32 bytes: our parameters reach scrypt as they are written."""
    kept = "scrypt$10$8$16$TmFDbE5hQ2xOYUNsTmFDbA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert not passwords.agrees("password", kept)
    hashed = passwords._hash("password", b"NaCl", passwords.Cost(10, 8, 16))
    assert hashed.hex() == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"


@pytest.mark.parametrize("weak", ["", "short", "x" * 11, "x" * 300, "aaaaaaaaaaaaaaaa", "ababababababab", "my name is ann!"])
def test_a_weak_password_is_not_taken(weak: str) -> None:
    with pytest.raises(passwords.WeakPassword):
        passwords.check_new(weak, "ann")


def test_a_password_may_be_a_sentence_in_any_writing() -> None:
    passwords.check_new("een heel lange zin", "ann")
    passwords.check_new("пароль из слов", "ann")


@pytest.mark.parametrize(
    ("seconds", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, sha1: str, sha256: str, sha512: str) -> None:
    """Appendix B; the seeds are as long as the hash (erratum 2866)."""
    digits = b"1234567890" * 7
    for algorithm, length, wanted in (("sha1", 20, sha1), ("sha256", 32, sha256), ("sha512", 64, sha512)):
        assert totp.code(digits[:length], seconds // 30, digits=8, algorithm=algorithm) == wanted


def test_a_code_counts_once_and_only_around_its_time() -> None:
    secret, now = b"12345678901234567890", 1_111_111_111.0
    here = int(now // 30)
    assert totp.matching_step(secret, "050471", now, after=None) == here
    assert totp.matching_step(secret, " 050 471 ", now, after=None) == here
    assert totp.matching_step(secret, "050471", now, after=here) is None
    assert totp.matching_step(secret, "050471", now + 30, after=None) == here
    assert totp.matching_step(secret, "050471", now + 60, after=None) is None
    for bad in ("", "05047", "0504711", "05o471", "٠٥٠٤٧١", "-50471"):
        assert totp.matching_step(secret, bad, now, after=None) is None


# Logging in.


def test_a_login_and_what_the_cookie_is(data: Path) -> None:
    with pages(data) as app:
        browser = Browser(app)
        response = browser.get("/web/trail")
        assert (response.status_code, response.headers["location"]) == (303, "/web/login?next=%2Fweb%2Ftrail")
        browser.get("/web/login?next=%2Fweb%2Faccount")
        before = browser.token
        response = browser.submit("/web/login", {"name": " Ann ", "password": PASSWORD, "code": ""})
        assert (response.status_code, response.headers["location"]) == (303, "/web/account")
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("__Host-hashscan=")
        for attribute in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"):
            assert attribute in cookie
        assert "Domain" not in cookie
        assert "Max-Age" not in cookie
        assert browser.token != before, "a token that was planted before the login must be worth nothing after it"
        assert browser.get("/web/account").status_code == 200
        assert "ann (hotline)" in browser.text
    with open_store(data) as store, store.reading() as session:
        kept = session.scalars(select(WebSession)).one()
        assert browser.token.encode() not in kept.sha256
        assert session.scalars(select(PersonRow.password)).one().startswith("scrypt$")


def test_what_was_wrong_is_not_told(data: Path) -> None:
    person(data, "off", PersonRole.HOTLINE)
    managing.disable(data, "off")
    managing.add(data, "new", PersonRole.HOTLINE)
    with pages(data) as app:
        said = set()
        for name, password in (("ann", "wrong wrong wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("new", ""), ("", "")):
            browser = Browser(app)
            response = browser.log_in(name, password)
            assert response.status_code == 403
            assert browser.get("/web/account").status_code == 303
            said.add(Page(response.text.replace(f'value="{name}"', 'value=""')).text)
        assert len(said) == 1
        assert browse(app, "ann")


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example/", "/web//evil.example", "/other", "javascript:x", "/web/\\evil", "/web/\u00e9"],
)
def test_a_login_leads_to_pages_of_ours_only(data: Path, wanted: str) -> None:
    with pages(data) as app:
        browser = Browser(app)
        browser.get("/web/login")
        response = browser.submit("/web/login", {"name": "ann", "password": PASSWORD, "next": wanted})
        assert response.headers["location"] == "/web/"


def test_logins_end_when_idle_when_old_and_when_asked(data: Path) -> None:
    now = Clock()
    with pages(data, now) as app:
        browser = browse(app, "ann")
        now.now += sessions.IDLE_SECONDS - 1
        assert browser.get("/web/account").status_code == 200
        now.now += sessions.IDLE_SECONDS + 1
        assert browser.get("/web/account").status_code == 303
        browser = browse(app, "ann")
        begun = now.now
        while now.now < begun + sessions.MOST_SECONDS - 600:
            assert browser.get("/web/account").status_code == 200
            now.now += 900
        now.now = begun + sessions.MOST_SECONDS + 1
        assert browser.get("/web/account").status_code == 303
        browser = browse(app, "ann")
        token = browser.token
        browser.get("/web/account")
        response = browser.submit("/web/logout", {})
        assert response.headers["location"] == "/web/login?done=out"
        assert not browser.token
        browser.cookies.set("__Host-hashscan", token, domain="hotline.example", path="/")
        assert browser.get("/web/account").status_code == 303, "the login ended here, not only in the browser"
        now.now -= 7200
        assert browse(app, "ann").get("/web/account").status_code == 200


def test_logins_end_with_the_password_the_role_and_the_account(data: Path) -> None:
    changes = [
        lambda: managing.set_password(data, "ann", "another long password", cost=CHEAP),
        lambda: managing.set_password(data, "ann", PASSWORD, cost=CHEAP),
        lambda: managing.set_role(data, "ann", PersonRole.REVIEWER),
        lambda: managing.disable(data, "ann"),
    ]
    with pages(data) as app:
        other = "another long password"
        for change, password in zip(changes, (PASSWORD, other, PASSWORD, PASSWORD), strict=True):
            browser = browse(app, "ann", password=password)
            assert browser.get("/web/account").status_code == 200
            change()
            assert browser.get("/web/account").status_code == 303
        assert Browser(app).log_in("ann").status_code == 403
        managing.enable(data, "ann")
        assert browse(app, "ann")


def test_people_of_a_suspended_provider_see_nothing(data: Path) -> None:
    from hashscan.service import admin  # noqa: PLC0415

    enrol(data)
    person(data, "dirk", PersonRole.PROVIDER, "acme")
    with pages(data) as app:
        browser = browse(app, "dirk")
        assert browser.get("/web/account").status_code == 200
        admin.set_phase(data, "acme", Phase.SUSPENDED)
        assert browser.get("/web/account").status_code == 303


def test_one_person_has_a_bounded_number_of_logins(data: Path) -> None:
    with open_store(data) as store:
        with store.writing() as session:
            tokens = [sessions.begin(session, 1, "198.51.100.7", 1000.0) for _ in range(sessions.MAX_SESSIONS + 5)]
        assert sessions.visitor(store, tokens[4], 1000.0) is None
        assert sessions.visitor(store, tokens[5], 1000.0) is not None
        with store.reading() as session:
            assert session.scalar(select(func.count()).select_from(WebSession)) == sessions.MAX_SESSIONS


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 65, "\udcff", "é" * 20])
def test_a_made_up_token_is_nobody(data: Path, token: str) -> None:
    with open_store(data) as store:
        assert sessions.visitor(store, token, 1000.0) is None


# How often.


def test_failures_are_bounded_for_an_address_and_for_an_account(data: Path) -> None:
    now = Clock()
    with pages(data, now) as app:
        here, elsewhere = (Browser(app, client=one) for one in ("198.51.100.7", "203.0.113.9"))
        for number in range(throttling.OF_ADDRESS.most):
            assert here.log_in(f"nobody{number}", "x").status_code == 403
        response = here.log_in("ann")
        assert response.status_code == 429
        assert 0 < int(response.headers["retry-after"]) <= throttling.OF_ADDRESS.seconds
        assert "Too many" in response.text
        assert elsewhere.log_in("ann").status_code == 303
        now.now += throttling.OF_ADDRESS.seconds + 1
        assert here.log_in("ann").status_code == 303


def test_an_account_is_guarded_from_many_addresses_and_freed_by_the_operator(data: Path) -> None:
    with open_store(data) as store:
        for number in range(throttling.OF_ACCOUNT.most):
            with store.writing() as session:
                throttling.count_attempt(session, "ann", f"2001:db8:0:{number:x}::1", 1000.0)
        with pytest.raises(throttling.TooManyFailures) as raised, store.writing() as session:
            throttling.count_attempt(session, "ann", "198.51.100.1", 1010.0)
        assert raised.value.retry_after == throttling.OF_ACCOUNT.seconds - 10
        managing.enable(data, "ann")
        with store.writing() as session:
            throttling.count_attempt(session, "ann", "198.51.100.1", 1010.0)


def test_a_right_login_takes_its_attempt_back(data: Path) -> None:
    with pages(data) as app:
        for _ in range(throttling.OF_ADDRESS.most + 2):
            assert Browser(app, client="198.51.100.7").log_in("ann").status_code == 303


def test_what_counts_as_one_address() -> None:
    assert throttling.network("2001:db8::1") == throttling.network("2001:db8::ffff:1")
    assert throttling.network("2001:db8::1") != throttling.network("2001:db8:0:1::1")
    assert throttling.network("192.0.2.1") != throttling.network("192.0.2.2")
    assert throttling.network("unknown") == "unknown"


# The second factor.


def test_a_second_factor_is_begun_asked_for_and_ended(data: Path) -> None:
    now = Clock()
    with pages(data, now) as app:
        browser = browse(app, "ann")
        browser.get("/web/account/second-factor")
        secret = totp.base64.b32decode(Page(browser.last.text).forms[-1]["secret"])
        there = "/web/account/second-factor"

        def code() -> str:
            return totp.code(secret, int(now.now // 30))

        assert browser.submit(there, {"current": PASSWORD, "code": "000000" if code() != "000000" else "1"}).status_code == 422
        assert browser.submit(there, {"current": "wrong wrong", "code": code()}).status_code == 422
        assert browser.submit(there, {"current": PASSWORD, "code": code()}).status_code == 303
        used = code()
        for bad in ("", "12345", used):
            assert Browser(app).log_in("ann", code=bad).status_code == 403, bad
        now.now += 30
        assert Browser(app).log_in("ann", code=code()).status_code == 303
        assert Browser(app).log_in("ann", code=code()).status_code == 403, "a code counts once"
        browser.get("/web/account")
        assert browser.submit(f"{there}/end", {"current": "wrong wrong"}).status_code == 422
        assert browser.submit(f"{there}/end", {"current": PASSWORD}).status_code == 303
        assert Browser(app).log_in("ann").status_code == 303


# The own account.


def test_a_person_changes_the_password_and_other_logins_end(data: Path) -> None:
    with pages(data) as app:
        here, there = browse(app, "ann"), browse(app, "ann")
        new = "a new and long password"
        for fields, words in (
            ({"current": "wrong wrong", "password": new, "again": new}, "not right"),
            ({"current": PASSWORD, "password": new, "again": new + "x"}, "not the same"),
            ({"current": PASSWORD, "password": "short", "again": "short"}, "12 to 256"),
        ):
            here.get("/web/account")
            response = here.submit("/web/account/password", fields)
            assert (response.status_code, words in response.text) == (422, True)
        here.get("/web/account")
        assert here.submit("/web/account/password", {"current": PASSWORD, "password": new, "again": new}).status_code == 303
        assert here.get("/web/account?done=password").status_code == 200
        assert there.get("/web/account").status_code == 303
        assert Browser(app).log_in("ann").status_code == 403
        third = browse(app, "ann", password=new)
        third.get("/web/account")
        assert third.submit("/web/account/logins", {}).status_code == 303
        assert here.get("/web/account").status_code == 303
        assert third.get("/web/account").status_code == 200


def test_a_set_up_code_makes_a_password_once(data: Path) -> None:
    code = managing.add(data, "new", PersonRole.HOTLINE)
    now = Clock()
    with pages(data, now) as app:
        browser = Browser(app)
        browser.get("/web/welcome")
        good = {"name": "new", "code": code.upper(), "password": PASSWORD, "again": PASSWORD}
        for change in (
            {"code": code[:-1]},
            {"code": "%"},
            {"name": "ann"},
            {"again": "x"},
            {"password": "short", "again": "short"},
        ):
            assert browser.submit("/web/welcome", {**good, **change}).status_code == 422
        assert browser.submit("/web/welcome", good).status_code == 303
        assert browser.get("/web/account").status_code == 200
        again = Browser(app)
        again.get("/web/welcome")
        assert again.submit("/web/welcome", good).status_code == 422
        late = managing.set_password(data, "new", None)
        assert browser.get("/web/account").status_code == 303
        now.now += 3 * 86_400
        again.get("/web/welcome")
        assert again.submit("/web/welcome", {**good, "code": late}).status_code == 422


# Accounts.


@pytest.mark.parametrize("name", ["", "a", "Ann", "-x", "a b", "x" * 65, "\u00e9v", "ann.", "a-n-n"])
def test_a_bad_or_a_confusing_name_is_refused(data: Path, name: str) -> None:
    with pytest.raises(UsageError):
        managing.add(data, name, PersonRole.HOTLINE)


def test_only_people_of_providers_have_a_provider(data: Path) -> None:
    enrol(data)
    for role, provider in ((PersonRole.PROVIDER, None), (PersonRole.HOTLINE, "acme"), (PersonRole.PROVIDER, "nobody")):
        with pytest.raises(UsageError):
            managing.add(data, "eve", role, provider=provider)
        with pytest.raises(UsageError):
            managing.set_role(data, "ann", role, provider=provider)
    assert [one.name for one in managing.accounts(data)] == ["ann"]


def test_an_account_that_could_not_be_made_leaves_nothing(data: Path) -> None:
    with pytest.raises(UsageError):
        managing.add(data, "eve", PersonRole.HOTLINE, password="short")
    assert [one.name for one in managing.accounts(data)] == ["ann"]


# The trail.


def test_the_trail_tells_who_came_and_who_tried(data: Path) -> None:
    with pages(data) as app:
        Browser(app, client="203.0.113.66").log_in("ann\n<b>", "x")
        browser = browse(app, "ann")
        browser.get("/web/account?x=%00")
        browser.get("/web/trail")
        assert "&lt;b&gt;" in browser.last.text
        assert "<b>" not in browser.last.text
        assert browser.get("/web/trail?name=ann").status_code == 200
        assert "203.0.113.66" not in browser.text
        for odd in ("before=x", "before=" + "9" * 30, "before=1", "name=%00"):
            assert browser.get(f"/web/trail?{odd}").status_code == 200
    with open_store(data) as store, store.reading() as session:
        rows = [(row.name, row.role, row.what, row.about) for row in session.scalars(select(TrailRow))]
    assert rows[0] == ("(operator)", "", "account added", "ann, hotline")
    assert ("ann?<b>", "", "login failed", "") in rows
    assert ("ann", "", "logged in", "") in rows
    assert ("ann", "hotline", "account", "/web/account?x=%00") in rows
