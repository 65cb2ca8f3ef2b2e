"""Settings of the work: how files are moved, how fast, and when that is held."""

from __future__ import annotations

from typing import Annotated

from migmond.config.setting import Help, Kind, Section


class ExecutionsSection(Section, frozen=True):
    """How many migrations run side by side; further ones wait for their turn, first come first served."""

    running: Annotated[int, Help("Migrations and verifications that run at a time.", Kind.PLAIN, 1, 10_000)] = 64
    running_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 1, 10_000)] = 16
    movers: Annotated[
        int, Help("Movers of all of them together: 24 MiB each, and some buffers.", Kind.PLAIN, 1, 10_000)
    ] = 256
    movers_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 1, 10_000)] = 128
    waiting: Annotated[
        int, Help("Migrations that may wait for their turn; further ones are refused.", Kind.PLAIN, 0, 1_000_000)
    ] = 5000
    waiting_per_user: Annotated[int, Help("Of these, those of one user.", Kind.PLAIN, 0, 1_000_000)] = 500


class LimitsSection(Section, frozen=True):
    """What all migrations together may do, or those on one disk: divided by weight. A verification may do as much."""

    io: Annotated[
        str,
        Help(
            "Bytes a second: 50MiB/s, off, or a timetable such as '08:00,20MiB 19:00,off' (local time).",
            Kind.RATES,
            restart=False,
        ),
    ] = "off"
    ops: Annotated[
        float | None,
        Help(
            "Operations a second: what is copied, verified or deleted, and 16 looks of a scan.",
            Kind.PLAIN,
            0.001,
            1e9,
            restart=False,
            example=5000.0,
        ),
    ] = None
    disk_io: Annotated[
        str,
        Help(
            "As io, for those together that read from or write to the same disk.",
            Kind.RATES,
            restart=False,
        ),
    ] = "off"
    disk_ops: Annotated[
        float | None,
        Help(
            "Operations a second of the migrations together that use the same disk.",
            Kind.PLAIN,
            0.001,
            1e9,
            restart=False,
            example=500.0,
        ),
    ] = None


class MoversSection(Section, frozen=True):
    """The processes that copy."""

    workers: Annotated[
        int, Help("Movers of a migration that names no number; 0 is one per core.", Kind.PLAIN, 0, 256)
    ] = 0
    spare: Annotated[
        int, Help("Mover processes kept ready, so that a migration begins at once: 24 MiB each.", Kind.PLAIN, 0, 16)
    ] = 3
    stall_after: Annotated[
        str, Help("A mover that spends so long in one operation is reported as hanging.", Kind.DURATION, 0.5, 3600)
    ] = "5s"
    restart_limit: Annotated[
        int, Help("Deaths of movers within a minute after which a migration is held.", Kind.PLAIN, 1, 1000)
    ] = 5
    retry_held: Annotated[
        str, Help("After how long a migration held for space or a device tries again.", Kind.DURATION, 1, 86400)
    ] = "30s"
    machine_code: Annotated[
        bool, Help("Whether small files are copied by machine code, where it was built, or all of them by Python.")
    ] = True
    io_priority: Annotated[
        str,
        Help("normal, low (after everybody else) or idle (only when nobody else wants the disk), where it is heeded."),
    ] = "normal"


class CommitSection(Section, frozen=True):
    """Commit groups: entries made durable by one sync."""

    entries: Annotated[int, Help("A group is synced when it has so many entries,", Kind.PLAIN, 1, 100_000)] = 2000
    size: Annotated[str, Help("or so much data,", Kind.SIZE, 1 << 20, 1 << 40)] = "256MiB"
    idle: Annotated[str, Help("or when nothing was added for so long,", Kind.DURATION, 0.001, 60)] = "50ms"
    age: Annotated[
        str,
        Help(
            "or when it is so old, looked at between batches: later under a low --io.",
            Kind.DURATION,
            0.01,
            600,
        ),
    ] = "2s"


class RetriesSection(Section, frozen=True):
    """What is tried again."""

    attempts: Annotated[int, Help("Tries of an entry that met a passing fault.", Kind.PLAIN, 1, 100)] = 5
    changed_attempts: Annotated[
        int, Help("Tries of a file that is being written to while it is copied.", Kind.PLAIN, 1, 100)
    ] = 3


class EmergencySection(Section, frozen=True):
    """What is held by itself, and recorded; whoever resumes it decides otherwise, and is not overruled."""

    disk_failing: Annotated[
        bool,
        Help(
            "Hold what uses a disk that says it is failing (SMART), or of which the kernel reports errors.",
            restart=False,
        ),
    ] = True
    kernel_errors: Annotated[
        int,
        Help(
            "So many errors of one disk, reported by the kernel, count as failing.",
            Kind.PLAIN,
            1,
            100_000,
            restart=False,
        ),
    ] = 10
    kernel_errors_within: Annotated[
        str, Help("The time within which these errors are counted.", Kind.DURATION, 1, 86400, restart=False)
    ] = "1m"
    too_hot: Annotated[
        bool, Help("Hold what uses a disk that is too hot; it goes on when the disk has cooled down.", restart=False)
    ] = True
    temperature: Annotated[
        float,
        Help(
            "Degrees Celsius that are too hot for disks that rotate or may, and name no critical temperature.",
            Kind.PLAIN,
            30,
            150,
            restart=False,
        ),
    ] = 65.0
    temperature_ssd: Annotated[
        float,
        Help("The same for SATA and SAS disks that do not rotate.", Kind.PLAIN, 30, 150, restart=False),
    ] = 70.0
    temperature_nvme: Annotated[
        float,
        Help("The same for NVMe disks, which are warmer by nature.", Kind.PLAIN, 30, 150, restart=False),
    ] = 80.0
    cooler_by: Annotated[
        float,
        Help("It goes on when the disk is so many degrees below what is too hot.", Kind.PLAIN, 1, 50, restart=False),
    ] = 8.0
    cool_for: Annotated[
        str,
        Help(
            "It goes on when the disk was as cool for so long, without a break.", Kind.DURATION, 0, 86400, restart=False
        ),
    ] = "2m"
    vanished: Annotated[
        bool,
        Help("Hold what uses a mount or disk that has gone; it goes on when that is back.", restart=False),
    ] = True
    on_battery: Annotated[bool, Help("Hold everything while the machine runs on its battery.", restart=False)] = False


class SleepSection(Section, frozen=True):
    """Whether the machine is kept awake while files are moved (systemd-logind; needs migmond[sleep])."""

    prevent: Annotated[
        str,
        Help(
            "What is prevented meanwhile: sleep, idle (screens that go dark), sleep:idle, or off.",
            restart=False,
        ),
    ] = "sleep"
    on_battery: Annotated[bool, Help("Also while it runs on its battery.", restart=False)] = False
