"""The alert action `email`: send a mail through an SMTP server.

smtplib does it, in a thread whose connection is cut when its time is over: what mail clients there are for event loops
are asyncio's.
"""

from __future__ import annotations

import contextlib
import datetime
import email.message
import email.policy
import email.utils
import re
import smtplib
import ssl
from collections.abc import Iterable, Sequence

import msgspec
import trio

from migmond.domain.errors import PluginError
from migmond.domain.units import parse_duration
from migmond.plugin_api import ActionFailed, AlertActionSpec, AlertNotice, hookimpl
from migmond.plugin_api.notices import one_line, text, title
from migmond.plugin_api.secrets import check_secret, read_secret
from migmond_email.connection import Connection, Line, TlsConnection

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_STEPS = 4
"""Each of connecting, greeting, logging in and sending may take a whole timeout; all of it no longer than that."""
_GRACE_S = 10.0
_AT_A_TIME = 4
"""Mails: each has a thread, which waits as long as the resolver of names does even when nobody wants it any more."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
"""As HTML takes them (https://html.spec.whatwg.org/#valid-e-mail-address): none of these can end a header."""


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set. The service may not use the network as it comes: see contrib/systemd/network.conf.

    Attributes:
        server: name of the SMTP server; empty for none.
        port: 0 is 587 with starttls, 465 with tls, 25 with none.
        security: `starttls` or `tls`; `none` only for a server on this machine or a network that you trust.
        user: to log in as; empty for not at all.
        password: where it is, credential:NAME or file:/PATH.
        sender: address of the sender.
        recipients: addresses that rules may name; a rule that names none sends to all of them.
        ca_file: certificates that may vouch for the server; empty for those of the system.
        timeout: for each step.
    """

    server: str = ""
    port: int = 0
    security: str = "starttls"
    user: str = ""
    password: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    ca_file: str = ""
    timeout: str = "20s"


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    to: addresses out of those in the configuration (plugins.email.recipients); none for all of them.
    """

    to: tuple[str, ...] = ()


class Mail:
    """Sends mails."""

    def __init__(self, settings: SETTINGS) -> None:
        self._settings = settings
        self.timeout_s = parse_duration(settings.timeout)
        self.deadline_s = self.timeout_s * _STEPS
        self._threads = trio.CapacityLimiter(_AT_A_TIME)
        if settings.server:
            self._check()

    def _check(self) -> None:
        s = self._settings
        if not 0.1 <= self.timeout_s <= 300:
            raise PluginError(f"timeout is {s.timeout}: write 100ms to 5m")
        if s.security not in _PORTS:
            raise PluginError(f"security is {s.security!r}: there is {', '.join(_PORTS)}")
        if not 0 <= s.port < 65536:
            raise PluginError(f"port is {s.port}: write 1 to 65535")
        if bad := [a for a in (s.sender, *s.recipients) if not _ADDRESS.fullmatch(a)]:
            raise PluginError(f"{bad[0]!r} is no address of a mail (sender and recipients)")
        if not s.recipients:
            raise PluginError("recipients is empty: nobody would get a mail")
        if bool(s.user) != bool(s.password):
            raise PluginError("user and password belong together")
        if s.password and (wrong := check_secret("password", s.password)):
            raise PluginError(wrong)
        if s.password and s.security == "none":
            raise PluginError("a password is not sent without TLS: set security to starttls or tls")

    def check(self, parameters: Parameters) -> str:
        """Return why nobody would ever get a mail, "" when somebody may."""
        if not self._settings.server:
            return "no mail server is configured (plugins.email.server)"
        if bad := [a for a in parameters.to if a not in self._settings.recipients]:
            return f"{bad[0]!r} is not among plugins.email.recipients"
        return ""

    async def act(self, notice: AlertNotice, parameters: Parameters) -> str | None:
        """Send one mail; returns who did not get it, if others did."""
        if why := self.check(parameters):
            raise ActionFailed(why)
        to = parameters.to or self._settings.recipients
        message, line = make(notice, self._settings.sender, to), Line()
        try:
            with trio.move_on_after(self.deadline_s):
                return await trio.to_thread.run_sync(
                    self._send, message, line, abandon_on_cancel=True, limiter=self._threads
                )
        finally:
            line.cut()
        raise ActionFailed(f"{self._settings.server} did not take it within {self.deadline_s:g} s")

    def _send(self, message: email.message.EmailMessage, line: Line) -> str | None:
        s = self._settings
        password = read_secret(s.password) if s.password else ""
        if not password.isascii():
            raise ActionFailed("the password has letters that SMTP has no way to send: choose one of plain ASCII")
        port = s.port or _PORTS[s.security]
        try:
            context = ssl.create_default_context(cafile=s.ca_file or None)
            connection: Connection
            if s.security == "tls":
                connection = TlsConnection(line, s.server, port, self.timeout_s, context)
            else:
                connection = Connection(line, s.server, port, self.timeout_s)
            try:
                if s.security == "starttls":
                    connection.starttls(context=context)  # raises when the server does not offer it: never without
                if password:
                    connection.login(s.user, password)
                refused = connection.send_message(message)
            finally:  # whatever it says to our leaving, the mail is sent or it is not
                with contextlib.suppress(smtplib.SMTPException, OSError, ValueError):
                    connection.quit()
                connection.close()
        except smtplib.SMTPRecipientsRefused as e:
            codes = [code for code, _ in e.recipients.values()]
            raise ActionFailed(f"{s.server} refuses {_named(e.recipients)}", final=all(c >= 500 for c in codes)) from e
        except smtplib.SMTPAuthenticationError as e:
            raise ActionFailed(f"{s.server} does not accept user and password ({e.smtp_code})") from e
        except smtplib.SMTPResponseException as e:
            said = e.smtp_error.decode("utf-8", "replace") if isinstance(e.smtp_error, bytes) else str(e.smtp_error)
            raise ActionFailed(f"{s.server}: {e.smtp_code} {one_line(said)}", final=e.smtp_code >= 500) from e
        except smtplib.SMTPNotSupportedError as e:
            raise ActionFailed(f"{s.server}: {one_line(str(e))}") from e
        except ssl.SSLCertVerificationError as e:
            raise ActionFailed(f"{s.server}: its certificate is not accepted ({e.verify_message})") from e
        except smtplib.SMTPException as e:
            raise ActionFailed(f"{s.server}: {one_line(str(e)) or type(e).__name__}") from e
        except OSError as e:
            raise ActionFailed(f"{s.server} cannot be reached: {e.strerror or e}") from e
        except ValueError as e:  # what smtplib makes of an answer that is none, such as base64 that is not
            raise ActionFailed(f"{s.server}: its answer makes no sense ({one_line(str(e))})") from e
        return f"not accepted for {_named(refused)}" if refused else None


def _named(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{one_line(address)} ({code})" for address, (code, _) in sorted(refused.items()))


def make(notice: AlertNotice, sender: str, to: Sequence[str]) -> email.message.EmailMessage:
    """Return the mail. The Message-ID follows from the delivery: a server or reader may drop it the second time."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    domain = sender.rpartition("@")[2]
    message["From"] = email.utils.formataddr(("migmond", sender))
    message["To"] = ", ".join(to)
    message["Subject"] = title(notice)
    message["Date"] = datetime.datetime.fromisoformat(notice.at)
    message["Message-ID"] = f"<{_token(notice.delivery)}@{domain}>"
    # All mails about one alert are one thread, whose first mail nobody ever gets.
    message["References"] = f"<alert-{_token(notice.alert)}.{_token(notice.since)}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message["X-Migmond-Severity"] = _token(notice.severity)
    message.set_content(text(notice), cte="quoted-printable")
    return message


def _token(plain: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "", plain) or "x"


@hookimpl
def migmond_alert_actions(settings: SETTINGS) -> Iterable[AlertActionSpec]:
    """Register the action `email`."""
    mail = Mail(settings)
    return [AlertActionSpec("email", "Send a mail.", Parameters, mail.act, mail.deadline_s + _GRACE_S, mail.check)]
