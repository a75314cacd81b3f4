"""The route that is asked most (docs/wire.md, "Confirm"): one hop to a thread, and there one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from hashscan.known import envelopes
from hashscan.known.envelopes import SigningKey
from hashscan.service import confirming, parsing, schemas
from hashscan.service.access import Caller, NotServed
from hashscan.service.asking import Asking
from hashscan.service.metrics import named
from hashscan.service.parsing import Asked
from hashscan.service.quotas import cost_of
from hashscan.service.serving import Served, authenticated, bearer, before, caller_of, read_body, served, stranger


class _Direct(APIRoute):
    """Its endpoint gets the request and nothing else: solving dependencies costs more than the answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint."""
        return self.endpoint


router = APIRouter(prefix="/v1", dependencies=[bearer], route_class=_Direct)


@router.post(
    "/confirm",
    operation_id="confirm",
    summary="Ask about candidates of one list",
    response_class=Response,
    responses=schemas.answers("A DSSE envelope over the verdict", schemas.ENVELOPE, 409, 413, 422),
    openapi_extra=schemas.CONFIRM_REQUEST,
)
async def confirm(request: Request) -> Response:
    """The first four bytes of digests come in, entries with keyed tags go out; the agent decides what is a match."""
    service = served(request)
    if not service.gate.was_good(request.headers.get("authorization")):
        await run_in_threadpool(authenticated, request)  # of a stranger not even the body is read
    try:
        body = await read_body(request, parsing.MAX_CONFIRM_BYTES)
    except NotServed:
        await run_in_threadpool(authenticated, request)  # who may not ask is told that, and nothing of its body
        raise
    return await to_thread.run_sync(_confirmed, service, request, body, limiter=service.threads)


@dataclass(frozen=True, slots=True)
class _Answered:
    payload: bytes
    told: Counter[str]
    keys: Sequence[SigningKey]


def _confirmed(service: Served, request: Request, body: bytes) -> Response:
    """Whether the key still counts is read in the same state of the database as the answer."""
    before(service, request)
    who: Caller | None = None
    answered: _Answered | None = None
    try:
        with service.store.asking() as asking:
            who = caller_of(service, request, asking)
            asked = _asked(request, body)
            if service.quotas.at_hand(who, cost_of(asked), service.now()):
                answered = _answered(service, asking, who, asked)
        if answered is None:
            service.quotas.spend(service.store, who, cost_of(asked), service.now())  # may write, so not while it reads
            with service.store.asking() as asking:
                answered = _answered(service, asking, who, asked)
    except NotServed as refused:
        stranger(service, request, refused)
        raise
    finally:
        if who is not None:
            service.uses.record(service.store, who.api_key_id, service.now())
    _count(service, who, asked, answered)
    return service.sealed(answered.payload, envelopes.VERDICT, answered.keys)


def _asked(request: Request, body: bytes) -> Asked:
    asked = parsing.parse_confirm(body)
    if request.headers.get("idempotency-key", asked.nonce) != asked.nonce:
        raise NotServed(422, "invalid", "the Idempotency-Key is not the nonce")
    return asked


def _answered(service: Served, asking: Asking, who: Caller, asked: Asked) -> _Answered:
    told: Counter[str] = Counter()
    payload = confirming.answer(asking, who, asked, service.now(), told)
    return _Answered(payload, told, service.keys.signing_verdicts(asking))


def _count(service: Served, who: Caller, asked: Asked, answered: _Answered) -> None:
    service.meters.add(named("questions_total", provider=who.name), len(asked.items))
    for standing, count in answered.told.items():
        service.meters.add(named("entries_told_total", standing=standing), count)
