"""What a request asks for: its query or body, read into the parameters of a method."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request

from migmond.domain import api
from migmond.domain.decoding import converted, field_of, from_json
from migmond_web.answers import Refused
from migmond_web.composed import Composed
from migmond_web.routes import BASE, Route

MAX_BODY = 1 << 20
"""Bytes; the longest body that any method takes is a plan's, with its patterns."""
_LIST = re.compile(r"^(tuple|list)")


async def parameters(request: Request, endpoint: Route | Composed) -> api.Params:
    """Return what the call is made with: the query or the body, and what the path names.

    Raises:
        Refused: it does not fit the method's parameters.
    """
    if endpoint.verb == "GET":
        given: Any = _from_query(request, endpoint.params)
    else:
        body = await body_of(request)
        given = decoded(body, dict[str, Any]) if body else {}
    for name, value in request.path_params.items():
        if name in endpoint.params.__struct_fields__:
            given[name] = value
    if endpoint.idempotent and (key := request.headers.get("idempotency-key")):
        given.setdefault(endpoint.idempotent, key)
    try:
        return converted(given, endpoint.params, strict=endpoint.verb != "GET")
    except msgspec.ValidationError as e:
        raise Refused(422, "invalid_input", str(e).partition(" - at ")[0], f"see {BASE}/docs", field_of(e)) from e


def _from_query(request: Request, kind: type[api.Params]) -> dict[str, Any]:
    """Return the query as a mapping. A field that takes several values may be repeated; one that is an object, such as
    a selector, is JSON."""
    fields = {f.name: str(f.type) for f in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if _LIST.match(fields.get(name, "")):
            given.setdefault(name, []).append(value)
        elif value[:1] in ("{", "["):
            given[name] = decoded(value.encode(), dict[str, Any] if value[0] == "{" else list[Any])
        else:
            given[name] = value
    return given


async def body_of(request: Request) -> bytes:
    """Return the body. Raises Refused: it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, "limit_exceeded", f"the body has more than {MAX_BODY} bytes", "no request needs that")
    return bytes(body)


def decoded(body: bytes, kind: Any) -> Any:
    """Raises Refused: no JSON, or not of that kind."""
    try:
        return from_json(body, kind)
    except RecursionError as e:
        raise Refused(400, "invalid_input", "the body is nested too deeply", f"see {BASE}/docs") from e
    except msgspec.ValidationError as e:
        raise Refused(422, "invalid_input", str(e), f"see {BASE}/docs") from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Refused(400, "invalid_input", f"the body is no JSON: {e}", f"see {BASE}/docs") from e
