"""Backups that the policy `replace-with-backup` made: found again, and given the names that they were taken from."""

from __future__ import annotations

import os
import stat
import time

from migmond.domain.examination import BackupTimes
from migmond.domain.fault import Fault, Phase
from migmond.fsys.durable import sync_directory
from migmond.fsys.rename import rename_noreplace, stat_or_none
from migmond.mover.conflict import backup_names
from migmond.mover.context import Context, fault_of
from migmond.mover.devices import Devices
from migmond.wire.from_mover import BackupsRestored
from migmond.wire.items import ItemFault, NamedTasks
from migmond.wire.slots import Doing
from migmond.wire.to_mover import RestoreBackups

_MISSING = 16
"""So many numbers in a row that no backup has are the end: they are made without gaps, but people remove some."""


def made_backup(directory: int, name: bytes, times: BackupTimes) -> bytes | None:
    """Return the backup of `name` that was made at these times, and that nothing has happened to since.

    Which backups an execution made is not on record. Making one, by link or rename, moves its ctime, which nobody can
    set: so one that has a ctime between the execution's beginning and end was made by it. Of several the last one is
    what had the name before.
    """
    found, missing = None, 0
    for candidate in backup_names(name):
        st = stat_or_none(directory, candidate)
        if st is None:
            missing += 1
            if missing == _MISSING:
                break
            continue
        missing = 0
        if times.are_of(st.st_ctime_ns, 1 if stat.S_ISDIR(st.st_mode) else st.st_nlink):
            found = candidate
    return found


class BackupRestorer:
    """Answers RestoreBackups."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def restore(self, message: RestoreBackups) -> None:
        """Give backups their names, where nothing has these; durable when the answer goes out."""
        faults: dict[int, Fault] = {}
        done: list[int] = []
        devices = Devices()
        try:
            for directory in message.directories:
                done += self._restore_in(directory, message, devices, faults)
            try:
                devices.sync()
            except OSError as e:
                faults |= {number: fault_of(Phase.SYNC, e) for number in done}
        finally:
            devices.close()
        self._context.controls.slot.ended()
        failures = tuple(ItemFault(number, fault) for number, fault in faults.items())
        self._context.send(BackupsRestored(message.batch, len(done), failures))

    def _restore_in(
        self, directory: NamedTasks, message: RestoreBackups, devices: Devices, faults: dict[int, Fault]
    ) -> list[int]:
        self._context.controls.slot.began(Doing.DIRECTORIES, time.monotonic_ns())
        sources, done = self._context.source_directories(), list[int]()
        try:
            there = sources.get(directory.root, directory.path)
            devices.note(there)
            for number, name in directory.items:
                own = self._context.roots[directory.root].names(name)[0]
                try:
                    if _restored(there, own, message.times):
                        done.append(number)
                except OSError as e:
                    faults[number] = fault_of(Phase.PUBLISH, e)
            if devices.one_by_one(os.fstat(there).st_dev):
                sync_directory(there)
        except FileNotFoundError:
            pass  # its directory is gone, and what was in it with it
        except OSError as e:
            faults |= {number: fault_of(Phase.PUBLISH, e) for number, _ in directory.items}
        finally:
            sources.clear()
        return done


def _restored(directory: int, name: bytes, times: BackupTimes) -> bool:
    if stat_or_none(directory, name) is not None:
        return False  # it has been given back already, or somebody has put something there
    backup = made_backup(directory, name, times)
    if backup is None:
        return False
    try:
        rename_noreplace(directory, backup, directory, name)
    except FileExistsError:
        return False
    return True
