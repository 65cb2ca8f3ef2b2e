"""One message of a client and its answer: requests are called, whatever comes of them becomes an answer that fits."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from migmond.domain import api
from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded, NotPermitted
from migmond.domain.event_api import SubscribeParams
from migmond.domain.identity import Peer, Role
from migmond.domain.people import Person
from migmond.rpc.backend import Backend
from migmond.rpc.faults import error_object
from migmond.rpc.registry import Context, Registry
from migmond.rpc.session import ConnectionLimits
from migmond.rpc.subscribed import Subscribed
from migmond.rpc.subscriptions import Subscriber
from migmond.wire.jsonrpc import METHOD_NOT_FOUND, Encoding, ErrorObject, Failure, RequestId, Success
from migmond.wire.requests import Batch, Malformed, Request, RequestCodec

MAX_PARAMS_BYTES = 1 << 20
"""Of one request. A megabyte of the shortest strings takes 30 MiB and 20 ms to decode; a whole frame of them took half
a gigabyte, and all others waited meanwhile."""
_ERROR_BYTES = 400
"""Room in a frame that each answer of a batch is sure of: enough to say that the real one does not fit."""


class Caller:
    """Who is at the other end of a connection, and what serves them: what all exchanges of a connection share.

    Attributes:
        peer: as whom they act.
        person: whom the connection acts for, None when for whoever is at its other end.
        subscribed: their subscriptions.
        codec: how they write; msgpack until the first byte says otherwise.
    """

    def __init__(
        self,
        peer: Peer,
        registry: Registry,
        backend: Backend,
        limits: ConnectionLimits,
        subscribed: Subscribed,
        log: Callable[..., None],
    ) -> None:
        self.peer = peer
        self.person: Person | None = None
        self.registry = registry
        self.backend = backend
        self.limits = limits
        self.subscribed = subscribed
        self.codec = RequestCodec(Encoding.MSGPACK)
        self._log = log

    def assume(self, peer: Peer, person: Person) -> None:
        """Act for a person from now on, see `rpc.session.Session.assume`."""
        if self.person is not None or self.subscribed.count:
            raise Conflict("this connection acts for somebody already", hint="open another one")
        self.peer, self.person = peer, person

    def failure(self, id_: RequestId, error: Exception) -> bytes:
        """Return the answer that says what went wrong with a request."""
        found = error_object(error, self._log)
        answer = self.codec.encode(Failure(id_, found))
        # An id may fill a frame by itself.
        return answer if len(answer) <= self.limits.max_frame_bytes else self.codec.encode(Failure(None, found))

    def joined(self, answers: list[bytes]) -> bytes:
        """Return the answer to a batch."""
        return self.codec.encode([msgspec.Raw(a) for a in answers])

    def not_called(self, item: Request | Malformed, error: Exception) -> bytes | None:
        """Return the answer to what is not called because of `error`; None to a notification."""
        if isinstance(item, Malformed):
            return self.failure(item.id, item)
        return None if item.notification else self.failure(item.id, error)

    def refusal(self, message: Request | Batch, error: Exception) -> bytes | None:
        """Return the answer to a message of which nothing is called; None when nobody waits for one."""
        if isinstance(message, Request):
            return self.not_called(message, error)
        answers = [a for item in message.items if (a := self.not_called(item, error)) is not None]
        return self.joined(answers) if answers else None


class Exchange:
    """One message and its answer. Implements `rpc.session.Session` for the handlers that it calls.

    Args:
        has_left: whether nobody is there any more for whom the rest of a batch would only be told.
    """

    def __init__(self, caller: Caller, has_left: Callable[[], bool]) -> None:
        self._caller = caller
        self._has_left = has_left
        self._begun: list[Subscriber] = []

    @property
    def peer(self) -> Peer:
        return self._caller.peer

    @property
    def limits(self) -> ConnectionLimits:
        return self._caller.limits

    @property
    def person(self) -> Person | None:
        """See `rpc.session.Session`."""
        return self._caller.person

    def assume(self, peer: Peer, person: Person) -> None:
        """See `rpc.session.Session`."""
        self._caller.assume(peer, person)

    def subscribe(self, params: SubscribeParams) -> tuple[int, int, bool]:
        """See `rpc.session.Session`."""
        subscriber, last_event, gap = self._caller.subscribed.add(params, self._caller.peer)
        self._begun.append(subscriber)
        return subscriber.number, last_event, gap

    def unsubscribe(self, subscription: int) -> None:
        """See `rpc.session.Session`."""
        self._caller.subscribed.end(subscription)

    def answered(self) -> None:
        """The answer is on its way: let the events follow it."""
        for subscriber in self._begun:
            subscriber.begun = True

    async def answer(self, message: Request | Batch) -> bytes | None:
        """Call what is asked for. Returns the encoded answer, which fits into a frame; None when nobody waits for one.

        What goes wrong with a request is in its answer, whatever it is: the connection lives on.
        """
        if isinstance(message, Request):
            return await self._answer(message, self._caller.limits.max_frame_bytes)
        answers = await self._answer_all(message)
        return self._caller.joined(answers) if answers else None

    async def _answer_all(self, batch: Batch) -> list[bytes]:
        """Answer one after the other. What would not fit into one frame with the answers before is not called."""
        answers: list[bytes] = []
        room = self._caller.limits.max_frame_bytes - _ERROR_BYTES * len(batch.items)
        for item in batch.items:
            if not self._changes_something(item) and self._has_left():
                continue
            if room > 0:
                answer = await self._answer(item, room)
            else:
                full = LimitExceeded("the answers of this batch fill a frame", hint="use smaller batches")
                answer = self._caller.not_called(item, full)
            if answer is not None:
                answers.append(answer)
                room -= max(0, len(answer) - _ERROR_BYTES)
            # Handlers that never wait must not keep the other clients waiting for the whole batch.
            await trio.lowlevel.checkpoint()
        return answers

    def _changes_something(self, item: Request | Malformed) -> bool:
        """What a client asked for before it left is done; what only tells it something need not be."""
        method = self._caller.registry.get(item.method) if isinstance(item, Request) else None
        return method is not None and method.role > Role.VIEWER

    async def _answer(self, item: Request | Malformed, room: int) -> bytes | None:
        """Return the answer's bytes, at most `room` unless it is an error; None to a notification."""
        if isinstance(item, Malformed):
            return self._caller.failure(item.id, item)
        mark = len(self._begun)
        try:
            result = await self._call(item)
            if isinstance(result, Failure):
                answer = self._caller.codec.encode(result)
            else:
                answer = self._caller.codec.encode_success(Success(item.id, result))
            if len(answer) > room and not item.notification:
                raise LimitExceeded(
                    f"the answer has {len(answer)} bytes, {room} fit into the frame", hint="ask for less at a time"
                )
        except Exception as e:  # the boundary: every exception becomes a code here, the connection lives on
            self._undo_from(mark)
            answer = self._caller.failure(item.id, e)
        return None if item.notification else answer

    def _undo_from(self, mark: int) -> None:
        """A request failed: nobody learns the number of what it subscribed to since `mark`."""
        for subscriber in self._begun[mark:]:
            self._caller.subscribed.drop(subscriber)
        del self._begun[mark:]

    async def _call(self, request: Request) -> api.Result | Failure:
        caller = self._caller
        method = caller.registry.get(request.method)
        if method is None:
            data: dict[str, object] = {"kind": "not_found", "hint": "system.methods lists them all"}
            return Failure(request.id, ErrorObject(METHOD_NOT_FOUND, f"no method {request.method[:100]!r}", data))
        if caller.person is not None and not caller.backend.people.is_open(caller.person.session):
            raise NotPermitted("that session is over", hint="sign in again: migmon dash")
        if caller.peer.role < method.role:
            needed, role = method.role.name.lower(), caller.peer.role.name.lower()
            raise NotPermitted(f"{method.name} needs the role {needed}, you are {role}", hint="ask an administrator")
        if len(bytes(request.params)) > MAX_PARAMS_BYTES:
            raise InvalidInput(
                f"the parameters have {len(bytes(request.params))} bytes, the limit is {MAX_PARAMS_BYTES}",
                hint="no method needs that many",
            )
        try:
            empty = not bytes(request.params)
            params = method.params() if empty else caller.codec.convert(request.params, method.params)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError) as e:
            raise msgspec.ValidationError(f"parameters of {method.name}: {e}") from e
        result: api.Result = await method.handler(Context(caller.backend, self, caller.registry), params)
        return result
