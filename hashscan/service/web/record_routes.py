"""The start page of each role, the trail, and the list of accounts."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from hashscan.service.actors import PersonRole
from hashscan.service.web import trail as steps_of
from hashscan.service.web.entrance import Entered
from hashscan.service.web.people import accounts
from hashscan.service.web.rendering import page

router = APIRouter()


@router.get("/")
def start(visit: Entered) -> Response:
    """To what a person looks at first."""
    own = visit.who.actor.role is PersonRole.PROVIDER
    return RedirectResponse("/web/own" if own else "/web/overview", status_code=303)


@router.get("/trail")
def trail(visit: Entered) -> Response:
    """Who looked at or did what."""
    asked = visit.request.query_params
    before = asked.get("before", "")
    name = asked.get("name", "").strip().lower()[:64]
    with visit.service.store.reading() as session:
        steps = steps_of.steps(session, before=int(before) if before.isdecimal() and len(before) < 16 else None, name=name)
    older = {"before": steps[-1].id, **({"name": name} if name else {})} if len(steps) == steps_of.PAGE_ROWS else None
    return page(visit, "trail.html", steps=steps, name=name, older=urlencode(older) if older else "")


@router.get("/people")
def people(visit: Entered) -> Response:
    """All accounts."""
    with visit.service.store.reading() as session:
        return page(visit, "people.html", accounts=accounts(session, visit.now))
