"""The forty hazards: ways in which tools that move files lose or spoil data. Each is proved by at least one test.

A test that proves a row is marked `@pytest.mark.hazard(number, ...)`; `tests/faults/test_hazards.py` fails when a row
has none.
"""

from __future__ import annotations

HAZARDS = {
    1: "source deleted before the target is durable",
    2: "zero-length file at the final name after a power cut",
    3: "no directory fsync: the file is missing after a power cut",
    4: "a second fsync after a failed one reports success",
    5: "late write-back error missed",
    6: "partial file under the final name after kill -9",
    7: "journal loses acknowledged rows",
    8: "bit rot in the journal",
    9: "disk of the journal full",
    10: "half-applied database set-up",
    11: "a device that drops writes",
    12: "verification reads the page cache",
    13: "no space, no inodes, root's reserve",
    14: "quota, file size limits",
    15: "silent bit flip",
    16: "source is the target",
    17: "target inside the source, or the reverse",
    18: "mount vanished: writes by path land below it",
    19: "mount points crossed unasked",
    20: "stale handles of NFS",
    21: "disk pulled: it fails, and still looks mounted",
    22: "file system turns read-only",
    23: "input/output hangs",
    24: "a sleeping disk wakes slowly",
    25: "file changes while it is copied",
    26: "equal times, different content",
    27: "somebody still writes the source",
    28: "clock jumps",
    29: "hard links duplicated",
    30: "sparse files inflated, trailing hole cut",
    31: "extended attributes, ACLs, capabilities lost",
    32: "chown clears setuid and capabilities",
    33: "chattr flags",
    34: "directory times clobbered by children",
    35: "birth time cannot be set",
    36: "special files",
    37: "pseudo files of size 0",
    38: "names that are no text, long names and paths",
    39: "a target on which two names are one",
    40: "symlink races when running as root",
}
