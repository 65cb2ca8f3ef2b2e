"""The words for what a survey saw: one rule per sight that may deserve a line in the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from migmond.domain.plan import ConflictPolicy, Operation, Plan, VerifyLevel
from migmond.domain.preflight import Folding, RootSurvey, Sight, TargetFacts
from migmond.domain.units import show_size
from migmond.planning.filesystems import Abilities

_READ = "run it as a user who may read them"
_FAIL = "they will fail, the rest goes on"
_COPY = "copy instead of moving, or run it as a user who may remove them"


class Case(msgspec.Struct, frozen=True):
    """One source and its target. `root`: the movers are root's."""

    plan: Plan
    facts: TargetFacts
    abilities: Abilities
    survey: RootSurvey
    root: bool

    @property
    def fs(self) -> str:
        """What to call the target's file system: `fuseblk` and the like say nothing to anybody."""
        return self.facts.file_system if self.abilities.known else "the destination"


class Remark(msgspec.Struct, frozen=True):
    """Words for one sight: for one entry, and for `{n}` of them."""

    severity: str
    one: str
    many: str
    hint: str = ""

    def text(self, count: int) -> str:
        return self.one if count == 1 else self.many.format(n=f"{count:,}")


Rule = Callable[[Case], Remark | None]


def _always(one: str, many: str, hint: str = "", severity: str = "warning") -> Rule:
    remark = Remark(severity, one, many, hint)
    return lambda case: remark


def _lost(kept: Callable[[Case], bool], one: str, many: str, hint: str = "") -> Rule:
    """Said unless it is kept; `{fs}` in the words is the target's file system."""

    def rule(case: Case) -> Remark | None:
        return (
            None if kept(case) else Remark("warning", one.replace("{fs}", case.fs), many.replace("{fs}", case.fs), hint)
        )

    return rule


def _conflict(case: Case) -> Remark:
    one, many = "1 entry meets a different one of its name", "{n} entries meet different ones of their names"
    if case.plan.conflict is ConflictPolicy.FAIL:
        hint = "choose what to do: --conflict skip, newer, rename or replace-with-backup"
        return Remark("warning", f"{one}: it will fail", f"{many}: they will fail", hint)
    what = {
        ConflictPolicy.SKIP: "what is there stays",
        ConflictPolicy.NEWER: "the newer one stays",
        ConflictPolicy.RENAME: "the arriving one gets a free name",
        ConflictPolicy.BACKUP: "what is there is kept as a backup",
    }[case.plan.conflict]
    return Remark("ok", f"{one}: {what}", f"{many}: {what}")


def _there(case: Case) -> Remark:
    one, many = (
        "1 entry of that name and size is there already",
        "{n} entries of the same names and sizes are there already",
    )
    if case.plan.operation is not Operation.MOVE and case.plan.verify is not VerifyLevel.READ_BACK:
        return Remark("ok", one, many)  # what a copy goes by has been seen
    other = f"other content is a conflict ({case.plan.conflict.value})"
    return Remark(
        "ok", f"{one}: its content will be compared, {other}", f"{many}: their content will be compared, {other}"
    )


def _collision(case: Case) -> Remark:
    hint = "rename them at the source, or let them get free names: --conflict rename"
    how = "case" if case.abilities.folding is Folding.CASE else "case or in how accents are written"
    if case.abilities.folding is Folding.UNKNOWN:
        return Remark(
            "warning", "", f"{{n}} names differ only in {how}; they collide if the destination folds them", hint
        )
    what = "case" if case.abilities.folding is Folding.CASE else "case and accents"
    if case.abilities.drops_dots:
        how += " or dots at the end"
    return Remark("warning", "", f"{{n}} names differ only in {how}; destination folds {what}", hint)


def _file_size(case: Case) -> Remark:
    limit = show_size(case.abilities.max_file_bytes or 0)
    return Remark(
        "warning", f"1 file is too large for {case.fs} (limit {limit})",
        f"{{n}} files are too large for {case.fs} (limit {limit})", _FAIL,
    )  # fmt: skip


def _time_step(case: Case) -> Remark:
    step = case.abilities.time_step_ns / 1e9
    return Remark(
        "warning", f"the modification time of 1 entry is rounded to {step:g} s by {case.fs}",
        f"modification times of {{n}} entries are rounded to {step:g} s by {case.fs}",
    )  # fmt: skip


def _many_links(case: Case) -> Remark:
    limit = f"{case.fs} has files of at most {case.abilities.max_links or 0:,} names"
    return Remark(
        "warning", f"1 further name becomes a file of its own: {limit}",
        f"{{n}} further names become files of their own: {limit}",
    )  # fmt: skip


def _moving(rule: Rule) -> Rule:
    return lambda case: rule(case) if case.plan.operation is Operation.MOVE else None


_RULES: dict[Sight, Rule] = {
    Sight.PSEUDO: _always(
        "the source is a pseudo file system: its files show what the kernel says at the moment",
        "{n} pseudo file systems are in the source: their files show what the kernel says at the moment",
        "leave it out (--exclude), or copy from a disk",
    ),
    Sight.UNREADABLE_DIRECTORY: _always("1 directory cannot be read", "{n} directories cannot be read", _READ),
    Sight.UNREADABLE_FILE: _always("1 file cannot be read", "{n} files cannot be read", _READ),
    Sight.UNDELETABLE: _always(
        "1 entry cannot be removed from the source: its directory is not writable for you",
        "{n} entries cannot be removed from the source: their directories are not writable for you", _COPY,
    ),
    Sight.STICKY: _always(
        "1 entry cannot be removed from the source: it is somebody else's, in a sticky directory",
        "{n} entries cannot be removed from the source: they are somebody else's, in sticky directories", _COPY,
    ),
    Sight.IMMUTABLE: _always(
        "1 entry is immutable or append-only, or lies in such a directory: a move cannot remove it",
        "{n} entries are immutable or append-only, or lie in such directories: a move cannot remove them",
        "chattr -i -a lifts that; or copy instead of moving",
    ),
    Sight.MOUNT_POINT: _always(
        "1 mount point below the source is left out", "{n} mount points below the source are left out",
        "--cross-mounts takes them along",
    ),
    Sight.TARGET_UNWRITABLE: _always(
        "1 directory at the destination is not writable for you",
        "{n} directories at the destination are not writable for you", "run it as a user who may write there",
    ),
    Sight.TARGET_MOUNT: _always(
        "1 directory at the destination is a mount point: its room was not looked at",
        "{n} directories at the destination are on other file systems: their room was not looked at",
        "plan it as a migration of its own",
    ),
    Sight.CONFLICT: _conflict,
    Sight.COLLISION: _collision,
    Sight.NAME_LENGTH: _lost(
        lambda case: False, "1 name is too long for {fs}", "{n} names are too long for {fs}", _FAIL
    ),
    Sight.NAME_CHARACTERS: _lost(
        lambda case: False, "1 name has characters that {fs} does not allow",
        "{n} names have characters that {fs} does not allow", _FAIL,
    ),
    Sight.PATH_LENGTH: _always(
        "1 path will be longer than other programs can open (4,095 bytes)",
        "{n} paths will be longer than other programs can open (4,095 bytes)", "choose a shorter destination",
    ),
    Sight.FILE_SIZE: _file_size,
    Sight.SYMLINK: _lost(
        lambda case: case.abilities.symlinks, "1 symlink cannot be on {fs}", "{n} symlinks cannot be on {fs}", _FAIL
    ),
    Sight.SPECIAL: _lost(
        lambda case: case.abilities.specials, "1 fifo, socket or device cannot be on {fs}",
        "{n} fifos, sockets and devices cannot be on {fs}", _FAIL,
    ),
    Sight.DEVICE: _always("1 device can be made by root only", "{n} devices can be made by root only", _FAIL),
    Sight.WRITER: _always(
        "1 file is open for writing", "{n} files are open for writing",
        "a file that changes while it is copied is taken up again, and fails if it never rests",
    ),
    Sight.SET_ASIDE: _always(
        "1 file has a private name, which another migration gave it to delete it: it is taken along as such",
        "{n} files have private names, which other migrations gave them to delete them: they are taken along as such",
        "see what became of that migration (migmon ls, migmon errors), and rename what it left",
    ),
    Sight.LINK_OUTSIDE: _moving(
        _always(
            "1 file has further names outside the source: they stay, as a file of their own",
            "{n} files have further names outside the source: they stay, as files of their own",
        )
    ),
    Sight.HARD_LINK: _lost(
        lambda case: case.abilities.hard_links, "1 hard link becomes a file of its own: {fs} has none",
        "{n} hard links become files of their own: {fs} has none",
    ),
    Sight.MANY_LINKS: _many_links,
    Sight.HOLES: _lost(
        lambda case: case.abilities.holes, "the holes of 1 sparse file are filled: {fs} has none",
        "the holes of {n} sparse files are filled: {fs} has none",
    ),
    Sight.XATTRS: _lost(
        lambda case: case.facts.xattrs, "extended attributes of 1 entry are lost: {fs} keeps none",
        "extended attributes of {n} entries are lost: {fs} keeps none",
    ),
    Sight.ACL: _lost(
        lambda case: case.facts.acls, "the ACL of 1 entry is lost: {fs} keeps none here",
        "ACLs of {n} entries are lost: {fs} keeps none here",
    ),
    Sight.CAPABILITIES: _lost(
        lambda case: case.facts.xattrs and case.root, "the capabilities of 1 file are lost",
        "capabilities of {n} files are lost", "only root can keep them, on a file system with attributes",
    ),
    Sight.FOREIGN_OWNER: _always(
        "1 entry of somebody else becomes yours", "{n} entries of others become yours",
        "only root can keep owners (--privileged)",
    ),
    Sight.GROUP: _always(
        "1 entry changes its group: you are not in it", "{n} entries change their group: you are not in it",
        "only root can keep it (--privileged)",
    ),
    Sight.OWNER: _lost(
        lambda case: case.abilities.owners, "the owner of 1 entry is lost: {fs} has one for all",
        "owners of {n} entries are lost: {fs} has one for all",
    ),
    Sight.MODE: _lost(
        lambda case: case.abilities.modes, "the permissions of 1 entry are lost: {fs} has the same for all",
        "permissions of {n} entries are lost: {fs} has the same for all",
    ),
    Sight.FLAGS: _always(
        "the copy of 1 entry is not immutable or append-only as it is itself",
        "the copies of {n} entries are not immutable or append-only as they are themselves",
    ),
    Sight.TIME_STEP: _time_step,
    Sight.TIME_RANGE: _lost(
        lambda case: False, "{fs} cannot have the modification time of 1 entry",
        "{fs} cannot have the modification times of {n} entries",
    ),
    Sight.THERE: _there,
}  # fmt: skip

_KEPT = ((Sight.XATTRS, "xattrs"), (Sight.ACL, "ACLs"), (Sight.CAPABILITIES, "capabilities"),
         (Sight.HARD_LINK, "hard links"), (Sight.HOLES, "holes"))  # fmt: skip


def remarks(case: Case) -> Iterator[tuple[Sight, Remark]]:
    """Yield what there is to say about one root, worst and most concrete first."""
    for sight, rule in _RULES.items():
        if sight in case.survey.sights and (remark := rule(case)) is not None:
            yield sight, remark


def kept(case: Case) -> Iterator[tuple[str, int]]:
    """Yield what other tools lose and this target keeps, with how many entries have it."""
    for sight, name in _KEPT:
        sighting = case.survey.sights.get(sight)
        claimed = case.abilities.known or sight in (Sight.XATTRS, Sight.ACL)
        if sighting is not None and claimed and _RULES[sight](case) is None:
            yield name, sighting.count
