"""The form of answers that are errors (docs/wire.md), and the headers of all."""

from __future__ import annotations

import math

from fastapi.responses import JSONResponse

from hashscan.service.access import NotServed

_MAX_MESSAGE = 300  # characters of an error message; parts of a request may be quoted in it


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error in our form."""
    return JSONResponse({"error": {"code": code, "message": message[:_MAX_MESSAGE]}}, status_code=status, headers=headers)


def error_response(refused: NotServed) -> JSONResponse:
    """What a `NotServed` becomes."""
    headers = {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_after))
    if refused.status in (408, 413):
        headers["Connection"] = "close"  # what is still to come is not waited for
    return error(refused.status, refused.code, str(refused), headers)
