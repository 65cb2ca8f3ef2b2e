"""The OpenAPI document, from the same table and types that serve, and a page of it for people."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

import migmond
from migmond.domain import api
from migmond.domain.people import OpenParams, Person
from migmond_web.composed import Composed, composed
from migmond_web.routes import BASE, Route, routes

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint", "field"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "field": {
                    "type": ["string", "null"],
                    "description": "The parameter that is wrong, such as plan.sources[0].path; null when it is none in "
                    "particular.",
                },
            },
        }
    },
}
_REFUSALS = {
    "400": "The body is no JSON.",
    "401": "Nobody is signed in.",
    "403": "That person may not do that, or another site asks.",
    "404": "There is no such thing, or it is somebody else's.",
    "409": "It does not fit the present state, or names several.",
    "413": "The body is too large.",
    "422": "The parameters do not fit; `field` says which, when it is one.",
    "429": "Too much at a time.",
    "500": "A mistake of migmond.",
    "501": "The daemon is older than the gateway.",
    "503": "The daemon does not answer, or cannot now.",
}


def document() -> dict[str, Any]:
    """Return the document (OpenAPI 3.1, whose schemas are JSON Schema 2020-12)."""
    table: list[Route | Composed] = [*composed(), *routes()]
    types = [t for r in table for t in (r.params, r.result) if t is not None] + [OpenParams, Person, api.Acknowledged]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(BASE + route.path, {})[route.verb.lower()] = _operation(route, by_type, components)
    anything = {"type": "object"}
    session = f"{BASE}/session"
    paths[session] = {
        "get": _plain("whoAmI", "Who is signed in.", by_type[Person]),
        "post": _plain("signIn", "Sign in; the cookie comes with the answer.", anything, by_type[OpenParams], "201"),
        "delete": _plain("signOut", "Sign out.", by_type[api.Acknowledged]),
    }
    period = _plain("periodReportFile", "What was moved over a time, as one HTML file.", anything)
    period["parameters"] = [{"name": "span_s", "in": "query", "schema": {"type": "number"}}]
    one = _plain("reportFile", "How a migration went, as one HTML file.", anything)
    one["parameters"] = [_in_path("id")]
    for path, operation in (("/reports/html", period), ("/{id}/report/html", one)):
        operation["responses"]["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
        paths[BASE + path] = {"get": operation}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "migmond",
            "version": migmond.__version__,
            "description": (
                "Every endpoint is for the person who is signed in, with that person's rights. Changes need the header "
                f"X-Migmond (any value). GET {BASE}/stream and {BASE}/ID/stream are WebSockets, or server-sent events "
                "for whoever asks without an upgrade: messages {kind, data, gap}."
            ),
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "migmond_session"}},
        },
        "security": [{"session": []}],
    }


def _operation(route: Route | Composed, by_type: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    named = re.findall(r"{(\w+)}", route.path)
    result = {"type": "object"} if route.result is None else by_type[route.result]
    fields = {f.name: f for f in msgspec.structs.fields(route.params)}
    parameters = [_in_path(name) for name in named]
    found: dict[str, Any] = {
        "operationId": _name_of(route),
        "summary": route.help,
        "responses": {str(route.status): _json_of("It went well.", result), **_refusals()},
    }
    properties = components[route.params.__name__].get("properties", {})
    if route.verb == "GET":
        for name, schema in properties.items():
            if name not in named:
                plain = _in_query(schema, components)
                required = fields[name].required
                parameters.append({"name": name, "in": "query", "required": required, **plain})
    else:
        rest = {n: s for n, s in properties.items() if n not in named}
        needed = [n for n in rest if fields[n].required]
        body = {"type": "object", "properties": rest, "required": needed, "additionalProperties": False}
        found["requestBody"] = {"required": bool(needed), "content": {"application/json": {"schema": body}}}
        header = {"name": "X-Migmond", "in": "header", "required": True, "schema": {"type": "string"}}
        parameters.append(header)
    found["parameters"] = parameters
    return found


def _name_of(route: Route | Composed) -> str:
    if isinstance(route, Composed):
        return route.name
    return f"{route.verb.lower()}_{route.call.replace('.', '_')}"


def _in_query(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Objects travel as JSON in a query."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if (name and components[name].get("type") == "object") or schema.get("type") == "object":
        return {"content": {"application/json": {"schema": schema}}}
    return {"schema": schema}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _plain(id_: str, summary: str, result: Any, body: Any = None, status: str = "200") -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": id_,
        "summary": summary,
        "responses": {status: _json_of("It went well.", result), **_refusals()},
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _json_of(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _refusals() -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _json_of(text, error) for status, text in _REFUSALS.items()}


def page(found: dict[str, Any]) -> str:
    """Return the document as a page to read: every endpoint with its parameters."""
    rows = []
    for path, operations in found["paths"].items():
        for verb, operation in operations.items():
            given = [p["name"] for p in operation.get("parameters", ())]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            given += [f"{name} (body)" for name in body.get("properties", ())]
            rows.append(
                f"<tr><th scope=row><code>{verb.upper()} {html.escape(path)}</code><td>"
                f"{html.escape(operation['summary'])}<td>{html.escape(', '.join(given)) or '–'}"
            )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>migmond: HTTP API</title>"
        "<meta name=viewport content='width=device-width'><link rel=stylesheet href=/style.css>"
        f"<main class=page><h1>HTTP API of migmond {html.escape(migmond.__version__)}</h1>"
        f"<p>{html.escape(found['info']['description'])} <a href=openapi.json>The OpenAPI document</a> has all types."
        "<table><thead><tr><th>Endpoint<th>What it does<th>Parameters<tbody>" + "".join(rows) + "</table></main></html>"
    )
