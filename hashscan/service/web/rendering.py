"""From values to HTML: the templates, the words for times and ages, the security headers of every page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from hashscan.service.actors import Deed, PersonRole, may
from hashscan.service.web.entrance import PAGES, Visit
from hashscan.service.web.sessions import Visitor

NOTHING = "\N{EN DASH}"  # in the place of a value that there is none of
_HERE = Path(__file__).resolve().parent
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would send "Origin: null" with every form
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}
_NAVIGATION = (
    ("overview", "/web/overview", "Overview"),
    ("own", "/web/own", "Overview"),
    ("disputes", "/web/disputes", "Disputes"),
    ("trail", "/web/trail", "Trail"),
    ("people", "/web/people", "Accounts"),
    ("account", "/web/account", "My account"),
)
_ROLES = {
    PersonRole.HOTLINE: "hotline",
    PersonRole.REVIEWER: "reviewer",
    PersonRole.AUTHORITY: "authority",
    PersonRole.PROVIDER: "provider",
}


def page(visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page for a person (or for anybody) with what every page has."""
    common = {
        "service": visit.request.app.state.name,
        "visitor": visit.visitor,
        "role": _role(visit.visitor),
        "navigation": _navigation(visit),
        "csrf": visit.csrf,
        "now": visit.now,
        "may": _may(visit),
    }
    return _answer(template, {**common, **values}, status)


def bare(template: str, *, status: int, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """A page that nobody is known to: of errors."""
    return _answer(template, {"visitor": None, "navigation": (), "now": None, **values}, status, headers)


def _answer(template: str, values: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    text = environment().get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers={**HEADERS, **(headers or {})})


@cache
def environment() -> jinja2.Environment:
    """The templates: everything is escaped, and a value that is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"when": when, "day": day, "duration": duration, "number": number, "percent": percent}
    return made


def asset(name: str, media_type: str) -> Response:
    """A file of ``static``; it may be kept for an hour."""
    body = _asset(name)
    return Response(body, media_type=media_type, headers={**HEADERS, "Cache-Control": "public, max-age=3600"})


@cache
def _asset(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


def _navigation(visit: Visit) -> list[tuple[str, str, bool]]:
    """(address, words, whether it is here) of the pages that a person may open."""
    if visit.visitor is None:
        return []
    role, here = visit.visitor.actor.role, visit.request.url.path
    return [(address, words, here == address) for name, address, words in _NAVIGATION if role in PAGES[name]]


def _role(visitor: Visitor | None) -> str:
    if visitor is None:
        return ""
    actor = visitor.actor
    return f"{_ROLES[actor.role]} {actor.provider}" if actor.provider else _ROLES[actor.role]


def _may(visit: Visit) -> Mapping[str, bool]:
    return {deed.name.lower(): visit.visitor is not None and may(visit.visitor.actor, deed) for deed in Deed}


def when(at: float | None) -> Markup | str:
    """Minute in UTC, also for machines."""
    if at is None:
        return "never"
    moment = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(moment.strftime("%Y-%m-%dT%H:%MZ"), moment.strftime("%Y-%m-%d %H:%M"))


def day(at: float | None) -> Markup | str:
    """Day in UTC."""
    if at is None:
        return "never"
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    return Markup('<time datetime="{0}">{0}</time>').format(text)


def duration(seconds: float | None) -> str:
    """A span in the two largest units, as people say it: "3 d 4 h", "25 min"."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{max(0, seconds):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest and hours < 10 else f"{round(minutes / 60)} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} d {hours} h" if hours and days < 14 else f"{round(minutes / 1440)} d"


def number(value: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    """A share of 0 to 1; never rounded up to all."""
    if share is None:
        return NOTHING
    points = 100 * share
    return f"{points:.0f} %" if points in (0, 100) or 1 <= points < 99 else f"{min(points, 99.9):.1f} %"
