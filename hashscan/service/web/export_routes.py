"""Figures to take away, as they are chosen on the overview: everything as JSON, one table as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from hashscan.service.actors import Deed, may
from hashscan.service.monitor import exporting
from hashscan.service.monitor.views import Monitor, monitor
from hashscan.service.web.choosing import chosen
from hashscan.service.web.entrance import Entered, Visit, refuse
from hashscan.service.web.rendering import HEADERS

router = APIRouter(prefix="/export")


@router.get("/monitor.json")
def export_json(visit: Entered) -> Response:
    """Everything (docs/formats.md, "Figures of the monitor")."""
    return _file(visit, "monitor.json", exporting.json_pieces(_figures(visit)), "application/json")


@router.get("/{table}.csv")
def export_csv(visit: Entered, table: str) -> Response:
    """One of the tables of the same document."""
    if table not in exporting.TABLES:
        refuse(404)
    return _file(visit, f"{table}.csv", exporting.csv_pieces(_figures(visit), table), "text/csv; charset=utf-8")


def _figures(visit: Visit) -> Monitor:
    actor = visit.who.actor
    choice = chosen(visit.request.query_params, may_see_names=may(actor, Deed.SEE_NAMES))
    with visit.service.store.reading() as session:
        return monitor(session, actor, choice.selection(visit.now), visit.now, names=choice.names)


def _file(visit: Visit, name: str, pieces: Iterator[str], media_type: str) -> Response:
    """A file that browsers store and do not show, sent as it is made; its name says when."""
    day = datetime.fromtimestamp(visit.now, UTC).strftime("%Y-%m-%d")
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="hashscan-{day}-{name}"'}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)
