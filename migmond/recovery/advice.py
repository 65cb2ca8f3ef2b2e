"""The knowledge base: what an error means, what to do about it, and the command that does it.

By cause (see `migmond.recovery.correlation`) where one is likely enough, else by the kind of the error. Each entry
names where what it says is from. `python -m migmond.recovery.reference` prints all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import msgspec

from migmond.domain.fault import Fault
from migmond.domain.hints import SEE_LOG
from migmond.recovery.commands import Command, Situation, text, works
from migmond.recovery.correlation import Found

LIKELY = 0.4
"""Score from which a cause is acted upon; below it the advice is by the kind of the error."""

_C = Command
_RETRY = (_C.RETRY, _C.RESUME)
"""What waits is not retried: the hold that it waits for is lifted."""
_SKIP = (_C.SKIP,)
_RESUME = (_C.RESUME, _C.RETRY)
_ROUTE = (_C.ROUTE,)

HINTS: Mapping[str, str] = {
    "exists": "choose --conflict skip, newer, rename or replace-with-backup, or remove what is there",
    "source_changed": "it was written to while it was copied: resume when its writer is done",
    "source_in_use": "close the program that has it open for writing, then migmon resume",
    "same_file": "source and target are the same file: nothing to do",
    "target_missing": "look what became of the copy, then migmon resume: it is copied again",
    "target_changed": "look at both and remove the one you do not want, then migmon resume",
    "kept_aside": "look at both and give the one beside it a name of its own or remove it, then migmon resume",
    "left_aside": "migmon resume gives it its name back; when it was cancelled: rename it yourself, nobody else will",
    "source_unreachable": "look where its directory went: when it has its name again, migmon resume finds the source",
    "hash_mismatch": "the target did not keep what was written: check the disk (migmon doctor)",
    "taken_meanwhile": "look whether another migration writes there too, then migmon resume",
    "copy_replaced": "somebody removes or changes files that begin with .migmond- at the destination: stop that",
    "EACCES": "run it as a user who may read the source and write the target",
    "EPERM": "run it as a user who may, or ask an admin for --privileged",
    "ENOSPC": "make room on the destination, then migmon resume",
    "EDQUOT": "raise the quota or make room, then migmon resume",
    "EROFS": "the file system is read-only: check the kernel log, remount, then migmon resume",
    "EIO": "the disk could not read or write: check the kernel log and the disk's health",
    "ENAMETOOLONG": "the destination's file system allows shorter names only: rename the source",
    "ELOOP": "a symlink stands where a directory is expected: it is not followed",
    "ENOTDIR": "a file stands where a directory has to be made: move it away, then migmon resume",
    "EISDIR": "a directory stands where a file has to be: move it away, then migmon resume",
    "mover_died": f"reading this file killed the mover process repeatedly: {SEE_LOG}",
}
"""What to do next, by fault kind, when no cause is known."""
_GOES_ON = "then migmon resume"
_BY_KIND: Mapping[str, tuple[Command, ...]] = {"EIO": (Command.SALVAGE, *_RETRY), "mover_died": (Command.SKIP,)}
"""What to type then, where that is not to go on."""


class Advice(msgspec.Struct, frozen=True):
    """One entry of the knowledge base.

    Attributes:
        cause: name of the cause that it is for.
        meaning: what it means for the files, one or two sentences.
        action: what to do, in this order.
        commands: what to type; of these the first that does anything as things are.
        source: where that is from.
    """

    cause: str
    meaning: str
    action: str
    commands: tuple[Command, ...]
    source: str


@cache
def entries() -> tuple[Advice, ...]:
    """Return the knowledge base: one entry for each cause."""
    return (
        Advice("full", "Nothing more fits; what is there is whole, what is not waits.",
               "make room and it goes on by itself, or send what is left elsewhere",
               _ROUTE, "open(2), ENOSPC; statvfs(3)"),
        Advice("no_inodes", "There is room for bytes, but not for one more file.",
               "remove small files there, or choose a file system without a fixed number of inodes (xfs, btrfs)",
               _ROUTE, "mke2fs(8), -i and -N"),
        Advice("quota", "The owner of the copies may have no more there, though the disk has room.",
               "raise the quota (setquota, xfs_quota) or make room, and it goes on by itself",
               _ROUTE, "quotactl(2); setquota(8)"),
        Advice("bad_sectors", "The content of some files is lost, in part at least; each further read wears the disk.",
               "copy everything else first; then save what can be read of these files, and replace the disk",
               (_C.SALVAGE, _C.SKIP),
               "GNU ddrescue manual, \"Important advice\"; smartctl(8), attributes 5, 187, 197 and 198"),
        Advice("link", "The data may be whole: what fails is the way to it.",
               "check cable, plug and power, try another port, then try again", _RETRY,
               "libata error handling, Documentation/driver-api/libata.rst; SMART attribute 199"),
        Advice("unplugged", "Nothing is lost: what was done is done, the rest waits for the disk.",
               "plug it in and mount it in the same place; it goes on by itself", _RESUME,
               "Documentation/filesystems/: a device that is removed fails all requests with EIO"),
        Advice("read_only", "The file system found something wrong and protects what is there.",
               "look at the kernel's log, unmount, check it (fsck), mount it again", _RESUME,
               "ext4(5), errors=remount-ro; xfs(5), shutdown"),
        Advice("damaged", "Structures of the file system are damaged; files may be as well.",
               "copy what is most important first; check the file system read-only (fsck -n, xfs_repair -n) when "
               "nothing runs", _SKIP, "errno EUCLEAN (\"Structure needs cleaning\"): fs/ext4, fs/xfs"),
        Advice("raid", "The array runs without its redundancy, or not at all.",
               "look at /proc/mdstat, replace the disk, let it rebuild before you go on", _RESUME,
               "md(4), mdadm(8)"),
        Advice("server", "Nothing is lost: the other side cannot be reached.",
               "look whether the server runs and the network is there; it goes on by itself", _RETRY,
               "nfs(5), soft and timeo"),
        Advice("stale", "The directory was removed or exported anew on the server.",
               "mount it again, then go on", _RESUME, "nfs(5); errno(3), ESTALE"),
        Advice("served_no_more", "What is mounted there is the rest of a file system whose process has ended.",
               "unmount it (fusermount -u), mount it again, then go on", _RESUME, "fuse(4); fusermount(1)"),
        Advice("permission", "The files are there, and stay; whoever started this may not read or write them.",
               "change the rights, or let an admin start it with --privileged", _RETRY, "path_resolution(7)"),
        Advice("name_too_long", "Most file systems allow 255 bytes; encrypted ones (eCryptfs) 143.",
               "shorten the names at the source, then try again", _RETRY, "statvfs(3), f_namemax; ecryptfs(7)"),
        Advice("name_refused", "File systems of Windows refuse some characters, and dots and blanks at the end.",
               "rename at the source, then try again, or leave them out", _SKIP, "ntfs3; vfat.rst, \"utf8\""),
        Advice("too_large", "FAT cannot have files of 4 GiB (2^32 bytes) and more.",
               "send them to another file system (exFAT, ext4), or leave them out",
               _ROUTE,
               "Microsoft FAT specification, 1.03, DIR_FileSize"),
        Advice("hot", "Disks that are too hot slow down and fail.",
               "let it cool: pause for a while, better the air, and limit the rate",
               (_C.THROTTLE, _C.RETRY),
               "the drive's own limits: smartctl -l scttemp"),
        Advice("in_use", "They are not copied as long as they change, so that no half-written file is taken for whole.",
               "wait until their writer is done, or stop it, then try again", _RETRY, "flock(2); fcntl(2), F_SETLEASE"),
        Advice("taken", "What is there was not written by this migration, and is not touched.",
               "compare the two; then choose --conflict skip, newer, rename or replace-with-backup, or move it away",
               _RETRY, "renameat2(2), RENAME_NOREPLACE"),
        Advice("unfaithful", "What was read back differs from what was written: do not trust this disk or its memory.",
               "check memory and disk (memtest, a long self-test), then try again", _RETRY,
               "Bairavasundaram et al., An Analysis of Data Corruption in the Storage Stack, FAST 2008"),
        Advice("mover", "The kernel or a library ends the process that reads it.", SEE_LOG, _SKIP, "signal(7)"),
        Advice("changed", "The errors began when the migration was changed.",
               "look at what was changed, and take it back if it was that", (_C.INTERVENTIONS,),
               "this migration's own record"),
    )  # fmt: skip


class Recommendation(msgspec.Struct, frozen=True):
    """What to tell people about a group of errors. `command` is "" when there is nothing to type."""

    meaning: str
    action: str
    command: str


def recommend(fault: Fault, causes: Sequence[Found], there: Situation | None) -> Recommendation:
    """Return what to do about a group of errors.

    Args:
        causes: what it may come from, the likeliest first.
        there: None: no command is wanted.
    """
    meaning, action = "", HINTS.get(fault.kind, SEE_LOG)
    commands = _BY_KIND.get(fault.kind, _RETRY if _GOES_ON in action else ())
    if causes and causes[0].score >= LIKELY:
        advice = next(a for a in entries() if a.cause == causes[0].cause.name)
        meaning, action, commands = advice.meaning, advice.action, advice.commands
    typed = (text(c, fault, there) for c in commands if works(c, fault, there)) if there is not None else ()
    return Recommendation(meaning, action, next(iter(typed), ""))
