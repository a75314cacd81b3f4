"""What machines that watch over the service ask: does it answer, can it work, how is it doing."""

import hmac
import ipaddress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from hashscan.service import schemas
from hashscan.service.access import NotServed
from hashscan.service.condition import condition, gauges
from hashscan.service.metrics import exposition
from hashscan.service.serving import served

router = APIRouter()
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health", operation_id="health", summary="Whether the process answers", responses=schemas.STATUS)
def health() -> dict[str, str]:
    """Always ok where there is an answer at all."""
    return {"status": "ok"}


@router.get("/ready", operation_id="ready", summary="Whether agents can be answered", responses=schemas.READY)
def ready(request: Request) -> Response:
    """503 without a database or a key to sign with. What a person should see to is named in an answer that is good."""
    service = served(request)
    found = condition(service.store, service.keys, service.now())
    said: dict[str, Any] = {"status": "ready", "troubles": list(found.troubles)}
    if found.broken:
        return JSONResponse({"error": {"code": "not_ready", "message": f"not ready: {', '.join(found.broken)}"}}, 503)
    return JSONResponse(said)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses=schemas.METRICS,
)
def metrics(request: Request) -> Response:
    """For who has the token of the operator; without a token for this host only, and not through a proxy."""
    service = served(request)
    _check_watcher(request, service.options.metrics_token)
    text = exposition(service.meters.sums(), gauges(service.store, service.keys, service.now()))
    return Response(text.encode("ascii"), media_type=_TEXT)


def _check_watcher(request: Request, token: str | None) -> None:
    """Raises `NotServed` (404): who may not look is not told that there is something to see."""
    if token is not None:
        sent = request.headers.get("authorization", "")
        if hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
            return
    elif not any(name in request.headers for name in _FORWARDED) and _is_here(request):
        return
    raise NotServed(404, "not_found", "Not Found")


def _is_here(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
