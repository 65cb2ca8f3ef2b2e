"""Why something was stopped, out of what trio makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.domain.errors import MigmondError


def leaf(group: BaseException) -> BaseException:
    """Return one of the errors in a group: they have one cause."""
    parts: Sequence[BaseException] = group.exceptions if isinstance(group, BaseExceptionGroup) else ()
    return leaf(parts[0]) if parts else group


def why(group: BaseExceptionGroup) -> str:
    """Return why something was stopped, one sentence for people."""
    cause = leaf(group)
    return cause.message if isinstance(cause, MigmondError) else f"internal error: {cause!r}"
