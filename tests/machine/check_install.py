"""The README's commands, as they stand there, on a machine that has nothing of migmond yet.

tests/service/test_systemd.py and scripts/systemd-test boot it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from on_machine import SERVICE, run, shown

CHECKOUT = Path(__file__).parents[2]
MIGMON = "/usr/local/bin/migmon"


def commands() -> str:
    """What the README's section on the service says to type."""
    section = (CHECKOUT / "README.md").read_text().split("## As a service", 1)[1]
    return section.split("```")[1]


def test_the_commands_of_the_readme_install_a_service_that_works() -> None:
    assert not Path("/opt/migmond").exists()
    done = subprocess.run(
        ["sh", "-e"], input=commands(), cwd=CHECKOUT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (shown("ActiveState"), shown("StatusText")) == ("active", "idle")
    assert "system daemon" in run(MIGMON, "status").stdout
    for group in ("migmond", "migmond-admin", "migmond-ro"):
        run("getent", "group", group)
    for directory in ("/root/from", "/root/to"):
        Path(directory).mkdir()
    Path("/root/from/file").write_text("content")
    run(MIGMON, "run", "/root/from", "/root/to/from", "-q")
    assert Path("/root/to/from/file").read_text() == "content"


def test_it_is_hardened_and_its_units_are_clean() -> None:
    verified = run("systemd-analyze", "verify", "migmond.service", "migmond.socket")
    assert verified.stdout + verified.stderr == ""
    run("systemd-analyze", "security", "--no-pager", "--threshold=30", SERVICE)
