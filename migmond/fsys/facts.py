"""What file system this is, and how much room it has for an unprivileged user."""

from __future__ import annotations

import os

from migmond.wire.items import TargetFacts


def target_facts(fd: int) -> TargetFacts:
    """Return the figures of the file system that directory `fd` is on."""
    st = os.fstatvfs(fd)
    return TargetFacts(
        free_bytes=st.f_bavail * st.f_frsize,
        free_inodes=st.f_favail,
        total_bytes=st.f_blocks * st.f_frsize,
        name_max=st.f_namemax,
        file_system=file_system_type(fd),
        read_only=bool(st.f_flag & os.ST_RDONLY),
        writable=os.access(b".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True),
    )


def mount_id(fd: int) -> int:
    """Return the mount that `fd` was opened through; two fds of one device may be on different mounts."""
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        for line in lines:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    return 0


def file_system_type(fd: int) -> str:
    """Return its name as mount shows it: "ext4", "fuse.sshfs", ...; "unknown" when the mount is not to be seen."""
    number = mount_id(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            if line.startswith(f"{number} "):
                return line.split(" - ", 1)[1].split()[0]
    return "unknown"
