"""Choosing a directory: seen with the rights of whoever chooses, page by page."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from as_user import as_user
from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.names import to_text
from several_users import ANA, BEN, OPERATORS, ROLES, SystemDaemon, gid, passable


def pages(client: Client, path: bytes, limit: int) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    after: str | None = ""
    while after is not None:
        page = client.call("plan.browse", api.BrowseParams(to_text(path), after, limit), api.Browsed)
        assert len(page.entries) <= limit
        found += [(e.name, e.type, e.size) for e in page.entries]
        after = page.next
    return found


def test_all_of_a_directory_comes_page_by_page(tmp_path: Path) -> None:
    there = bytes(tmp_path / "there")
    names = [b"\xff\n.bin", *(b"f%02d" % i for i in range(7))]
    for name in (b"a", b"z dir"):
        os.makedirs(os.path.join(there, name))
    for i, name in enumerate(names):
        Path(os.fsdecode(os.path.join(there, name))).write_bytes(b"x" * i)
    os.symlink("a", os.path.join(there, b"link"))
    os.mkfifo(os.path.join(there, b"pipe"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.join(there, b"sock"))
    with EmbeddedDaemon(tmp_path / "home") as daemon, Client(daemon.socket) as client:
        whole = pages(client, there, 1000)
        assert pages(client, there, 3) == whole == pages(client, there, 1)
        files = sorted([*names, b"link", b"pipe", b"sock"])
        assert [name for name, _, _ in whole] == ["a", "z dir", *map(to_text, files)]
        kinds = {name: kind for name, kind, _ in whole}
        assert [kinds[n] for n in ("a", "link", "pipe", "sock", "f03")] == [
            "directory", "symlink", "fifo", "socket", "file",
        ]  # fmt: skip
        assert {n: s for n, _, s in whole}["f03"] == 4
        for path, kind in (
            ("there", "invalid_input"),
            (str(tmp_path / "no"), "plan_infeasible"),
            ("", "invalid_input"),
        ):
            with pytest.raises(RemoteError) as e:
                client.call("plan.browse", api.BrowseParams(path), api.Browsed)
            assert e.value.kind == kind, path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")
def test_a_directory_is_seen_with_the_rights_of_whoever_asks(tmp_path: Path) -> None:
    private = passable(tmp_path) / "private"
    private.mkdir(mode=0o700)
    (private / "secret").write_bytes(b"")
    os.chown(private, ANA, ANA)

    def look() -> str:
        with Client(daemon.socket) as client:
            try:
                return str(pages(client, bytes(private), 10))
            except RemoteError as e:
                return e.kind

    with SystemDaemon(tmp_path / "daemon", ROLES) as daemon:
        assert "secret" in as_user(look, uid=ANA, gid=ANA, groups=(gid(OPERATORS),))
        assert as_user(look, uid=BEN, gid=BEN, groups=(gid(OPERATORS),)) == "not_permitted"
