"""The units on a real systemd, in a container that is booted for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine import Boot, Machine, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


@pytest.fixture
def booted(tmp_path: Path, other_fs: Path) -> Iterator[Machine]:
    (tmp_path / "disk").mkdir()
    for directory in (tmp_path / "disk", other_fs):
        directory.chmod(0o755)
    # Not below pytest's own directories: ordinary users could not pass them.
    with tempfile.TemporaryDirectory(prefix="migmond-machine-") as overlay:
        yield Machine(Path(overlay), {"/srv/disk": tmp_path / "disk", "/srv/other": other_fs})


@pytest.fixture
def installed(booted: Machine) -> Machine:
    booted.install()
    return booted


def passed(boot: Boot) -> bool:
    if not boot.passed:
        print(boot.console, boot.output, sep="\n")
    return boot.passed


def test_a_service_from_its_first_client_to_its_end(installed: Machine) -> None:
    assert passed(installed.boot("tests/machine/check_service.py"))


def test_the_web_gateway_as_a_service(installed: Machine) -> None:
    assert passed(installed.boot("tests/machine/check_web.py"))


def test_the_drop_in_for_the_health_of_disks(installed: Machine) -> None:
    assert passed(installed.boot("tests/machine/check_health.py"))


def test_a_machine_that_loses_power_goes_on_when_it_boots(installed: Machine) -> None:
    assert passed(installed.boot("tests/machine/check_before_power_cut.py", pull_the_plug=True))
    assert passed(installed.boot("tests/machine/check_after_power_cut.py"))


def test_the_readme_installs_it(booted: Machine) -> None:
    """On this machine's root; scripts/systemd-test builds one that has nothing but Debian's packages."""
    assert passed(booted.boot("tests/machine/check_install.py", network=True))
