"""Whose file it is, by rules over paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.quarantine.tenants import MAX_RULE_CHARS, MAX_RULES, PROFILES, Tenants


@pytest.mark.parametrize(
    ("profile", "path", "tenant"),
    [
        ("home", b"/home/alice/public_html/a.jpg", "alice"),
        ("home", b"/home/alice", ""),
        ("home", b"/srv/home/alice/x", ""),
        ("cpanel", b"/home2/bob/mail/x", "bob"),
        ("cpanel", b"/home/bob/mail/x", "bob"),
        ("plesk", b"/var/www/vhosts/example.org/httpdocs/x", "example.org"),
        ("plesk", b"/var/www/vhosts/system/example.org/logs/x", "example.org"),
        ("directadmin", b"/home/carol/domains/c.example/public_html/x", "carol"),
        ("home", b"/home/\xff\n/x", "\\xff\n"),
        ("home", b"/home/../etc/x", ""),
    ],
)
def test_ready_made_rules(profile: str, path: bytes, tenant: str) -> None:
    assert Tenants.of([profile], []).of_path(path) == tenant


@pytest.mark.parametrize(
    ("rule", "path", "tenant"),
    [
        ("/srv/{tenant}.example.org/www", b"/srv/dora.example.org/www/x", "dora"),
        ("/srv/{tenant}.example.org/www", b"/srv/dora.example.com/www/x", ""),
        ("/srv/*/{tenant}/", b"/srv/node7/erin/x", "erin"),
        ("/srv/*/{tenant}/", b"/srv/node7/deep/erin/x", "deep"),
        ("/srv/{tenant}/", b"/srv/a+b(c)/x", "a+b(c)"),
        ("/srv/c_{tenant}/", b"/srv/c_7/x", "7"),
        ("/srv/c.{tenant}/", b"/srv/cx7/x", ""),
    ],
)
def test_own_rules(rule: str, path: bytes, tenant: str) -> None:
    assert Tenants([rule]).of_path(path) == tenant


def test_the_first_rule_that_fits_decides() -> None:
    both = Tenants.of(["home"], ["/home/shared/{tenant}/"])
    assert both.of_path(b"/home/shared/fay/x") == "fay"
    assert both.of_path(b"/home/shared/x") == "shared"


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (["home/{tenant}"], "absolute"),
        (["/home/"], "once"),
        (["/{tenant}/{tenant}"], "once"),
        (["/a//{tenant}"], "empty component"),
        (["/" + "a" * MAX_RULE_CHARS + "{tenant}"], "absolute"),
        (["/\0{tenant}"], "absolute"),
        (["/{tenant}/"] * (MAX_RULES + 1), "at most"),
    ],
)
def test_a_wrong_rule_is_named(rules: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Tenants(rules)


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UsageError, match="'cpanell'") as caught:
        Tenants.of(["cpanell"], [])
    assert "cpanel" in caught.value.hint


def test_no_rules_no_tenant() -> None:
    assert Tenants([]).of_path(b"/home/alice/x") == ""


@given(st.binary(min_size=1, max_size=80).filter(lambda name: b"/" not in name and name not in {b".", b".."}))
def test_any_name_is_attributed(name: bytes) -> None:
    expected = name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    assert Tenants(PROFILES["home"]).of_path(b"/home/" + name + b"/x") == expected


def test_two_names_are_two_tenants() -> None:
    tenants = Tenants(PROFILES["home"])
    assert tenants.of_path(b"/home/\xff/x") != tenants.of_path(b"/home/\\xff/x")


def test_what_may_be_in_a_rule_to_its_last_character() -> None:
    assert len(Tenants(["/{tenant}/"] * MAX_RULES)._patterns) == MAX_RULES
    longest = "/" + "a" * (MAX_RULE_CHARS - 10) + "/{tenant}"
    assert len(longest) == MAX_RULE_CHARS
    assert Tenants([longest]).of_path(b"/" + b"a" * (MAX_RULE_CHARS - 10) + b"/bob/x") == "bob"
    with pytest.raises(UsageError):
        Tenants([longest + "/"])
    assert Tenants(["/srv/{tenant}.other"]).of_path(b"/srv/bob.other/x") == "bob"
    assert Tenants(["/srv/\udcff/{tenant}/"]).of_path(b"/srv/\xff/bob/x") == "bob"


def test_a_name_is_written_so_that_it_can_be_read_back() -> None:
    tenants = Tenants(PROFILES["home"])
    assert tenants.of_path(b"/home/a\\b/x") == "a\\\\b"
    assert tenants.of_path(b"/home/a\nb/x") == "a\nb"
    assert tenants.of_path(b"/home/" + b"a" * 300 + b"/x") == "a" * 255


@pytest.mark.parametrize("rule", ["home/{tenant}", "/home/"])
def test_a_wrong_rule_is_told_what_a_right_one_is(rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        Tenants([rule])
    assert caught.value.hint == "a rule is like /home/{tenant}/ or /srv/www/{tenant}.example.org/"
