"""Secrets of plugins: in systemd's credentials or in files, never in settings that are shown, and never kept."""

from __future__ import annotations

import os
import re
import stat

from migmond.plugin_api.specs import ActionFailed

_CREDENTIAL, _FILE = "credential:", "file:"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MAX_BYTES = 64 << 10


def is_secret(source: str) -> bool:
    """Whether a setting names where a secret is, rather than being the thing itself."""
    return source.startswith((_CREDENTIAL, _FILE))


def check_secret(setting: str, source: str) -> str:
    """Return what is wrong with a setting that must name where a secret is, "" when nothing is."""
    if source.startswith(_CREDENTIAL):
        name = source.removeprefix(_CREDENTIAL)
        return "" if _NAME.fullmatch(name) and name not in (".", "..") else f"{setting}: no name of a credential"
    if source.startswith(_FILE):
        return "" if os.path.isabs(source.removeprefix(_FILE)) else f"{setting}: write file:/absolute/path"
    return f"{setting} must be credential:NAME (systemd's LoadCredential=) or file:/PATH, not the secret itself"


def read_secret(source: str) -> str:
    """Return a secret without white space around it; anything else than `credential:` and `file:` is returned as it is.
    May block for a moment. Read anew for each use, so that one that was changed takes effect.

    Raises:
        ActionFailed: it is not there, or others may read it; without the secret.
    """
    if source.startswith(_CREDENTIAL):
        directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
        name = source.removeprefix(_CREDENTIAL)
        if not directory:
            raise ActionFailed(f"there is no credential {name}: the unit needs LoadCredential={name}:/PATH")
        return _read(os.path.join(directory, name), name)
    if source.startswith(_FILE):
        path = source.removeprefix(_FILE)
        return _read(path, path)
    return source


def _read(path: str, name: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as e:
        raise ActionFailed(f"the secret {name} cannot be read: {e.strerror}") from e
    with open(fd, "rb") as file:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise ActionFailed(f"the secret {name} is no regular file")
        if st.st_uid not in (0, os.geteuid()) or st.st_mode & 0o037:
            raise ActionFailed(f"others may read or change the secret {name}: chown root, chmod 0400")
        data = file.read(_MAX_BYTES)
    try:
        text = data.decode().strip()
    except UnicodeDecodeError as e:
        raise ActionFailed(f"the secret {name} is no text") from e
    if not text or not text.isprintable():
        raise ActionFailed(f"the secret {name} is {'empty' if not text else 'no single line'}")
    return text
