"""Who may do what at the service: the whole table, and by what two people are told apart."""

from __future__ import annotations

import pytest

from hashscan.errors import UsageError
from hashscan.service.actors import (
    MAY,
    Actor,
    Deed,
    NotAllowedError,
    PersonRole,
    may,
    person,
    require,
    sees_name,
    sees_provider,
)

H, R, A, P = PersonRole.HOTLINE, PersonRole.REVIEWER, PersonRole.AUTHORITY, PersonRole.PROVIDER

TABLE = {
    Deed.DISPUTE: {H, R},
    Deed.COMPLAIN: {P},
    Deed.JUDGE: {H, R},
    Deed.WITHDRAW_ALONE: {H},
    Deed.SEE_DISPUTES: {H, R},
    Deed.SEE_FIGURES: {H, R, A},
    Deed.SEE_OWN_FIGURES: {H, R, A, P},
    Deed.SEE_NAMES: {H, A},
    Deed.EXPORT: {H, A},
}


def actor(role: PersonRole, name: str = "anna") -> Actor:
    return Actor(name, role, "acme" if role is P else None)


@pytest.mark.parametrize("deed", list(Deed))
@pytest.mark.parametrize("role", list(PersonRole))
def test_every_role_may_exactly_what_the_table_says(role: PersonRole, deed: Deed) -> None:
    allowed = role in TABLE[deed]
    assert may(actor(role), deed) is allowed
    if allowed:
        require(actor(role), deed)
    else:
        with pytest.raises(NotAllowedError, match=role.value):
            require(actor(role), deed)


def test_every_deed_is_in_the_table() -> None:
    assert set(MAY) == set(Deed) == set(TABLE)


def test_a_provider_can_change_nothing_for_others() -> None:
    assert {deed for deed in Deed if may(actor(P), deed)} == {Deed.COMPLAIN, Deed.SEE_OWN_FIGURES}


def test_who_watches_decides_nothing() -> None:
    assert not any(may(actor(A), deed) for deed in (Deed.DISPUTE, Deed.COMPLAIN, Deed.JUDGE, Deed.WITHDRAW_ALONE))


def test_a_provider_sees_itself_only() -> None:
    assert sees_provider(actor(P), "acme")
    assert not sees_provider(actor(P), "other")
    assert [sees_provider(actor(role), "other") for role in (H, R, A)] == [True, True, True]


def test_names_are_for_those_who_need_them() -> None:
    assert [sees_name(actor(role), "other") for role in (H, R, A, P)] == [True, False, True, False]
    assert sees_name(actor(P), "acme")


@pytest.mark.parametrize(
    "again", ["Anna", " anna ", "ANNA", "a.n.n.a", "\uff21nna", "an\u00adna", "anna\u200b", "Anna!", "an na"]
)
def test_one_person_under_another_spelling_is_the_same(again: str) -> None:
    assert person(again) == person("anna")


@pytest.mark.parametrize("other", ["hanna", "anna2", "\u00e4nna", "ann"])
def test_another_name_is_another_person(other: str) -> None:
    assert person(other) != person("anna")


def test_accents_are_one_however_they_are_encoded() -> None:
    assert person("Zo\u00eb") == person("ZOE\u0308")


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[31m", "..", " "])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Actor(name, H)


def test_a_provider_belongs_to_a_provider_and_nobody_else_does() -> None:
    with pytest.raises(UsageError, match="belongs to one"):
        Actor("anna", P)
    with pytest.raises(UsageError, match="belongs to one"):
        Actor("anna", H, "acme")
    assert Actor("anna", R).label == "anna (reviewer)"
