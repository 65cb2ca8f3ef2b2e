"""conf.d/ from the model: `python -m migmond.config.reference DIRECTORY` writes it; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from migmond.config.load import toml_value
from migmond.config.model import sections
from migmond.config.setting import Kind, help_of
from migmond.config.watch_sections import DiskSection

_NUMBERS = {
    "daemon": 10, "journal": 15, "history": 17, "monitor": 18, "alerts": 19, "socket": 20, "roles": 30, "web": 32,
    "executions": 35, "limits": 38, "movers": 40, "commit": 50, "retries": 60, "deliveries": 64, "emergency": 66,
    "sleep": 68, "prices": 70,
}  # fmt: skip
_UNITS = {Kind.SIZE: " (a size with unit)", Kind.DURATION: " (a duration with unit)", Kind.PLAIN: "", Kind.RATES: ""}


def default_files() -> dict[str, str]:
    """Return name and text of one commented drop-in per section: every key with its default and help."""
    files: dict[str, str] = {}
    for name, section in sections().items():
        lines = [f"# {section.__doc__}", "# Uncomment what you change; these are the defaults.", "", f"[{name}]"]
        lines += _settings(section)
        files[f"{_NUMBERS[name]}-{name}.toml"] = "\n".join(lines) + "\n"
    disks = [f"# {DiskSection.__doc__}", *_DISKS, *_settings(DiskSection)]
    files["75-disks.toml"] = "\n".join(disks) + "\n"
    files["90-plugins.toml"] = _PLUGINS
    return files


def _settings(section: type[Any]) -> list[str]:
    lines = []
    for key in section.__struct_fields__:
        help_, value = help_of(section, key), getattr(section(), key)
        shown = toml_value(value if help_.example is None else help_.example)
        sentence, unit = help_.text.rstrip(".,"), _UNITS[help_.kind]
        when = "" if help_.restart else " Reloaded by SIGHUP."
        lines += ["", f"# {sentence}{unit}{help_.text[len(sentence) :]}{when}"]
        lines += [f"#{key} = {shown}"] if help_.example is None else [f"# It is not set; for example: {key} = {shown}"]
    return lines


_DISKS = (
    "# One table per disk, by the kernel's name for it or, better, by what identifies it: migmon report ID shows both.",
    "",
    "# [disks.sda]",
)


_PLUGINS = """\
# One table per plugin: whether it is loaded, and its own settings.
# Uncomment what you change; these are the defaults.

#[plugins.sqlite]
#enabled = true

# Processors, pressure, memory, disks, network.
#[plugins.psutil]
#enabled = true
#interval = "2s"
# Partitions as well as whole disks; loop devices and disks in memory as well.
#partitions = false
#virtual = false

# Room, inodes, quotas of what is mounted. One that takes longer than answer_within does not answer.
#[plugins.filesystems]
#enabled = true
#interval = "10s"
#answer_within = "2s"
# Types to look at, such as ["ext4", "nfs4"]; empty for all that hold files.
#kinds = []
#leave_out = ["/dev", "/proc", "/sys", "/run/user", "/var/lib/containers", "/var/lib/docker"]
# Users whose quotas are told, by number; empty for the daemon's own.
#quota_uids = []

# Health and temperature of disks, through smartctl (package smartmontools). Sleeping disks are not woken. The service
# may ask them, and read the kernel's messages below, with a drop-in: contrib/systemd/health.conf.
#[plugins.smart]
#enabled = true
#interval = "5m"
#temperature_interval = "60s"
#answer_within = "30s"
# Device files to ask, such as ["/dev/sda"]; empty for all disks.
#devices = []
# Types that smartctl does not find out by itself, such as { "/dev/sdb" = "sat" }.
#types = {}
#smartctl = ""

# The kernel's messages about disks and file systems.
#[plugins.kernel]
#enabled = true
#interval = "2s"

# What follows are actions of alerts. Rules can use what is named here and nothing else. Those that use the network need
# a drop-in for the service: contrib/systemd/network.conf. Secrets are never written here: a setting says where one is,
# "credential:NAME" (LoadCredential= of the service) or "file:/PATH".

# Hook programs: with the alert as JSON on standard input, without rights, with a time limit.
#[plugins.exec]
#enabled = true
# Where programs may lie; empty is /etc/migmond/hooks, and for a user's own daemon also ~/.config/migmond/hooks.
#directories = []
#user = "nobody"
#time_limit = "30s"
#memory = "512MiB"
#processes = 64
#output = "64KiB"
#environment = {}

# Servers that are told by HTTP. A target is a table of its own, for example:
#   [plugins.webhook.targets.ops]
#   url = "https://ops.example.org/alerts"
#   preset = "json", "slack", "ntfy" or "gotify"
#   token = "credential:ops-key"
#[plugins.webhook]
#enabled = true
#timeout = "10s"
#targets = {}

# Mails.
#[plugins.email]
#enabled = true
#server = ""
#port = 0
#security = "starttls"
#user = ""
#password = ""
#sender = ""
#recipients = []
#ca_file = ""
#timeout = "20s"

# A hundred kinds of services, with the extra migmond[apprise]: targets such as { phone = "credential:phone" }.
#[plugins.apprise]
#enabled = true
#targets = {}
"""


if __name__ == "__main__":
    for file_name, text in default_files().items():
        (Path(sys.argv[1]) / file_name).write_text(text)
