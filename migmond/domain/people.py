"""How people sign in to act through somebody else's connection: the web gateway, which has no rights of its own.

A person who is known by the kernel's word (`migmon dash`) gets a link; whoever opens it gets a token, and a connection
that shows a token acts as that person, with the rights that the daemon gives that person now. So a gateway can never do
more than those who signed in through it may do.
"""

from __future__ import annotations

import msgspec

from migmond.domain.api import Params, Result
from migmond.domain.identity import Identity, Role


class SignedIn(msgspec.Struct, frozen=True):
    """One person's session, as the daemon keeps it.

    Attributes:
        id: names it in lists; of no use to sign in.
        digest: SHA-256 of the token, which the daemon does not keep.
        user: name for people.
        identity: as it was when the person signed in; groups are looked up again whenever it is used.
        role: the most that it may do, even if the person may do more meanwhile.
        note: what the person uses, such as a browser's name.
        created_at, used_at, expires_at: wall clock seconds.
    """

    id: str
    digest: bytes
    user: str
    identity: Identity
    role: Role
    note: str
    created_at: float
    used_at: float
    expires_at: float


class LinkParams(Params, frozen=True):
    """`role`: the most that whoever opens the link may do (`viewer`, `operator`, `admin`); "" for as much as you."""

    role: str = ""


class Link(Result, frozen=True):
    """`link` opens one session, once, until `expires_at`."""

    link: str
    user: str
    role: str
    expires_at: str


class OpenParams(Params, frozen=True):
    """One of: `link`; `user` and `password`; `vouched`, a user whom a trusted proxy has identified. `note`: what the
    person uses, at most 200 characters."""

    link: str = ""
    user: str = ""
    password: str = ""
    vouched: str = ""
    note: str = ""


class Token(Result, frozen=True):
    """Whoever has `token` is that person. `session`: its id in lists."""

    token: str
    session: str
    user: str
    uid: int
    role: str
    expires_at: str


class TokenParams(Params, frozen=True):
    token: str


class Person(Result, frozen=True):
    """Whom a connection acts for, and what that person may do."""

    session: str
    user: str
    uid: int
    role: str
    expires_at: str


class PersonSession(Result, frozen=True):
    """`own`: it is the one that this connection acts in."""

    id: str
    user: str
    role: str
    note: str
    created_at: str
    used_at: str
    expires_at: str
    own: bool


class PersonSessions(Result, frozen=True):
    sessions: tuple[PersonSession, ...]


class CloseParams(Params, frozen=True):
    """`session`: id of one of yours (admins: of anybody's); "" for the one that this connection acts in."""

    session: str = ""
