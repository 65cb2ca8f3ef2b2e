"""From files to a typed, frozen configuration that knows where each value came from."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from migmond.config.files import check_ownership, files_to_read
from migmond.config.lines import line_numbers
from migmond.config.model import Settings, sections
from migmond.config.setting import Help, Kind, help_of, type_of
from migmond.config.watch_sections import DiskSection
from migmond.domain import daemon_api
from migmond.domain.decoding import converted
from migmond.domain.errors import ConfigError, InvalidInput
from migmond.domain.units import parse_duration, parse_size
from migmond.fsys.io_priority import IoPriority
from migmond.planning.awake import CHOICES
from migmond.planning.timetable import parse_rates

DEFAULT_ORIGIN = "default"
"""Where a value comes from that no file sets."""
LOG_LEVELS = ("debug", "info", "warning", "error")
_WANTED = {str: "text", int: "an integer", bool: "true or false", float: "a number"}
_TABLES = ("plugins", "disks")
"""Sections of tables: each is one more level of keys."""


class Config:
    """The effective configuration. Made by `load`; never changes.

    Attributes:
        settings: the values.
        files: what was read, in order.
    """

    def __init__(self, settings: Settings, origins: dict[str, str], files: tuple[Path, ...]) -> None:
        self.settings = settings
        self.files = files
        self._origins = origins

    def size(self, section: str, key: str) -> int:
        """Return a size setting in bytes."""
        return parse_size(getattr(getattr(self.settings, section), key))

    def seconds(self, section: str, key: str) -> float:
        """Return a duration setting in seconds."""
        return parse_duration(getattr(getattr(self.settings, section), key))

    def values(self, prefix: str = "") -> list[daemon_api.ConfigValue]:
        """Return every setting whose dotted key is `prefix` or lies below it, with its origin."""
        found = [
            daemon_api.ConfigValue(
                f"{name}.{key}",
                toml_value(getattr(getattr(self.settings, name), key)),
                self._origins.get(f"{name}.{key}", DEFAULT_ORIGIN),
                help_of(section, key).text,
            )
            for name, section in sections().items()
            for key in section.__struct_fields__
        ]
        for disk, rated in self.settings.disks.items():
            found += [
                daemon_api.ConfigValue(
                    f"disks.{disk}.{key}",
                    toml_value(value),
                    self._origins.get(f"disks.{disk}.{key}", DEFAULT_ORIGIN),
                    help_of(DiskSection, key).text,
                )
                for key in DiskSection.__struct_fields__
                if (value := getattr(rated, key)) not in (None, "")
            ]
        for plugin, table in self.settings.plugins.items():
            found += [
                daemon_api.ConfigValue(
                    f"plugins.{plugin}.{key}",
                    toml_value(value),
                    self._origins.get(f"plugins.{plugin}.{key}", DEFAULT_ORIGIN),
                    "whether the plugin is loaded" if key == "enabled" else f"a setting of the plugin {plugin}",
                )
                for key, value in table.items()
            ]
        return [v for v in found if not prefix or v.key == prefix or v.key.startswith(prefix + ".")]


def load(directories: Sequence[Path], *, root_owned: bool) -> Config:
    """Read and merge all files.

    Args:
        directories: from the lowest to the highest priority.
        root_owned: refuse files that others than root may write to.

    Raises:
        ConfigError: with every problem of every file, a line each; nothing is half applied.
    """
    problems: list[str] = []
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    files = tuple(files_to_read(directories))
    for path in files:
        try:
            if root_owned:
                check_ownership(path)
            text = path.read_text(encoding="utf-8")
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as e:
            problems.append(f"{path}: {e}")
        except (OSError, ValueError, RecursionError) as e:  # no UTF-8, numbers of 5000 digits, brackets without end
            problems.append(f"{path}: {e}")
        except ConfigError as e:
            problems.append(f"{e.message} ({e.hint})")
        else:
            lines = line_numbers(text)
            problems += _check_table(path, table, lines)
            _merge(merged, table, path, lines, origins)
    settings: Settings | None = None
    if not problems:
        try:
            settings = converted(merged, Settings)
        except msgspec.ValidationError as e:
            problems.append(str(e))
    if problems or settings is None:
        raise ConfigError("\n".join(problems), hint="mend these, then migmond --check-config")
    return Config(settings, origins, files)


def changed_keys(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Return the keys whose values differ: those that take effect at once, and those that need a restart."""
    before = {v.key: v.value for v in old.values()}
    after = {v.key: v.value for v in new.values()}
    known = sections()
    at_once: list[str] = []
    restart: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        name, _, rest = key.partition(".")
        if name == "disks":
            needs_restart = help_of(DiskSection, rest.rpartition(".")[2]).restart
        else:
            needs_restart = name not in known or help_of(known[name], rest).restart
        (restart if needs_restart else at_once).append(key)
    return at_once, restart


def _check_table(path: Path, table: dict[str, Any], lines: dict[str, int]) -> list[str]:
    problems: list[str] = []
    known = sections()
    for name, value in table.items():
        if name == "plugins":
            problems += _check_tables(path, name, value, lines)
        elif name == "disks":
            problems += _check_tables(path, name, value, lines)
            for disk, rated in value.items() if isinstance(value, dict) else ():
                if isinstance(rated, dict):
                    problems += _check_section(path, f"{name}.{disk}", DiskSection, rated, lines)
        elif name not in known:
            problems.append(_unknown(path, name, [*known, *_TABLES], lines, "section"))
        elif not isinstance(value, dict):
            problems.append(f"{_at(path, name, lines)}: {name} is a section: write [{name}]")
        else:
            problems += _check_section(path, name, known[name], value, lines)
    return problems


def _check_section(
    path: Path, name: str, section: type[Any], table: dict[str, Any], lines: dict[str, int]
) -> list[str]:
    problems: list[str] = []
    for key, found in table.items():
        dotted = f"{name}.{key}"
        if key not in section.__struct_fields__:
            problems.append(_unknown(path, dotted, [f"{name}.{k}" for k in section.__struct_fields__], lines, "key"))
            continue
        problem = _check_value(dotted, found, type_of(section, key), help_of(section, key))
        if problem:
            problems.append(f"{_at(path, dotted, lines)}: {problem}")
    return problems


def _check_tables(path: Path, section: str, value: Any, lines: dict[str, int]) -> list[str]:
    if not isinstance(value, dict):
        return [f"{_at(path, section, lines)}: {section} is a section of tables: write [{section}.NAME]"]
    return [
        f"{_at(path, f'{section}.{name}', lines)}: {section}.{name} is a table: write [{section}.{name}]"
        for name, table in value.items()
        if not isinstance(table, dict)
    ]


def _check_value(key: str, value: Any, wanted: type, help_: Help) -> str:
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        return f"{key} is {toml_value(value)}, it must be {_WANTED[wanted]}"
    number: float | None = value if isinstance(value, int | float) else None
    try:
        if isinstance(value, str) and help_.kind is Kind.SIZE:
            number = parse_size(value)
        elif isinstance(value, str) and help_.kind is Kind.DURATION:
            number = parse_duration(value)
        elif isinstance(value, str) and help_.kind is Kind.RATES:
            parse_rates(value)
    except InvalidInput as e:
        return f"{key}: {e.message} ({e.hint})"
    least, most = help_.least, help_.most
    if number is not None and least is not None and most is not None and not least <= number <= most:
        return f"{key} is {toml_value(value)}, it must be {least:g} to {most:g}"
    if key == "daemon.log_level" and value not in LOG_LEVELS:
        return f"{key} is {toml_value(value)}, it must be one of {', '.join(LOG_LEVELS)}"
    if key == "movers.io_priority" and value not in list(IoPriority):
        return f"{key} is {toml_value(value)}, it must be one of {', '.join(IoPriority)}"
    if key == "sleep.prevent" and value not in CHOICES:
        return f"{key} is {toml_value(value)}, it must be one of {', '.join(CHOICES)}"
    if key == "socket.mode" and not re.fullmatch("[0-7]{3,4}", str(value)):
        return f"{key} is {toml_value(value)}, it must be octal permissions such as 0660"
    return ""


def _merge(
    into: dict[str, Any],
    table: dict[str, Any],
    path: Path,
    lines: dict[str, int],
    origins: dict[str, str],
    at: str = "",
) -> None:
    for key, value in table.items():
        dotted = f"{at}.{key}" if at else key
        if isinstance(value, dict) and (not at or at in _TABLES):
            inner = into.setdefault(key, {})
            if isinstance(inner, dict):
                _merge(inner, value, path, lines, origins, dotted)
        else:
            into[key] = value
            origins[dotted] = _at(path, dotted, lines)


def _at(path: Path, key: str, lines: dict[str, int]) -> str:
    return f"{path}:{lines[key]}" if key in lines else str(path)


def _unknown(path: Path, key: str, known: list[str], lines: dict[str, int], what: str) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"{_at(path, key, lines)}: unknown {what} {key}{hint}"


def toml_value(value: Any) -> str:
    """Write a value as TOML has it; what is not set is "not set"."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return str(value)
