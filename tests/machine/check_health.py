"""What contrib/systemd/health.conf opens, and for whom. tests/service/test_systemd.py boots the machine for it.

A container has no disks and no kernel log of its own, and gives SYS_ADMIN only: whether a disk answers is not seen
here, but that whoever asks it has what systemd was told, and that nobody else has.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trees
from on_machine import DISK, MIGMON, OTHER, SERVICE, movers, run, shown, until

CHECKOUT = Path("/checkout")
DROP_IN = Path("/etc/systemd/system/migmond.service.d/health.conf")
CONFIGURATION = Path("/etc/migmond/migmond.conf.d/health.toml")
SMARTCTL = Path("/opt/smartctl")
SYS_ADMIN = 21
"""CAP_SYS_ADMIN of linux/capability.h, as a bit."""
NEEDED = ("cap_sys_rawio", "cap_sys_admin", "cap_syslog")
_FAKE = """#!/bin/sh
case "$1" in --version) echo "smartctl 7.3 2022-02-28 r5338"; exit 0;; esac
caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
if [ $(( (0x$caps >> 21) & 1 )) = 0 ]; then
    echo '{"smartctl":{"exit_status":2,"messages":[{"string":"Permission denied","severity":"error"}]}}'; exit 2
fi
echo '{"device":{"name":"/dev/nvme0n1","protocol":"NVMe"},"smart_status":{"passed":true},"temperature":{"current":41}}'
"""
"""It answers as a disk would: only to those who may ask."""


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    SMARTCTL.write_text(_FAKE)
    SMARTCTL.chmod(0o755)
    CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
    CONFIGURATION.write_text(
        '[plugins.smart]\ninterval = "1s"\ntemperature_interval = "1s"\ndevices = ["/dev/nvme0n1"]\n'
        f'smartctl = "{SMARTCTL}"\n'
    )
    run("systemctl", "start", "migmond.socket")
    yield
    run("systemctl", "stop", "migmond.socket", SERVICE)
    DROP_IN.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    assert movers() == []


def install() -> None:
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "contrib/systemd/health.conf", DROP_IN)
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", SERVICE)


def capabilities(pid: int, which: str) -> int:
    """`which`: CapEff, CapPrm, CapBnd, ..."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{which}:")), 16)


def has(held: int, bit: int) -> bool:
    return bool(held >> bit & 1)


def healthy() -> Any:
    """What the disk is said to be by the newest sample."""
    told = json.loads(run(MIGMON, "rpc", "metrics.latest", '{"prefix":"migmond_disk_healthy"}').stdout)
    samples = told.get("data", told)["samples"]
    return samples[0] if samples else None


def test_without_it_nobody_may_ask() -> None:
    run(MIGMON, "status")
    allowed = shown("CapabilityBoundingSet").split()
    assert not set(NEEDED) & set(allowed)
    assert shown("ProtectKernelLogs") == "yes"
    assert not has(capabilities(int(shown("MainPID")), "CapBnd"), SYS_ADMIN)
    until(lambda: bool((healthy() or {}).get("no_data")), "why there is no health")
    assert healthy()["value"] is None


def test_with_it_the_daemon_may_and_other_users_movers_may_not() -> None:
    install()
    run(MIGMON, "status")
    allowed = shown("CapabilityBoundingSet").split()
    assert set(NEEDED) <= set(allowed)
    assert "cap_chown" in allowed  # it adds to what the unit has
    assert (shown("ProtectKernelLogs"), shown("NoNewPrivileges")) == ("no", "yes")
    assert has(capabilities(int(shown("MainPID")), "CapEff"), SYS_ADMIN)
    until(lambda: (healthy() or {}).get("value") == 1.0, "the health of the disk")
    run("useradd", "--create-home", "--user-group", "--groups", "migmond", "mia", check=False)
    source = DISK / "mias"
    trees.small_files(source, 300, 4000, random.Random(1))
    run("chown", "-R", "mia:mia", source)
    (OTHER / "mias").mkdir(exist_ok=True)
    run("chown", "mia:mia", OTHER / "mias")
    execution = run(
        MIGMON, "run", source, OTHER / "mias" / "t", "--io", "200KiB/s", "--detach", user="mia"
    ).stdout.strip()
    mias = int(run("id", "-u", "mia").stdout)

    def hers() -> list[int]:
        return [p.pid for p in movers() if p.uids().effective == mias]

    until(lambda: bool(hers()), "a mover of hers")
    for pid in hers():
        assert capabilities(pid, "CapEff") == capabilities(pid, "CapPrm") == 0
    run(MIGMON, "throttle", execution, "--off", user="mia")
    assert run(MIGMON, "watch", execution, "-q", user="mia").returncode == 0
