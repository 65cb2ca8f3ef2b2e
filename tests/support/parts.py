"""A mover's parts at work in the test's own process."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from migmond.domain.entry import entry_type
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.engine.limiter import Limiter
from migmond.fsys import machine_code as machine
from migmond.mover.budget import Budget
from migmond.mover.commit import Committer
from migmond.mover.context import Context
from migmond.mover.control import Controls
from migmond.mover.copy import Copier
from migmond.mover.group import Group
from migmond.mover.roots import open_roots
from migmond.wire.from_mover import FromMover, Published
from migmond.wire.items import MoverOptions, RootSpec, WorkItem
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import Open, Publish


def item_of(number: int, name: bytes, st: os.stat_result) -> WorkItem:
    """A task as a scan would have found it."""
    return WorkItem(
        number, name, entry_type(st.st_mode), st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev,
        st.st_nlink,
    )  # fmt: skip


class Mover:
    """Copier and committer of a mover, without its threads and its process."""

    def __init__(
        self,
        source: Path,
        target: Path,
        policy: ConflictPolicy = ConflictPolicy.FAIL,
        *,
        move: bool = False,
        verify: VerifyLevel = VerifyLevel.HASH,
        recorded_device: int = 0,
        machine_code: bool = False,
        reflink: bool = False,
    ) -> None:
        operation = Operation.MOVE if move else Operation.COPY
        options = MoverOptions(
            "0123456789ab", operation, policy, verify, one_file_system=True, reflink=reflink, rename=move
        )
        spec = RootSpec(bytes(source), bytes(target))
        roots = open_roots(Open((spec,), options, make_targets=True, source_devices=(recorded_device,)))
        self.said: list[FromMover] = []
        self.page = mmap.mmap(-1, SLOT_BYTES)
        self.limiter = Limiter(None, "")
        library = machine.load() if machine_code else None
        assert (library is not None) == machine_code, "it is not built: run scripts/setup where there is a C compiler"
        controls = Controls(MoverSide(self.page))
        controls.join(Budget(os.dup(self.limiter.page()), library))
        self.context = Context(roots, options, controls, self.said.append, library)
        self.copier = Copier(self.context)
        self.committer = Committer(self.context)
        self.source = source

    def group(self, number: int, *names: str) -> Group:
        """Copy files into a new group."""
        group = Group(number)
        for name in names:
            st = os.lstat(self.source / name)
            item = item_of(st.st_ino % 1_000_000, os.path.basename(os.fsencode(name)), st)
            copied = self.copier.copy(item, 0, os.path.dirname(os.fsencode(name)), number)
            assert copied.arrival is not None, copied.result
            group.add(copied.arrival)
        return group

    def publish(self, number: int, *names: str) -> Group:
        """Copy, sync and publish a group; its names wait for the next sync."""
        group = self.group(number, *names)
        self.committer._sync(group)
        self.committer._publish(Publish(number))
        assert isinstance(self.said[-1], Published)
        return group

    def fail_next_sync(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(_: object) -> None:
            monkeypatch.undo()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(self.context.devices, "sync", fails)
