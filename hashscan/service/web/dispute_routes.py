"""Disputes: the list, one with its history, and the forms for what people think."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import quote

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from hashscan.errors import UsageError
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.disputing import acts, complaints, entries, own, views
from hashscan.service.disputing.complaints import Complainer, Complaint
from hashscan.service.disputing.rules import NEEDED, NoSuchDisputeError, Opinion
from hashscan.service.tables import HashList
from hashscan.service.web.choosing import DAY_SECONDS
from hashscan.service.web.entrance import Entered, Visit
from hashscan.service.web.rendering import page

router = APIRouter(prefix="/disputes")


@router.get("")
def disputes(visit: Entered) -> Response:
    """All that are open, or all; a provider's people see those of their company."""
    actor = visit.who.actor
    every = visit.request.query_params.get("every") == "yes"
    with visit.service.store.reading() as session:
        if actor.role is PersonRole.PROVIDER:
            return page(visit, "own_disputes.html", disputes=own.own_disputes(session, actor))
        return page(visit, "disputes.html", disputes=views.disputes(session, actor, visit.now, every=every), every=every)


@router.get("/new")
def new_dispute(visit: Entered) -> Response:
    """The form."""
    asked = visit.request.query_params
    return _form(visit, asked.get("list", "")[:64], asked.get("entry", "")[:80])


@router.post("/new")
def open_dispute(visit: Entered) -> Response:
    """Dispute an entry with a reason; where a dispute is open about it, this joins it."""
    return _act(visit, lambda session, actor: _opened(session, actor, visit))


@router.post("/new/withdraw-alone")
def withdraw_alone(visit: Entered) -> Response:
    """The emergency: withdraw an entry at once, alone, until a second person has looked."""
    return _act(visit, lambda session, actor: _withdrawn(session, actor, visit))


@router.get("/{dispute_id}")
def dispute(visit: Entered, dispute_id: str) -> Response:
    """One dispute: who says what, what happened to the entry, who acted on it."""
    return _dispute(visit, dispute_id)


@router.post("/{dispute_id}/opinion")
def give_opinion(visit: Entered, dispute_id: str) -> Response:
    """Confirm or withdraw, with a reason; the second person who agrees decides."""
    try:
        opinion = Opinion(visit.form.get("opinion", ""))
        with visit.service.store.writing() as session:
            acts.judge(session, visit.who.actor, dispute_id, opinion, _reason(visit), visit.now)
    except ValueError:
        return _dispute(visit, dispute_id, "Choose what you think.")
    except NoSuchDisputeError:
        raise
    except UsageError as error:
        return _dispute(visit, dispute_id, _sentence(error))
    return RedirectResponse(f"/web/disputes/{quote(dispute_id)}", status_code=303)


def _act(visit: Visit, act: Callable[[Session, Actor], str]) -> Response:
    """Do something from the form of `new_dispute` and go to the dispute; what is wrong is said beside the form."""
    try:
        with visit.service.store.writing() as session:
            dispute_id = act(session, visit.who.actor)
    except UsageError as error:
        return _form(visit, visit.form.get("list", "")[:64], visit.form.get("entry", "")[:80], _sentence(error))
    return RedirectResponse(f"/web/disputes/{dispute_id}", status_code=303)


def _opened(session: Session, actor: Actor, visit: Visit) -> str:
    list_id, entry = visit.form.get("list", ""), visit.form.get("entry", "").strip()
    if actor.role is PersonRole.PROVIDER:
        who = Complainer(own.own_id(session, actor), actor.provider or "")
        said = Complaint(f"page-{secrets.token_hex(16)}", list_id, entry, _reason(visit))
        return complaints.complain(session, who, said, visit.now).dispute
    meant = entries.find(session, list_id, entry)  # a digest can be that of several entries
    done = [acts.dispute(session, actor, one, _reason(visit), visit.now) for one in meant]
    return done[0].dispute


def _withdrawn(session: Session, actor: Actor, visit: Visit) -> str:
    meant = entries.find(session, visit.form.get("list", ""), visit.form.get("entry", "").strip())
    done = [acts.withdraw_alone(session, actor, one, _reason(visit), visit.now) for one in meant]
    return done[0].dispute


def _form(visit: Visit, list_id: str, entry: str, problem: str | None = None) -> Response:
    with visit.service.store.reading() as session:
        lists = session.scalars(select(HashList.name).order_by(HashList.name)).all()
    return page(
        visit,
        "new_dispute.html",
        status=422 if problem else 200,
        problem=problem,
        lists=lists,
        list=list_id,
        entry=entry,
        reason=visit.form.get("reason", ""),
        own=visit.who.actor.role is PersonRole.PROVIDER,
        provider=visit.who.actor.provider,
    )


def _dispute(visit: Visit, dispute_id: str, problem: str | None = None) -> Response:
    actor, status = visit.who.actor, 422 if problem else 200
    with visit.service.store.reading() as session:
        if actor.role is PersonRole.PROVIDER:
            told = complaints.told(session, own.own_id(session, actor), dispute_id)
            said = own.own_reasons(session, actor, dispute_id)
            return page(visit, "own_dispute.html", told=told, said=said)
        found = views.detail(session, actor, dispute_id, visit.now)
    mine = next((one for one in found.opinions if one.person == actor.person), None)
    return page(
        visit,
        "dispute.html",
        status=status,
        problem=problem,
        dispute=found,
        line=found.line,
        mine=mine,
        needed=NEEDED,
        reason=visit.form.get("reason", ""),
        day_seconds=DAY_SECONDS,
    )


def _reason(visit: Visit) -> str:
    """As one line: browsers send what was typed into a large field with line ends."""
    return " ".join(visit.form.get("reason", "").split())


def _sentence(error: UsageError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
