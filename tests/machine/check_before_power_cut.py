"""The first boot: a migration is under way when the plug is pulled. tests/service/test_systemd.py boots both."""

from __future__ import annotations

import random

import trees
from on_machine import DISK, MIGMON, OTHER, run, until


def test_a_migration_is_under_way() -> None:
    run("systemctl", "enable", "--now", "migmond.service")
    for name in ("source", "pristine"):
        trees.small_files(DISK / name, 5000, 2000, random.Random(1))
        trees.sparse_and_links(DISK / name / "more", 5, random.Random(2))
    run("cp", "-a", "--attributes-only", "-T", DISK / "source", DISK / "pristine")
    run(MIGMON, "run", DISK / "source", OTHER / "target", "--move", "--io", "2MiB/s", "--detach", "--name", "plug")
    until(lambda: any((OTHER / "target").rglob("f*")), "the first published file")
