"""The one place where an exception becomes a code on the wire."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import msgspec

from migmond.domain import errors
from migmond.domain.decoding import field_of
from migmond.domain.hints import SEE_LOG
from migmond.domain.names import to_text
from migmond.wire.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, ErrorObject
from migmond.wire.requests import Malformed

CODES: Mapping[type[errors.MigmondError], int] = {
    errors.InvalidInput: INVALID_PARAMS,
    errors.ConfigError: -32010,
    errors.ProtocolError: INVALID_REQUEST,
    errors.FrameTooLarge: -32011,
    errors.NotFound: -32020,
    errors.NotPermitted: -32021,
    errors.Conflict: -32022,
    errors.IllegalTransition: -32023,
    errors.PlanInfeasible: -32024,
    errors.Ambiguous: -32025,
    errors.LimitExceeded: -32030,
    errors.Unavailable: -32031,
    errors.MoverError: -32040,
    errors.JournalError: -32050,
    errors.JournalDamaged: -32051,
    errors.JournalFull: -32052,
    errors.HistoryError: -32055,
    errors.PluginError: -32060,
    errors.MigmondError: -32000,
}
"""Application codes; a subclass without a row of its own has its nearest ancestor's."""


MAX_MESSAGE = 2000
"""Characters of an error message on the wire."""


def code_of(error: errors.MigmondError) -> int:
    """Return the wire code of an error."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return CODES[errors.MigmondError]


def error_object(error: Exception, log: Callable[..., None]) -> ErrorObject:
    """Return what the client is told. An unexpected exception is logged under an incident number; the client gets
    the number, nothing of the inside. Messages quote what came from outside: they are cut to MAX_MESSAGE."""
    if isinstance(error, Malformed):
        return ErrorObject(error.code, _short(error.message), _data(error))
    if isinstance(error, errors.MigmondError):
        return ErrorObject(code_of(error), _short(error.message), _data(error))
    if isinstance(error, msgspec.ValidationError):
        return error_object(errors.InvalidInput(str(error), hint="see system.methods", field=field_of(error)), log)
    incident = secrets.token_hex(4)
    log("unexpected error in a method", incident=incident, exc_info=error)
    return ErrorObject(
        INTERNAL_ERROR,
        f"internal error, incident {incident}",
        {"kind": "internal", "retryable": False, "hint": SEE_LOG},
    )


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"


def _data(error: errors.MigmondError) -> dict[str, object]:
    return {
        "kind": error.kind,
        "retryable": error.retryable,
        "path": None if error.path is None else _short(to_text(error.path)),
        "errno": error.errno,
        "hint": _short(error.hint),
        "field": (_short(error.field) or None) if isinstance(error, errors.InvalidInput) else None,
    }
