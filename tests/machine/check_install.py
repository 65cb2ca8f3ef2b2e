"""The README's commands, as they stand there, on a machine that has nothing of migmond yet.

tests/service/test_systemd.py and scripts/systemd-test boot it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from on_machine import SERVICE, run, shown
from web_on_machine import WEB, ask, fetch, gateway_is_nobody, of_web, sign_in

CHECKOUT = Path(__file__).parents[2]
MIGMON = "/usr/local/bin/migmon"


def commands(title: str) -> list[str]:
    """What a section of the README says to type."""
    section = (CHECKOUT / "README.md").read_text().split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return section.split("```")[1::2]


def type_in(text: str) -> None:
    done = subprocess.run(
        ["sh", "-e"], input=text, cwd=CHECKOUT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", autouse=True)
def typed() -> None:
    assert not Path("/opt/migmond").exists()
    daemon, dashboard = commands("As a service")
    type_in(daemon)
    type_in(dashboard)


def test_the_commands_of_the_readme_install_a_service_that_works() -> None:
    assert (shown("ActiveState"), shown("StatusText")) == ("active", "idle")
    assert "system daemon" in run(MIGMON, "status").stdout
    for group in ("migmond", "migmond-admin", "migmond-ro"):
        run("getent", "group", group)
    for directory in ("/root/from", "/root/to"):
        Path(directory).mkdir()
    Path("/root/from/file").write_text("content")
    run(MIGMON, "run", "/root/from", "/root/to/from", "-q")
    assert Path("/root/to/from/file").read_text() == "content"


def test_they_install_a_dashboard_that_works() -> None:
    assert run("systemctl", "is-enabled", "migmond-web.socket").stdout.strip() == "enabled"
    assert of_web("ActiveState") == "inactive"
    status, page, _ = fetch("GET", "/")
    assert (status, b"/js/main.js" in page) == (200, True)
    assert fetch("GET", "/js/main.js")[0] == 200
    assert of_web("ActiveState") == "active"
    gateway_is_nobody()
    run("useradd", "--create-home", "--user-group", "--groups", "migmond-ro", "rob")
    cookie = sign_in(user="rob")
    assert ask("GET", "/session", cookie=cookie)[1]["role"] == "viewer"
    assert ask("GET", "/dashboard", cookie=cookie)[1]["ended"][0]["name"] == "from"
    run("/usr/local/bin/migmond-web", "--help")


def test_it_is_hardened_and_its_units_are_clean() -> None:
    for name, exposure in ((SERVICE, 30), (WEB, 20)):
        verified = run("systemd-analyze", "verify", name, name.replace(".service", ".socket"))
        assert verified.stdout + verified.stderr == ""
        run("systemd-analyze", "security", "--no-pager", f"--threshold={exposure}", name)


def test_it_is_upgraded_and_removed_and_nothing_of_it_stays() -> None:
    upgrade, remove = commands("Upgrading and removing")
    before = shown("MainPID"), of_web("MainPID")
    type_in(upgrade)
    assert (shown("ActiveState"), shown("StatusText")) == ("active", "idle")
    assert of_web("ActiveState") == "active"
    assert shown("MainPID") != before[0]
    assert of_web("MainPID") != before[1]
    assert "from" in run(MIGMON, "ls").stdout
    type_in(remove)
    places = ("/etc", "/usr/lib/systemd", "/usr/lib/sysusers.d", "/usr/local", "/opt", "/usr/share", "/var/lib", "/run")
    left = run("find", *places, "-name", "*migmon*", "-not", "-path", f"{CHECKOUT}/*").stdout.split()
    ours = ("migmond-checks", "/opt/checks/", str(CHECKOUT), "/run/systemd/")
    assert [path for path in left if not any(part in path for part in ours)] == []
    assert "migmond" not in Path("/etc/group").read_text()
