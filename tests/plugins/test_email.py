"""Mails, through a real SMTP server on the loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from hypothesis import given
from hypothesis import strategies as st

from alerts_told import a_notice
from loopback import certificate, free_port
from migmond.domain.errors import PluginError
from migmond.plugin_api import ActionFailed
from migmond_email import SETTINGS, Mail, Parameters, make, migmond_alert_actions

OPS, BOSS = "ops@example.org", "boss@example.org"


class Box:
    """Takes mails, unless told otherwise."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.users: list[str] = []
        self.refuse: dict[str, str] = {}
        self.answer = "250 OK"
        self.hang = threading.Event()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        while self.hang.is_set():  # noqa: ASYNC110 (another thread says so)
            await asyncio.sleep(0.02)
        if self.answer.startswith("2"):
            parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(parsed, EmailMessage)
            self.mails.append((envelope.rcpt_tos, parsed))
        return self.answer

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login.decode())
        return AuthResult(success=data.password == b"sesame", handled=False)


@contextmanager
def serving(box: Box, tls: Path | None = None, *, starttls: bool = False, **options: Any) -> Iterator[int]:
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    if starttls:
        options |= {"tls_context": context, "require_starttls": True}
    elif context is not None:
        options["ssl_context"] = context
    controller = Controller(box, hostname="localhost", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        box.hang.clear()
        controller.stop()


def settings(at: int, **changes: Any) -> SETTINGS:
    plain = SETTINGS("localhost", at, "none", sender="migmond@example.org", recipients=(OPS, BOSS), timeout="5s")
    return msgspec.structs.replace(plain, **changes)


async def send(wanted: SETTINGS, *to: str, **changes: Any) -> str | None:
    with trio.fail_after(30):
        return await Mail(wanted).act(a_notice(**changes), Parameters(to))


async def failing(wanted: SETTINGS, *to: str) -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        await send(wanted, *to)
    return caught.value


async def test_a_mail_says_what_is_the_matter() -> None:
    box = Box()
    with serving(box) as port:
        assert await send(settings(port)) is None
        await send(settings(port), OPS, firing=False)
    (everybody, mail), (some, resolved) = box.mails
    assert (everybody, some) == ([OPS, BOSS], [OPS])
    assert mail["Subject"] == "[ERROR] hot disk: media (box)"
    assert resolved["Subject"] == "[RESOLVED] hot disk: media (box)"
    assert mail["Message-ID"] == "<d1@example.org>"
    assert mail["References"] == resolved["References"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.isoformat() == "2026-11-27T10:00:00+00:00"
    text = mail.get_content()
    assert text.splitlines()[0] == "sda is hot"
    assert "Value: 61 (threshold 55)" in text


@given(st.text(max_size=300), st.text(max_size=80))
def test_nothing_in_a_message_can_add_a_header(message: str, name: str) -> None:
    evil = f"{message}\r\nBcc: {name}@evil\r\n\r\n.\r\nQUIT"
    notice = a_notice(
        evil, rule=evil, execution_name=f"{name}\nX-Evil: 1", host="\r\nX-Evil: 1", device="\x00\x85\u2028"
    )
    written = make(msgspec.structs.replace(notice, alert=evil, delivery=evil, severity=evil), "m@example.org", [OPS])
    parsed = email.message_from_bytes(written.as_bytes(), policy=email.policy.default)
    assert sorted(parsed.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "X-Migmond-Severity",
         "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    )  # fmt: skip
    assert parsed["To"] == OPS
    assert parsed["Subject"].isprintable()


async def test_tls_and_logging_in(tmp_path: Path) -> None:
    box, made, secret = Box(), certificate(tmp_path), tmp_path / "password"
    secret.write_text("sesame\n")
    secret.chmod(0o400)
    wanted: dict[str, Any] = {"user": "migmond", "password": f"file:{secret}", "ca_file": str(made)}
    login: dict[str, Any] = {"authenticator": box.log_in, "auth_required": True}
    with serving(box, made, starttls=True, **login) as port:
        assert await send(settings(port, security="starttls", **wanted)) is None
        assert (
            "certificate is not accepted"
            in (await failing(settings(port, security="starttls", **{**wanted, "ca_file": ""}))).why
        )
        secret.chmod(0o600)
        secret.write_text("wrong")
        refused = await failing(settings(port, security="starttls", **wanted))
        assert refused.why == "localhost does not accept user and password (535)"
        assert not refused.final
    with serving(box, made) as port:
        assert await send(settings(port, security="tls", ca_file=str(made))) is None
    with serving(box) as port:  # no STARTTLS is offered: nothing is sent without
        assert "STARTTLS" in (await failing(settings(port, security="starttls"))).why
    assert len(box.mails) == 2
    assert set(box.users) == {"migmond"}


async def test_who_refuses_for_good_is_not_asked_again() -> None:
    box = Box()
    with serving(box) as port:
        box.refuse = {OPS: "550 no such user"}
        assert await send(settings(port)) == f"not accepted for {OPS} (550)"
        refused = await failing(settings(port), OPS)
        assert (refused.final, refused.why) == (True, f"localhost refuses {OPS} (550)")
        box.refuse = {OPS: "451 try later", BOSS: "550 no"}
        assert not (await failing(settings(port))).final
        box.refuse = {}
        for answer, final in (("552 too large", True), ("451 come back later", False)):
            box.answer = answer
            failed = await failing(settings(port))
            assert (failed.final, failed.why) == (final, f"localhost: {answer}")


class Rude(Box):
    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return "500 what?"


async def test_what_was_taken_is_not_sent_again_for_a_rude_farewell() -> None:
    box = Rude()
    with serving(box) as port:
        assert await send(settings(port)) is None
    assert len(box.mails) == 1


async def test_a_server_that_is_down_or_silent() -> None:
    assert (await failing(settings(free_port()))).why == "localhost cannot be reached: Connection refused"
    box = Box()
    box.hang.set()
    with serving(box) as port:
        assert "timed out" in (await failing(settings(port, timeout="300ms"))).why


@contextmanager
def hostile(talk: Callable[[socket.socket], None], tls: Path | None = None) -> Iterator[int]:
    """A server that says what `talk` says, to one client; at the end that one must have hung up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with contextlib.suppress(OSError), connection:
                if tls is not None:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(tls)
                    connection = context.wrap_socket(connection, server_side=True)
                with connection:
                    talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def _drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"2")
        time.sleep(0.05)


def _never_end(connection: socket.socket) -> None:
    connection.sendall(b"220 hello\r\n")
    connection.recv(4096)
    while True:
        connection.sendall(b"250-x" * 200 + b"\r\n")


async def test_a_server_that_sends_a_byte_now_and_then_is_hung_up_on() -> None:
    with hostile(_drip) as port:
        failed = await failing(settings(port, timeout="300ms"))
    assert (failed.why, failed.final) == ("localhost did not take it within 1.2 s", False)


async def test_a_server_that_never_ends_is_hung_up_on() -> None:
    with hostile(_never_end) as port:
        failed = await failing(settings(port, timeout="20s"))
    assert failed.why == "localhost: Connection unexpectedly closed: it says too much"


async def test_what_smtplib_cannot_read_or_send_is_no_mistake_of_ours(tmp_path: Path) -> None:
    made, secret = certificate(tmp_path), tmp_path / "password"
    secret.write_text("sesame")
    secret.chmod(0o400)

    def answer(connection: socket.socket) -> None:
        for line in (b"220 hello\r\n", b"250-x\r\n250 AUTH CRAM-MD5\r\n", b"334 abcde\r\n"):
            connection.sendall(line)
            connection.recv(4096)

    wanted: dict[str, Any] = {"user": "migmond", "password": f"file:{secret}", "ca_file": str(made), "security": "tls"}
    with hostile(answer, made) as port:
        assert "its answer makes no sense" in (await failing(settings(port, **wanted))).why
    secret.chmod(0o600)
    secret.write_text("sésame")
    assert "choose one of plain ASCII" in (await failing(settings(free_port(), **wanted))).why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"security": "ssl"}, "security"), ({"port": 70_000}, "port"), ({"timeout": "1h"}, "timeout"),
        ({"sender": "me"}, "no address"), ({"recipients": ("a@b\r\nc",)}, "no address"), ({"recipients": ()}, "empty"),
        ({"user": "me"}, "belong together"), ({"user": "me", "password": "sesame"}, "not the secret itself"),
        ({"user": "me", "password": "credential:x"}, "not sent without TLS"),
    ],
)  # fmt: skip
def test_settings_are_checked_at_load_time(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(PluginError, match=why):
        list(migmond_alert_actions(settings(25, **changes)))


def test_rules_can_name_who_is_configured_and_nobody_else() -> None:
    (spec,) = migmond_alert_actions(settings(25))
    assert spec.check(Parameters((OPS,))) == spec.check(Parameters()) == ""
    assert "not among plugins.email.recipients" in spec.check(Parameters(("evil@example.org",)))
    (unset,) = migmond_alert_actions(SETTINGS())
    assert "no mail server is configured" in unset.check(Parameters())
