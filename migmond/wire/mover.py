"""Messages between the daemon and one mover: arrays (see `domain.packing`) in length-prefixed frames over a socketpair.

Order of a mover's life:

    daemon                               mover
    Become(uid, gid, groups)        →    (of a daemon of root's only; no answer)
    Open(roots, options)            →
                                    ←    Opened(roots) | OpenFailed(fault)
    one of
      Scan / ScanDirectories        →
                                    ←    Scanned* , ScanFinished
      Work* (copying movers)        →    per batch: copies under temporary names, into the open commit group
                                    ←    Copied(batch, results)
                                         group full, idle or Flush: syncfs (and read-back), then
                                    ←    Synced(group, failures, durable)
      Publish(group)                →    renames to the final names
                                    ←    Published(group, results)      (not durable yet)
                                         the next syncfs of this mover makes it so:
                                    ←    Synced(..., durable=[group])  or  Durable([group])
      Delete, PutBack, MakeDirectories, RemoveDirectories, Sweep, Settle, Verify, Examine, RestoreBackups,
      Probe, Survey, Locate         → one answer each
    AddRoots                        →    (a further destination; no answer unless it is refused)
    Stop                            →    flushes nothing, exits 0 when the present call returns

The daemon decides and journals; a mover only acts and tells. A mover's commit group members are known to the
daemon from `Copied`; the daemon journals them on `Synced` and only then sends `Publish`.
Copying of the next group goes on while a group is synced: a mover has a copying and a committing thread.
Answers to different requests may come in any order; answers of one kind come in the order of their requests.
"""

from __future__ import annotations

import msgspec

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A mover is ours and trusted to be well-formed; the limit catches bugs."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what travels: encoded as [class name, fields...]. See `wire.to_mover` and `wire.from_mover`."""
