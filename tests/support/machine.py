"""A machine with a real systemd as its first process: a root file system under an overlay, in a container.

The root is this machine's own, or one that `scripts/systemd-test` has built. What the machine writes goes into a
directory of the test and stays from boot to boot. It boots in less than a second.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopfs import kernel_knows

ROOT = Path(__file__).parents[2]
CHECKOUT = "/checkout"
"""Where the machine sees this checkout, read only."""
VENV = "/opt/migmond"
"""Where migmond is installed, as the unit file says."""
CHECKS_VENV = "/opt/checks"
"""The checks' own environment: pytest and what else the tests use."""
_TIMEOUT_S = 600
_LOOK_S = 0.2
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

_TARGET = """
[Unit]
Description=The machine is up and runs its checks
Wants=multi-user.target migmond-checks.service
"""
_CHECKS = """
[Unit]
After=multi-user.target
SuccessAction={action}
FailureAction={action}
[Service]
Type=oneshot
ExecStart={venv}/bin/python -m pytest -p no:cacheprovider --color=no --durations=5 {arguments}
WorkingDirectory={checkout}
Environment=HOME=/root PYTHONDONTWRITEBYTECODE=1
StandardOutput=file:/result
StandardError=inherit
"""


def missing() -> str:
    """Why no such machine can be had here; "" when it can."""
    if os.geteuid() != 0:
        return "a container needs root"
    for program in ("systemd-nspawn", "unshare"):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed"
    return "" if kernel_knows("overlay") else "this kernel has no overlay file system"


@dataclass(frozen=True)
class Boot:
    """How the checks of one boot ended: pytest's output, and what the console said."""

    passed: bool
    output: str
    console: str


class Machine:
    """Made once, booted as often as wanted.

    Args:
        directory: for the overlay; on a file system that can hold one.
        binds: paths inside the machine → directories of this one.
        root: the root file system below; its Python must be of the same minor version as ours.
    """

    def __init__(self, directory: Path, binds: Mapping[str, Path], root: Path = Path("/")) -> None:
        self._directory = directory
        self._binds = binds
        self._lower = root
        self._python = sys.executable if root == Path("/") else "/usr/bin/python3"
        self.files = directory / "files"
        """What differs from the root."""
        for name in ("files", "work", "root"):
            (directory / name).mkdir(parents=True)
        units = self.files / "etc/systemd/system"
        units.mkdir(parents=True)
        (units / "migmond-checks.target").write_text(_TARGET)
        # Nothing that this machine starts at boot is wanted, nor could most of it run there.
        for target in ("multi-user", "sysinit", "sockets", "timers", "getty"):
            _hide(units / f"{target}.target.wants")
        self._make_environment(CHECKS_VENV)

    def install(self) -> None:
        """Units as they come, groups by sysusers, and an environment at the place that the unit file names, which runs
        the checkout: what the README's commands do (tests/machine/check_install.py), without their minute."""
        for unit in ("migmond.service", "migmond.socket", "migmond-web.service", "migmond-web.socket"):
            shutil.copy(ROOT / "contrib/systemd" / unit, self.files / "etc/systemd/system")
        sysusers = self.files / "usr/lib/sysusers.d"
        sysusers.mkdir(parents=True)
        shutil.copy(ROOT / "contrib/systemd/migmond.sysusers", sysusers / "migmond.conf")
        venv = self._make_environment(VENV)
        for name, module, function in (
            ("migmond", "migmond.daemon.main", "main"),
            ("migmon", "migmond.cli.__main__", "run"),
            ("migmond-web", "migmond_web.main", "main"),
        ):
            program = venv / "bin" / name
            program.write_text(f"#!{VENV}/bin/python\nfrom {module} import {function}\n{function}()\n")
            program.chmod(0o755)
        # Ordinary users run it too: every directory above the interpreter must let them through.
        for parent in Path(sys.base_prefix).parents:
            if parent.stat().st_mode & 0o011 != 0o011:
                copy = self.files / str(parent).lstrip("/")
                copy.mkdir(parents=True, exist_ok=True)
                copy.chmod(0o711)

    def _make_environment(self, where: str) -> Path:
        """An environment that finds the checkout and what the checkout has installed."""
        venv = self.files / where.lstrip("/")
        subprocess.run([self._python, "-m", "venv", "--without-pip", str(venv)], check=True, capture_output=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = next(p for p in sys.path if p.endswith("site-packages"))
        inside = [CHECKOUT, f"{CHECKOUT}/plugins", packages.replace(str(ROOT), CHECKOUT)]
        (venv / "lib" / version / "site-packages" / "migmond.pth").write_text("\n".join(inside) + "\n")
        return venv

    def boot(self, checks: str, *, pull_the_plug: bool = False, network: bool = False) -> Boot:
        """Start it, run the checks in `checks` (pytest arguments, paths below the checkout), and wait for its end.

        Args:
            pull_the_plug: every process dies at once when the checks have ended; else it shuts down in order.
            network: it reaches what this machine reaches. Then it shares its ports as well, so that there is one such
                machine at a time: another one waits here.
        """
        action = "poweroff-immediate" if pull_the_plug else "poweroff"
        unit = _CHECKS.format(action=action, venv=CHECKS_VENV, checkout=CHECKOUT, arguments=checks)
        (self.files / "etc/systemd/system/migmond-checks.service").write_text(unit)
        result = self.files / "result"
        result.write_text("")
        with _cgroups() as cgroups, _only_one() if network else contextlib.nullcontext():
            console = self._start(cgroups, "" if network else "--private-network")
        output = result.read_text(errors="replace")
        last = output.strip().splitlines()[-1:] or [""]
        passed = " passed" in last[0] and "failed" not in last[0] and "error" not in last[0]
        return Boot(passed, output, console)

    def _start(self, cgroups: list[Path], options: str) -> str:
        overlay, root = self._directory, self._directory / "root"
        binds = " ".join(f"--bind={outside}:{inside}" for inside, outside in self._binds.items())
        # In a mount namespace of its own: nothing of this stays, whatever happens.
        script = textwrap.dedent(f"""
            set -e
            mount -t overlay overlay -o lowerdir={self._lower},upperdir={overlay}/files,workdir={overlay}/work {root}
            mount -t tmpfs none /run
            for group in {" ".join(map(str, cgroups))}; do echo $$ > $group/cgroup.procs; done
            exec systemd-nspawn --quiet --register=no --keep-unit --boot --directory={root} --machine=migmond-test \\
                {options} --bind-ro={ROOT}:{CHECKOUT} {binds} systemd.unit=migmond-checks.target
        """)
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env={"PATH": _PATH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=_TIMEOUT_S,
        )  # fmt: skip
        return done.stdout + done.stderr


def _hide(directory: Path) -> None:
    """Make a directory that hides the one of the same name below."""
    directory.mkdir()
    os.setxattr(directory, "trusted.overlay.opaque", b"y")


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Wait until no other machine uses our network, and keep others waiting.

    An abstract socket is one in a network namespace, as a port is, and goes with the process.

    Raises:
        TimeoutError: another one uses it for longer than a machine runs.
    """
    deadline = time.monotonic() + 2 * _TIMEOUT_S
    with socket.socket(socket.AF_UNIX) as held:
        while True:
            try:
                held.bind("\0migmond-test-machine")
                break
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise
                if time.monotonic() > deadline:
                    raise TimeoutError("another machine of a test uses the network, and does not end") from e
            time.sleep(_LOOK_S)
        yield


@contextlib.contextmanager
def _cgroups() -> Iterator[list[Path]]:
    """A control group of our own in each hierarchy that systemd would use."""
    made: list[Path] = []
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
                made.append(Path(where) / f"migmond-test-{os.getpid()}")
    for group in made:
        group.mkdir(exist_ok=True)
    try:
        yield made
    finally:
        for group in made:
            for directory, _, _ in os.walk(group, topdown=False):
                os.rmdir(directory)
