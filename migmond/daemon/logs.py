"""The daemon's log: standard error, with journald's priorities when systemd runs us."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def _with_priority(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["_priority"] = f"<{_PRIORITIES.get(event.get('level', 'info'), 6)}>"
    return event


def _quoted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names come from users: neither line breaks nor escape sequences in them may look like a record of ours."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = repr(value)
    return event


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    priority = event.pop("_priority")
    event.pop("level", None)
    text = str(event.pop("event"))
    trace = event.pop("exception", "")
    fields = " ".join(f"{key}={value!r}" for key, value in event.items() if value is not None)
    # One line per record: journald would take a second line for another record of default priority.
    return f"{priority}{text} {fields}".rstrip() + (
        f"\n{priority}" + trace.replace("\n", f"\n{priority}") if trace else ""
    )


def make_log(level: Callable[[], str], environment: Mapping[str, str]) -> Callable[..., None]:
    """Return `log(message, **fields)`; a field `exc_info` logs an exception as an error.

    Args:
        level: returns the least level shown now: debug, info, warning, error.
        environment: JOURNAL_STREAM tells that systemd reads our standard error.
    """
    under_systemd = "JOURNAL_STREAM" in environment
    processors: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
    if under_systemd:
        processors += [_with_priority, _render]
    else:
        processors[1:1] = [_quoted]  # before the trace of an exception, which has lines of its own
        processors += [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )

    def log(message: str, **fields: Any) -> None:
        of = logging.ERROR if fields.get("exc_info") is not None else logging.INFO
        if of >= logging.getLevelName(level().upper()):
            logger.log(of, message, **fields)

    return log
