"""The command line of `migmond`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

import migmond
from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_duration


class Options(msgspec.Struct, frozen=True):
    """What was asked for; None where the configuration decides."""

    user: bool
    socket: str | None
    state_directory: Path | None
    config_directories: tuple[Path, ...]
    exit_when_idle_s: float | None
    ready_fd: int | None
    check_config: bool
    restore: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Parse; exits with 2 and a message on bad usage."""
    parser = argparse.ArgumentParser("migmond", description="The daemon that moves files. People use migmon.")
    parser.add_argument("--version", action="version", version=f"migmond {migmond.__version__}")
    parser.add_argument("--user", action="store_true", help="serve only the calling user, from a private directory")
    parser.add_argument("--socket", metavar="PATH", help="listen here")
    parser.add_argument("--state-directory", metavar="DIR", type=Path, help="keep the journal here")
    parser.add_argument(
        "--config-directory",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="read configuration only from DIR/migmond.toml and DIR/migmond.conf.d/*.toml; may be repeated, the last"
        " has the highest priority",
    )
    parser.add_argument("--exit-when-idle", metavar="DURATION", help="end when nobody needed us for so long")
    parser.add_argument("--foreground-ready-fd", metavar="N", type=int, help="write a byte to this fd when serving")
    parser.add_argument("--check-config", action="store_true", help="only check the configuration and say what it is")
    parser.add_argument(
        "--restore",
        metavar="BACKUP",
        type=Path,
        help="put this backup in the journal's place and end; see migmon doctor",
    )
    found = parser.parse_args(arguments)
    try:
        idle_s = None if found.exit_when_idle is None else parse_duration(found.exit_when_idle)
    except InvalidInput as e:
        parser.error(f"--exit-when-idle: {e.message} ({e.hint})")
    return Options(
        found.user,
        found.socket,
        found.state_directory,
        tuple(found.config_directory),
        idle_s,
        found.foreground_ready_fd,
        found.check_config,
        found.restore,
    )
