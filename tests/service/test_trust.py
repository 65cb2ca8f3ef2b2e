"""What a daemon of root's trusts is root's alone: configuration, plugins, journal. What it keeps is private."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from migmond.config.load import load
from migmond.domain import daemon_api
from migmond.domain.errors import ConfigError
from migmond.fsys.ownership import weak_spot
from migmond.plugin_host.found import Found
from migmond.plugin_host.host import PluginHost
from several_users import ROLES, SystemDaemon, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own files as root")

OTHER = 40001


def by_owner(path: Path) -> None:
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def by_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def by_everybody(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


WAYS = [by_owner, by_group, by_everybody]


@pytest.mark.parametrize("weaken", WAYS)
@pytest.mark.parametrize("part", ["file", "directory", "above", "link", "target"])
def test_every_part_of_a_path_counts(tmp_path: Path, weaken: Callable[[Path], None], part: str) -> None:
    above, elsewhere = tmp_path / "above", tmp_path / "elsewhere"
    (above / "directory").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "target").touch()
    file = above / "directory" / "file"
    file.touch()
    link = above / "directory" / "link"
    link.symlink_to("../../elsewhere/target")
    assert weak_spot(str(file)) is None
    assert weak_spot(str(link)) is None
    assert weak_spot(str(above / "missing" / "file")) is None
    found = {"file": file, "directory": file.parent, "above": above, "link": link, "target": elsewhere / "target"}[part]
    if part == "link" and weaken is not by_owner:
        pytest.skip("a symlink has no mode of its own")
    weaken(found)
    asked = link if part in ("link", "target") else file
    assert str(found) in str(weak_spot(str(asked)))


def test_sticky_directories_keep_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o1777)
    assert weak_spot(str(tmp_path / "file")) is None
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="too many symlinks"):
        weak_spot(str(tmp_path / "loop"))


# --- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weaken", WAYS)
@pytest.mark.parametrize("part", ["migmond.conf.d/a.toml", "migmond.conf.d", "."])
def test_a_drop_in_that_others_could_replace_is_refused(
    tmp_path: Path, weaken: Callable[[Path], None], part: str
) -> None:
    directory = tmp_path / "etc"
    (directory / "migmond.conf.d").mkdir(parents=True)
    (directory / "migmond.conf.d" / "a.toml").write_text("[movers]\nworkers = 1\n")
    assert load([directory], root_owned=True).settings.movers.workers == 1
    weaken(directory / part)
    with pytest.raises(ConfigError, match="written by others than root") as e:
        load([directory], root_owned=True)
    assert str(directory / part) in e.value.message


# --- plugins ---------------------------------------------------------------------------------------

CODE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
"""


@pytest.fixture(params=["package", "module"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A plugin of its own name each time: its module and the directory that it lies in."""
    place, name = tmp_path / "site", f"weak_{request.param}_{abs(hash(str(tmp_path)))}"
    code = place / name / "inner" if request.param == "package" else place
    code.mkdir(parents=True)
    if request.param == "package":
        (place / name / "__init__.py").write_text(CODE)
        (code / "__init__.py").write_text("")
    else:
        (place / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name, place


def loaded(module: str, *, root_owned: bool, package: str = "foreign") -> daemon_api.PluginView:
    (view,) = PluginHost([Found("weak", module, package)], {}, lambda: 0.0, root_owned=root_owned).views()
    return view


@pytest.mark.parametrize("weaken", WAYS)
@pytest.mark.parametrize("which", ["code", "directory", "above"])
def test_a_plugin_that_others_could_change_does_not_even_run(
    plugin: tuple[str, Path], weaken: Callable[[Path], None], which: str
) -> None:
    module, place = plugin
    deepest = place / module / "inner" / "__init__.py"
    code = deepest if deepest.exists() else place / f"{module}.py"
    weak = {"code": code, "directory": code.parent, "above": place.parent}[which]
    weaken(weak)
    view = loaded(module, root_owned=True)
    assert view.state == "invalid"
    assert str(weak) in view.reason
    assert "chown root" in view.reason
    assert not list(place.rglob("ran")), "its code ran"


def test_a_plugin_of_roots_own_runs(plugin: tuple[str, Path]) -> None:
    module, place = plugin
    assert loaded(module, root_owned=True).state == "active"
    assert list(place.rglob("ran"))


def test_compiled_code_counts(plugin: tuple[str, Path]) -> None:
    module, place = plugin
    package = place / module
    directory = (package if package.exists() else place) / "__pycache__"
    directory.mkdir()
    name = "__init__" if package.exists() else module
    compiled = directory / f"{name}.{sys.implementation.cache_tag}.pyc"
    compiled.touch()
    by_owner(compiled)
    assert str(compiled) in loaded(module, root_owned=True).reason


def test_nobody_else_has_rights_to_lose(plugin: tuple[str, Path]) -> None:
    module, place = plugin
    by_owner(place)
    assert loaded(module, root_owned=False).state == "active"


# --- the daemon ------------------------------------------------------------------------------------


def test_a_daemon_says_which_plugin_it_refused(
    tmp_path: Path, plugin: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, place = plugin
    info = place / "weak-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weak\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[migmond]\nweak = {module}\n")
    by_owner(place)
    daemon = SystemDaemon(passable(tmp_path) / "daemon", ROLES, modules=(place,))
    with daemon:
        shown = daemon.migmon("--json", "status").stdout
        assert "could change its code" in shown
        assert str(place) in shown
        assert "chown root" in daemon.migmon("plugins").stdout.replace("\n", " ")
    assert not list(place.rglob("ran"))


def test_its_state_is_private(tmp_path: Path) -> None:
    home = passable(tmp_path) / "daemon"
    (home / "state").mkdir(parents=True, mode=0o755)
    daemon, old = SystemDaemon(home, ROLES), os.umask(0)
    try:
        with daemon:
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (home / "state").iterdir()}
    finally:
        os.umask(old)
    assert modes
    assert {m & 0o077 for m in modes.values()} == {0}, modes


@pytest.mark.parametrize("weaken", WAYS)
def test_a_journal_that_others_could_replace_is_refused(tmp_path: Path, weaken: Callable[[Path], None]) -> None:
    home = tmp_path / "daemon"
    (home / "state").mkdir(parents=True)
    weaken(home / "state")
    with pytest.raises(RuntimeError, match="could be changed by others than root"), SystemDaemon(home, ROLES):
        pass


def test_a_sticky_directory_is_no_place_for_a_journal(tmp_path: Path) -> None:
    home = tmp_path / "daemon"
    (home / "state").mkdir(parents=True)
    (home / "state").chmod(0o1777)
    with pytest.raises(RuntimeError, match="could be changed by others than root"), SystemDaemon(home, ROLES):
        pass
