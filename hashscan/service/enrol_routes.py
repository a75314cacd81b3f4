"""The routes that agents get and change their keys by. Order of a request as in `service.app`; /v1/enrol has no bearer."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from hashscan.known.enrolment import MAX_APPLICATION_BYTES, Application, parse_key
from hashscan.known.envelopes import PROVIDER_KEYS
from hashscan.service import agents, enrolling, schemas
from hashscan.service.serving import Authenticated, address_of, bearer, body_up_to, read_body, served
from hashscan.strict_json import Fields, StrictJsonError, parse_object

_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")
_EPOCH = re.compile(r"[1-9][0-9]{0,8}")

router = APIRouter(prefix="/v1")
KeyBody = Annotated[bytes, Depends(body_up_to(MAX_APPLICATION_BYTES))]


@router.post(
    "/enrol",
    operation_id="enrol",
    summary="Enrol an agent with a single-use code",
    response_class=Response,
    responses=schemas.answers(
        "What the agent needs, for who knows the secret of the code", schemas.HANDOVER, 409, 410, 413, 422
    ),
    openapi_extra=schemas.ENROL_REQUEST,
)
async def enrol(request: Request) -> Response:
    """No bearer: the proof in the body says who asks. Asking again with the same API key gives the same answer."""
    service = served(request)
    service.gate.stranger(address_of(request), service.now())
    application = Application.parse(await read_body(request, MAX_APPLICATION_BYTES))
    answer = await run_in_threadpool(enrolling.enrol, service.store, service.keys, application, service.now())
    return Response(answer, media_type="application/json")


@router.post(
    "/api-keys",
    operation_id="add_api_key",
    summary="Add an API key beside the one that is used",
    response_class=Response,
    status_code=201,
    responses=schemas.added("The key works", 409, 413, 422),
    openapi_extra=schemas.API_KEY_REQUEST,
    dependencies=[bearer],
)
def add_api_key(request: Request, caller: Authenticated, body: KeyBody) -> Response:
    """The agent made the key and tells its SHA-256. Asking again is fine, also with the new key itself."""
    sha256, label = parse_key(Fields(parse_object(body, max_bytes=MAX_APPLICATION_BYTES, max_depth=2), "request"))
    service = served(request)
    agents.introduce(service.store, caller, bytes.fromhex(sha256), label, service.now())
    return Response(schemas.DONE_BODY, status_code=201, media_type="application/json")


@router.post(
    "/api-keys/retire",
    operation_id="retire_api_key",
    summary="End the API key by which the one that is used was added",
    response_class=Response,
    responses=schemas.answers("The old key does not work any more", schemas.DONE, 409, 413, 422),
    openapi_extra=schemas.RETIRE_REQUEST,
    dependencies=[bearer],
)
def retire_api_key(request: Request, caller: Authenticated, body: KeyBody) -> Response:
    """Asked with the new key, which shows that it works. Asking again is fine."""
    fields = Fields(parse_object(body, max_bytes=MAX_APPLICATION_BYTES, max_depth=2), "request")
    sha256 = fields.hex("api_key_sha256", digits=64)
    service = served(request)
    agents.retire(service.store, caller, bytes.fromhex(sha256), service.now())
    return Response(schemas.DONE_BODY, media_type="application/json")


@router.get(
    "/provider-keys",
    operation_id="provider_keys",
    summary="The provider's keys, for an agent that holds one of them",
    response_class=Response,
    responses=schemas.answers("A DSSE envelope over the wrapped keys", schemas.ENVELOPE, 409, 422),
    openapi_extra=schemas.PROVIDER_KEYS_REQUEST,
    dependencies=[bearer],
)
def provider_keys(request: Request, caller: Authenticated) -> Response:
    """What an agent asks for when it meets an epoch that none of its keys is for."""
    nonce, have = (_one(request, name, shape) for name, shape in (("nonce", _NONCE), ("have", _EPOCH)))
    service = served(request)
    payload = enrolling.provider_keys(service.store, caller, nonce, int(have), service.now())
    return service.sealed(payload, PROVIDER_KEYS)


def _one(request: Request, name: str, shape: re.Pattern[str]) -> str:
    """A query parameter that is there once and has its shape. Raises `StrictJsonError`."""
    values = request.query_params.getlist(name)
    if len(values) != 1 or not shape.fullmatch(values[0]):
        raise StrictJsonError(f"request: {name!r} is not one value of its form")
    return values[0]
