"""The journal's care: backups from time to time, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Callable

import trio

from migmond.domain import daemon_api
from migmond.domain.errors import MigmondError
from migmond.domain.units import show_size
from migmond.engine.views import local_text
from migmond.ports import (
    Clock,
    Journal,
)

LOOK_S = 60.0
"""So often it is looked whether a backup is due: the clock may have jumped, or the settings changed."""


def is_due(newest_at: float | None, now: float, every_s: float) -> bool:
    """Whether to make a backup.

    Args:
        newest_at: wall clock seconds of the newest one. One from the future (the clock was wrong) is as good as none.
        now: wall clock seconds.
        every_s: how old the newest one may become, seconds.
    """
    return newest_at is None or not now - every_s < newest_at <= now


async def keep_backups(
    journal: Journal, clock: Clock, settings: Callable[[], tuple[float, int]], log: Callable[..., None]
) -> None:
    """Make backups when they are due and something has changed, until cancelled; what goes wrong is logged.

    Args:
        settings: returns how often in seconds, and how many to keep (0: make none).
    """
    while True:
        every_s, keep = settings()
        if keep and not journal.condition().damage and journal.changed_since_backup():
            try:
                found = await journal.backups()
                if is_due(found[0].at if found else None, clock.wall(), every_s):
                    made = await journal.backup(keep)
                    log("journal backed up", path=made.path, size_bytes=made.size_bytes)
            except MigmondError as e:
                log("the journal could not be backed up", why=e.message)
        await trio.sleep(LOOK_S)


async def journal_checks(journal: Journal, keep: int, state_directory: str) -> list[daemon_api.Check]:
    """Look at every part of the journal; return what the doctor says.

    Args:
        keep: how many backups the configuration wants.
        state_directory: where the journal is.
    """
    found = await journal.check()
    backups = await journal.backups()
    newest = backups[0] if backups else None
    command = f"migmond --state-directory {state_directory} --restore {newest.path if newest is not None else 'BACKUP'}"
    hint = f"nothing goes on with it; stop the daemon, then: {command}"
    checks = [daemon_api.Check("journal", "error", sentence, hint) for sentence in found]
    condition = journal.condition()
    if not found:
        checks.append(
            daemon_api.Check("journal", "error", condition.damage, hint)
            if condition.damage
            else daemon_api.Check("journal", "ok", "no damage found")
        )
    if why := condition.short or condition.reserve:
        checks.append(
            daemon_api.Check("journal ballast", "error" if condition.short else "warning", why, "make room where it is")
        )
    else:
        checks.append(daemon_api.Check("journal ballast", "ok", "there"))
    if newest is not None:
        size = show_size(newest.size_bytes)
        checks.append(
            daemon_api.Check(
                "journal backups", "ok", f"{len(backups)}, newest of {local_text(newest.at)}, {size}: {newest.path}"
            )
        )
    elif keep:
        checks.append(daemon_api.Check("journal backups", "warning", "there is none yet", "migmon backup makes one"))
    return checks
