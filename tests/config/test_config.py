"""Files merged as systemd does, typed, with errors that name file, line and key."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.config.files import DROP_INS, MAIN_FILE, files_to_read
from migmond.config.load import changed_keys, load
from migmond.config.model import sections
from migmond.config.reference import default_files
from migmond.config.setting import help_of
from migmond.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def three(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in ("usr", "run", "etc")]


def test_without_files_everything_is_default(tmp_path: Path) -> None:
    config = load(three(tmp_path), root_owned=False)
    assert config.settings.movers.workers == 0
    assert config.seconds("daemon", "drain_timeout") == 90
    assert {v.origin for v in config.values()} == {"default"}


def test_higher_directories_and_later_names_win(tmp_path: Path) -> None:
    usr, run, etc = three(tmp_path)
    write(usr / MAIN_FILE, "[movers]\nworkers = 1\n")
    write(etc / MAIN_FILE, "[movers]\nworkers = 2\n")
    write(usr / DROP_INS / "50-b.toml", "[movers]\nworkers = 5\nrestart_limit = 7\n")
    write(run / DROP_INS / "50-b.toml", "[movers]\nworkers = 6\n")
    write(usr / DROP_INS / "10-a.toml", "[movers]\nworkers = 9\n[plugins.x]\nn = 1\n")
    config = load([usr, run, etc], root_owned=False)
    assert config.settings.movers.workers == 6
    assert config.settings.movers.restart_limit == 5
    assert config.values("movers.workers")[0].origin == f"{run / DROP_INS / '50-b.toml'}:2"
    assert config.settings.plugins == {"x": {"n": 1}}
    assert [p.name for p in config.files] == [MAIN_FILE, "10-a.toml", "50-b.toml"]


@pytest.mark.parametrize("mask", ["empty", "null"])
def test_masking(tmp_path: Path, mask: str) -> None:
    usr, run, etc = three(tmp_path)
    write(usr / DROP_INS / "a.toml", "[movers]\nworkers = 9\n")
    masked = etc / DROP_INS / "a.toml"
    if mask == "empty":
        write(masked, "")
    else:
        masked.parent.mkdir(parents=True)
        masked.symlink_to(os.devnull)
    assert load([usr, run, etc], root_owned=False).settings.movers.workers == 0


NAMES = st.sampled_from(["10-a", "20-b", "30-c"])
FILES = st.lists(st.tuples(st.integers(0, 2), NAMES, st.sampled_from(["text", "empty"])), max_size=8)


@given(FILES)
def test_the_order_agrees_with_a_naive_oracle(files: list[tuple[int, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        directories = [Path(base) / str(i) for i in range(3)]
        content: dict[tuple[int, str], str] = {}
        for level, name, kind in files:
            write(directories[level] / DROP_INS / f"{name}.toml", "x = 1" if kind == "text" else "")
            content[level, name] = kind
        expected = []
        for name in sorted({n for _, n in content}):
            level = max(lv for lv, n in content if n == name)
            if content[level, name] == "text":
                expected.append(directories[level] / DROP_INS / f"{name}.toml")
        assert files_to_read(directories) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[movers]\nworker = 1\n", [":2", "unknown key movers.worker", "did you mean movers.workers"]),
        ("[mover]\nworkers = 1\n", [":1", "unknown section mover", "did you mean movers"]),
        ("[movers]\nworkers = '3'\n", [":2", "must be an integer"]),
        ("[movers]\nworkers = true\n", [":2", "must be an integer"]),
        ("[movers]\nworkers = 300\n", [":2", "0 to 256"]),
        ("[commit]\nsize = '5'\n", [":2", "commit.size", "has no unit"]),
        ("[commit]\nage = '5'\n", [":2", "commit.age", "not a duration"]),
        ("[daemon]\nlog_level = 'loud'\n", [":2", "debug, info"]),
        ("[socket]\nmode = '999'\n", [":2", "octal"]),
        ("movers = 3\n", [":1", "write [movers]"]),
        ("[plugins]\nx = 3\n", [":2", "write [plugins.x]"]),
        ("[movers\n", ["line 1"]),
        ("[movers]\nworkers = 1\nworkers = 2\n", ["line 3"]),
        ("[plugins.x]\na = " + "[" * 5000, []),
        ("[movers]\nworkers = " + "9" * 5000, []),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path / MAIN_FILE, text)
    with pytest.raises(ConfigError) as e:
        load([tmp_path], root_owned=False)
    assert str(path) in e.value.message
    for word in words:
        assert word in e.value.message


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / MAIN_FILE, "[movers]\nworker = 1\nstall_after = 5\n")
    write(tmp_path / DROP_INS / "a.toml", "[nothing]\n")
    with pytest.raises(ConfigError) as e:
        load([tmp_path], root_owned=False)
    assert len(e.value.message.splitlines()) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to own files as root")
def test_files_that_others_may_write_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / MAIN_FILE, "[movers]\nworkers = 1\n")
    path.chmod(0o664)
    with pytest.raises(ConfigError, match="written by others"):
        load([tmp_path], root_owned=True)
    path.chmod(0o644)
    assert load([tmp_path], root_owned=True).settings.movers.workers == 1
    os.chown(path, 1, 1)
    with pytest.raises(ConfigError, match="written by others"):
        load([tmp_path], root_owned=True)


def test_changes_know_whether_they_need_a_restart(tmp_path: Path) -> None:
    before = load([tmp_path], root_owned=False)
    write(tmp_path / MAIN_FILE, "[daemon]\nlog_level = 'debug'\n[socket]\nbacklog = 5\n[plugins.x]\na = 1\n")
    after = load([tmp_path], root_owned=False)
    assert changed_keys(before, after) == (["daemon.log_level"], ["plugins.x.a", "socket.backlog"])


def test_every_key_has_help() -> None:
    for section in sections().values():
        assert section.__doc__
        for key in section.__struct_fields__:
            assert len(help_of(section, key).text) > 10


def test_conf_d_is_what_the_model_says() -> None:
    written = {p.name: p.read_text() for p in (ROOT / "conf.d").iterdir()}
    assert written == default_files(), "python -m migmond.config.reference conf.d writes them"


def test_help_in_conf_d_is_whole_sentences() -> None:
    comments = [line for text in default_files().values() for line in text.splitlines() if line.startswith("# ")]
    assert [c for c in comments if re.search(", [A-Z]", c) or len(c) > 120] == []


def test_conf_d_uncommented_is_the_defaults(tmp_path: Path) -> None:
    merged: dict[str, Any] = {}
    for name, text in default_files().items():
        lines = [line[1:] if line[:1] == "#" and line[1:2] not in (" ", "") else line for line in text.splitlines()]
        parsed = tomllib.loads("\n".join(lines))
        write(tmp_path / DROP_INS / name, "\n".join(lines))
        merged |= parsed
    config, defaults = load([tmp_path], root_owned=False), load([], root_owned=False)
    names = {v.key: v.value for v in config.values() if not v.key.startswith("plugins.")}
    assert names == {v.key: v.value for v in defaults.values()}
    unset = {"limits.ops", "limits.disk_ops", *(f"prices.{key}" for key in sections()["prices"].__struct_fields__)}
    assert {v.key for v in config.values() if v.origin == "default"} == unset
    assert set(merged) == {*sections(), "plugins"}


RATED = """
[prices]
currency = "EUR"
per_kwh = 1
[disks.sda]
rated_writes = "600TB"
price = 120.5
[disks."Samsung SSD 990_S.1"]
active_watts = 6
"""


def test_prices_and_disks_are_typed_reloadable_and_nothing_is_assumed(tmp_path: Path) -> None:
    before = load([tmp_path], root_owned=False)
    assert [v.value for v in before.values("prices.per_kwh")] == ["not set"]
    assert before.values("disks") == []
    file = write(tmp_path / MAIN_FILE, RATED)
    after = load([tmp_path], root_owned=False)
    assert (after.settings.prices.per_kwh, after.settings.prices.per_gb) == (1.0, None)
    assert {v.key: (v.value, v.origin) for v in after.values("disks.sda")} == {
        "disks.sda.rated_writes": ('"600TB"', f"{file}:6"),
        "disks.sda.price": ("120.5", f"{file}:7"),
    }
    assert after.settings.disks["Samsung SSD 990_S.1"].active_watts == 6
    at_once, restart = changed_keys(before, after)
    assert restart == []
    assert "disks.Samsung SSD 990_S.1.active_watts" in at_once
    assert "prices.per_kwh" in at_once


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prices]\nper_kwh = '0.3'", "must be a number"),
        ("[prices]\nper_kwh = -0.3", "must be 0 to"),
        ("[prices]\nper_kwh = nan", "must be 0 to"),
        ("[prices]\nper_kwh = true", "must be a number"),
        ("[disks.sda]\nrated_writes = 600", "must be text"),
        ("[disks.sda]\nrated_writes = '600'", "has no unit"),
        ("[disks.sda]\nrated_write = '600TB'", "did you mean disks.sda.rated_writes"),
        ("[disks]\nsda = 1", "disks.sda is a table: write [disks.sda]"),
        ("disks = 1", "write [disks.NAME]"),
    ],
)
def test_bad_prices_and_ratings_are_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path / MAIN_FILE, text)
    with pytest.raises(ConfigError) as e:
        load([tmp_path], root_owned=False)
    assert said in e.value.message


@pytest.mark.parametrize("io", ["50MiB/s", "off", "08:00,20MiB 19:00,off"])
def test_a_limit_is_a_rate_or_a_timetable(tmp_path: Path, io: str) -> None:
    write(tmp_path / "migmond.toml", f'[limits]\nio = "{io}"\n')
    assert load([tmp_path], root_owned=False).settings.limits.io == io


@pytest.mark.parametrize("io", ["50", "0MiB", "08:00,pause", "08:00,workers=3", "fast"])
def test_what_is_no_limit_is_refused_with_its_line(tmp_path: Path, io: str) -> None:
    write(tmp_path / "migmond.toml", f'[limits]\nio = "{io}"\n')
    with pytest.raises(ConfigError, match=r"migmond.toml:2: limits.io"):
        load([tmp_path], root_owned=False)
