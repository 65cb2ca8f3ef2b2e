"""Answers and refusals in one form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from migmond.client.errors import RemoteError, Unreachable
from migmond_web.daemon import SignedOut
from migmond_web.live import Crowded

STATUS_OF: Mapping[str, int] = {
    "invalid_input": 422,
    "config": 422,
    "protocol": 400,
    "frame_too_large": 413,
    "not_found": 404,
    "ambiguous": 409,
    "not_permitted": 403,
    "conflict": 409,
    "illegal_transition": 409,
    "plan_infeasible": 422,
    "limit_exceeded": 429,
    "unavailable": 503,
    "history": 503,
    "mover": 503,
    "journal": 503,
    "journal_damaged": 503,
    "journal_full": 503,
    "plugin": 503,
}
"""HTTP status by kind of the daemon's error (`migmond.domain.errors`); any other kind is 500."""


class Refused(Exception):
    """A request that gets no answer but a reason.

    Args:
        status: of HTTP.
        code: the kind of the error, stable.
        message, hint: what is wrong, and what to do.
        field: of the parameters, "" when it is none in particular.
    """

    def __init__(self, status: int, code: str, message: str, hint: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field


def as_refused(error: Exception) -> Refused:
    """Return what in HTTP is what kept the daemon from answering: the one table of that.

    Args:
        error: Refused, SignedOut, Crowded, RemoteError or Unreachable.
    """
    match error:
        case Refused():
            return error
        case SignedOut():
            return Refused(401, "signed_out", "nobody is signed in", "sign in: migmon dash prints a link")
        case Crowded():
            return Refused(429, "limit_exceeded", str(error), "close some pages")
        case Unreachable():
            return Refused(503, "unreachable", error.message, "is it running? systemctl status migmond")
        case RemoteError():
            if error.unknown_method:
                hint = "the daemon is older than the gateway: restart it"
                return Refused(501, "unknown_method", error.message, hint)
            return Refused(STATUS_OF.get(error.kind, 500), error.kind, error.message, error.hint, error.field)
    raise error


def failure(refused: Refused) -> Response:
    """Return the answer that says so."""
    told = {"code": refused.code, "message": refused.message, "hint": refused.hint, "field": refused.field or None}
    return _json(msgspec.json.encode({"error": told}), refused.status)


def answer(request: Request, found: Any, status: int) -> Response:
    """Return `found` as JSON; a browser that has it already is told so only."""
    body = msgspec.json.encode(found)
    response = _json(body, status)
    if request.method == "GET":
        tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'  # of the uncompressed form
        response.headers["etag"] = tag
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": tag, "cache-control": "no-cache"})
    return response


def _json(body: bytes, status: int) -> Response:
    return Response(body, status, {"cache-control": "no-cache"}, "application/json")
