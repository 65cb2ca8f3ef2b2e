"""The methods by which people sign in through somebody else's connection."""

from __future__ import annotations

from migmond.domain import api
from migmond.domain.identity import Role
from migmond.domain.people import (
    CloseParams,
    Link,
    LinkParams,
    OpenParams,
    Person,
    PersonSessions,
    Token,
    TokenParams,
)
from migmond.rpc.registry import Context, Method, Registry


async def _link(ctx: Context, params: LinkParams) -> Link:
    return ctx.backend.people.link(ctx.session.peer, params.role)


async def _open(ctx: Context, params: OpenParams) -> Token:
    return await ctx.backend.people.open(ctx.session.peer, params)


async def _assume(ctx: Context, params: TokenParams) -> Person:
    peer, person = ctx.backend.people.assume(params.token)
    ctx.session.assume(peer, person)
    return person


async def _list(ctx: Context, params: api.Nothing) -> PersonSessions:
    return PersonSessions(ctx.backend.people.all(ctx.session.peer, _own(ctx)))


async def _close(ctx: Context, params: CloseParams) -> api.Acknowledged:
    ctx.backend.people.close(ctx.session.peer, params.session or _own(ctx))
    return api.Acknowledged()


def _own(ctx: Context) -> str:
    person = ctx.session.person
    return person.session if person is not None else ""


def add_people(registry: Registry) -> None:
    """Add these methods."""
    registry.add(
        Method("session.link", Role.VIEWER, LinkParams, Link,
               "Make a link that signs you in at the web gateway, once.", _link),
        Method("session.open", Role.GUEST, OpenParams, Token,
               "Sign a person in, by a link or a password, or by a trusted proxy's word; returns a token.", _open),
        Method("session.assume", Role.GUEST, TokenParams, Person,
               "Let this connection act for the person whose token it is, with that person's role.", _assume),
        Method("session.list", Role.VIEWER, api.Nothing, PersonSessions,
               "Who is signed in: your sessions, for admins everybody's.", _list),
        Method("session.close", Role.VIEWER, CloseParams, api.Acknowledged,
               "Sign out: this session, or another one of yours.", _close),
    )  # fmt: skip
