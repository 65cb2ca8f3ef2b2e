"""Who may act through somebody else's connection, and as whom: links, passwords, vouched names, tokens."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from migmond.daemon.kept_file import replace
from migmond.domain.decoding import from_msgpack
from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded, NotFound, NotPermitted
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.passwords import check_password
from migmond.domain.people import Link, OpenParams, Person, PersonSession, SignedIn, Token
from migmond.engine.views import time_text
from migmond.ports import Clock
from migmond.rpc.peer import RoleGroups, role_of

LINK_S = 600.0
"""A link that was printed and forgotten is soon of no use."""
MAX_LINKS = 100
MAX_SESSIONS = 1000
MAX_NOTE = 200
MAX_PASSWORD = 1024
FAILURES = 5
FAILURES_WINDOW_S = 900.0
"""So many wrong passwords for one name within that time, and no more are looked at until it is over."""
_USED_STEP_S = 60.0
"""How exactly it is kept when a session was used last: each time the file is written."""


class SignInSettings(msgspec.Struct, frozen=True):
    """From the configuration.

    Attributes:
        session_s: how long a session lasts.
        passwords: file with a line `NAME:HASH` for each person (`hash_password`); None for no passwords.
        trust_proxy: whether a gateway may say who somebody is.
    """

    session_s: float
    passwords: Path | None
    trust_proxy: bool


class SignIn:
    """Keeps the sessions, on disk as well: they outlive a restart of the daemon and of the gateway.

    Args:
        path: of the file that they are kept in.
        groups: what gives people their roles.
        settings: asked whenever they are needed.
    """

    def __init__(
        self, path: Path, clock: Clock, groups: Callable[[], RoleGroups], settings: Callable[[], SignInSettings]
    ) -> None:
        self._path = path
        self._clock = clock
        self._groups = groups
        self._settings = settings
        self._links: dict[bytes, tuple[Identity, Role, float]] = {}
        self._sessions: dict[bytes, SignedIn] = {s.digest: s for s in _read(path)}
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._hashing = trio.CapacityLimiter(2)

    def link(self, peer: Peer, role: str) -> Link:
        """Return a link for the person at the other end of the connection.

        Raises:
            InvalidInput: there is no such role.
            NotPermitted: the peer may not do that much.
            LimitExceeded: too many links wait to be opened.
        """
        granted = peer.role
        if role:
            try:
                granted = Role[role.upper()]
            except KeyError:
                raise InvalidInput(
                    f"there is no role {role[:40]!r}", hint="viewer, operator or admin", field="role"
                ) from None
            if granted > peer.role:
                raise NotPermitted(f"you are {peer.role.name.lower()}", hint="ask for no more than that")
        now = self._clock.monotonic()
        self._links = {d: kept for d, kept in self._links.items() if kept[2] > now}
        if len(self._links) >= MAX_LINKS:
            raise LimitExceeded(f"{MAX_LINKS} links wait to be opened", hint="they expire within ten minutes")
        token = secrets.token_urlsafe(32)
        self._links[_digest(token)] = peer.identity, granted, now + LINK_S
        return Link(token, user_name(peer.identity.uid), granted.name.lower(), time_text(self._clock.wall() + LINK_S))

    async def open(self, peer: Peer, params: OpenParams) -> Token:
        """Sign a person in.

        Args:
            peer: the gateway.

        Raises:
            NotPermitted: the link was used or is too old, the password is wrong, nobody may vouch.
            LimitExceeded: too many wrong passwords, or too many sessions.
        """
        note = params.note[:MAX_NOTE]
        if sum(map(bool, (params.link, params.user, params.vouched))) != 1:
            raise InvalidInput(
                "give a link, or user and password, or vouched", hint="migmon dash makes a link", field="link"
            )
        if params.link:
            identity, most = self._open_link(params.link)
        elif params.user:
            identity, most = await self._by_password(params.user, params.password), Role.ADMIN
        else:
            identity, most = self._vouched(peer, params.vouched), Role.ADMIN
        role = self._role(identity, most)
        return self._begin(identity, role, note)

    def assume(self, token: str) -> tuple[Peer, Person]:
        """Return whom a connection that shows `token` acts for.

        Raises:
            NotFound: nobody is signed in with it (any more).
            NotPermitted: that person has no role any more.
        """
        session = self._sessions.get(_digest(token))
        now = self._clock.wall()
        if session is None or session.expires_at <= now:
            raise NotFound("nobody is signed in with that token", hint="sign in again: migmon dash")
        identity = _present(session.identity)
        role = self._role(identity, session.role)
        if now - session.used_at >= _USED_STEP_S:
            self._sessions[session.digest] = msgspec.structs.replace(session, used_at=now)
            self._write()
        return Peer(identity, role), _person(session, role)

    def all(self, peer: Peer, own: str) -> tuple[PersonSession, ...]:
        """Return the sessions of `peer`, an admin's everybody's, newest first. `own`: id of the one that is used."""
        now = self._clock.wall()
        seen = [
            s
            for s in self._sessions.values()
            if s.expires_at > now and (peer.role is Role.ADMIN or s.identity.uid == peer.identity.uid)
        ]
        seen.sort(key=lambda s: s.created_at, reverse=True)
        return tuple(
            PersonSession(
                s.id, s.user, s.role.name.lower(), s.note, time_text(s.created_at), time_text(s.used_at),
                time_text(s.expires_at), s.id == own,
            )
            for s in seen
        )  # fmt: skip

    def close(self, peer: Peer, session_id: str) -> None:
        """Sign out.

        Raises:
            NotFound: `peer` has no session of that id.
        """
        for session in self._sessions.values():
            if session.id == session_id and (peer.role is Role.ADMIN or session.identity.uid == peer.identity.uid):
                del self._sessions[session.digest]
                self._write()
                return
        raise NotFound("there is no such session", hint="session.list shows yours")

    def is_open(self, session_id: str) -> bool:
        """Whether a session still is."""
        return any(s.id == session_id and s.expires_at > self._clock.wall() for s in self._sessions.values())

    # --- how somebody is known ---------------------------------------------------------------------

    def _open_link(self, link: str) -> tuple[Identity, Role]:
        found = self._links.pop(_digest(link), None)
        if found is None or found[2] <= self._clock.monotonic():
            raise NotPermitted("that link was used before or is too old", hint="migmon dash makes a new one")
        return found[0], found[1]

    async def _by_password(self, user: str, password: str) -> Identity:
        path, now = self._settings().passwords, self._clock.monotonic()
        if path is None:
            raise NotPermitted("nobody has a password here", hint="sign in with migmon dash")
        user = user[:MAX_NOTE]
        failed = self._failures[user]
        while failed and failed[0] <= now - FAILURES_WINDOW_S:
            failed.popleft()
        if len(failed) >= FAILURES:
            raise LimitExceeded("too many wrong passwords for that name", hint="wait a quarter of an hour")
        failed.append(now)  # before it takes its time: others may come meanwhile
        stored = _passwords(path).get(user, "")
        right = await trio.to_thread.run_sync(check_password, password[:MAX_PASSWORD], stored, limiter=self._hashing)
        if not right:
            raise NotPermitted("name or password is wrong", hint="or sign in with migmon dash")
        self._failures.pop(user, None)
        return _identity_of(user)

    def _vouched(self, peer: Peer, user: str) -> Identity:
        if not self._settings().trust_proxy or peer.role is not Role.GUEST:
            raise NotPermitted("nobody may say here who somebody is", hint="[web] trust_proxy lets the gateway")
        return _identity_of(user)

    def _role(self, identity: Identity, most: Role) -> Role:
        role = role_of(identity, self._groups())
        if role is None or role is Role.GUEST:
            raise NotPermitted(f"{user_name(identity.uid)} has no role here", hint="see [roles] in the configuration")
        return min(role, most)

    def _begin(self, identity: Identity, role: Role, note: str) -> Token:
        now = self._clock.wall()
        for digest in [d for d, s in self._sessions.items() if s.expires_at <= now]:
            del self._sessions[digest]
        if len(self._sessions) >= MAX_SESSIONS:
            raise LimitExceeded(f"{MAX_SESSIONS} people are signed in", hint="sign some out")
        token = secrets.token_urlsafe(32)
        session = SignedIn(
            secrets.token_hex(6), _digest(token), user_name(identity.uid), identity, role, note, now, now,
            now + self._settings().session_s,
        )  # fmt: skip
        self._sessions[session.digest] = session
        self._write()
        expires = time_text(session.expires_at)
        return Token(token, session.id, session.user, identity.uid, role.name.lower(), expires)

    def _write(self) -> None:
        """A session that a power cut takes away is opened again: no sync."""
        replace(self._path, msgspec.msgpack.encode(list(self._sessions.values())), durable=False)


def _read(path: Path) -> list[SignedIn]:
    try:
        return from_msgpack(path.read_bytes(), list[SignedIn])
    except (OSError, msgspec.DecodeError):
        return []  # everybody signs in again


def _person(session: SignedIn, role: Role) -> Person:
    name, expires = role.name.lower(), time_text(session.expires_at)
    return Person(session.id, session.user, session.identity.uid, name, expires)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def user_name(uid: int) -> str:
    """Return what people call a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _identity_of(user: str) -> Identity:
    try:
        found = pwd.getpwnam(user)
    except (KeyError, ValueError):  # ValueError: a NUL in it
        raise NotPermitted("name or password is wrong", hint="or sign in with migmon dash") from None
    return _present(Identity(found.pw_uid, found.pw_gid))


def _present(identity: Identity) -> Identity:
    """Return the credentials that the person has now: a group that was left since is left."""
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(identity.uid)
        return Identity(user.pw_uid, user.pw_gid, tuple(sorted(os.getgrouplist(user.pw_name, user.pw_gid))))
    return identity  # known by its number only: as it was


def _passwords(path: Path) -> dict[str, str]:
    """Return hashes by name.

    Raises:
        Conflict: others than its owner may read the file, or it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Conflict(f"others may read {path}", hint=f"chmod 600 {path}")
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise Conflict(f"passwords cannot be read from {path}: {e}", hint="see [web] passwords") from e
    pairs = (line.strip().partition(":") for line in lines if line.strip() and not line.startswith("#"))
    return {name: stored for name, _, stored in pairs}
