"""The routes by which a provider disputes an entry that it met. Order of a request as in `service.app`."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from hashscan.known.envelopes import DISPUTE
from hashscan.service import parsing, schemas
from hashscan.service.access import NotServed
from hashscan.service.disputing import complaints
from hashscan.service.disputing.complaints import Complainer, NotMetError, Told
from hashscan.service.disputing.rules import NoSuchDisputeError, TooManyError
from hashscan.service.serving import Authenticated, bearer, body_up_to, served

router = APIRouter(prefix="/v1", dependencies=[bearer])
ComplaintBody = Annotated[bytes, Depends(body_up_to(parsing.MAX_COMPLAINT_BYTES))]


@router.post(
    "/disputes",
    operation_id="dispute",
    summary="Dispute an entry that this provider has told an outcome about",
    response_class=Response,
    responses=schemas.answers("A DSSE envelope over how the dispute stands", schemas.ENVELOPE, 409, 413, 422, 429),
    openapi_extra=schemas.DISPUTE_REQUEST,
)
def dispute(request: Request, caller: Authenticated, body: ComplaintBody) -> Response:
    """Counted once, by its id, however often it is sent. Meanwhile answers to this provider say disputed."""
    complaint = parsing.parse_complaint(body)
    service = served(request)
    who = Complainer(caller.id, caller.name, caller.api_key_id)
    now = service.now()
    try:
        with service.store.writing() as session:
            told = complaints.complain(session, who, complaint, now)
    except NotMetError as error:
        raise NotServed(409, "not_met", str(error)) from None
    except TooManyError as error:
        raise NotServed(429, "too_many", str(error), retry_after=error.retry_after) from None
    return service.sealed(_payload(caller.name, told, now), DISPUTE)


@router.get(
    "/disputes/{dispute_id}",
    operation_id="dispute_state",
    summary="How a dispute of this provider stands",
    response_class=Response,
    responses=schemas.answers("A DSSE envelope over how the dispute stands", schemas.ENVELOPE, 404, 422),
)
def dispute_state(request: Request, caller: Authenticated, dispute_id: str) -> Response:
    """Those that this provider takes part in; every other is not there."""
    service = served(request)
    try:
        with service.store.reading() as session:
            told = complaints.told(session, caller.id, dispute_id)
    except NoSuchDisputeError as error:
        raise NotServed(404, "not_found", str(error)) from None
    return service.sealed(_payload(caller.name, told, service.now()), DISPUTE)


def _payload(provider: str, told: Told, now: float) -> bytes:
    document = {
        "provider": provider,
        "issued": now,
        "id": told.key,
        "dispute": told.dispute,
        "list": told.list_id,
        "entry": told.entry,
        "state": told.state.value,
        "paused": told.paused,
        "opened": told.opened,
        "decided": told.decided,
    }
    return json.dumps(document, separators=(",", ":")).encode()
