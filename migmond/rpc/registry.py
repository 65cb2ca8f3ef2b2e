"""Methods as records: dispatch, roles, `system.methods` and the reference documentation all derive from them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from migmond.domain import api, daemon_api
from migmond.domain.errors import PluginError
from migmond.domain.identity import Role
from migmond.rpc.backend import Backend
from migmond.rpc.session import Session

P = TypeVar("P", bound=api.Params)
R = TypeVar("R", bound=api.Result)

_NAME = re.compile(r"[a-z]+\.[a-z_]+")


class Context(msgspec.Struct, frozen=True):
    """What a handler is given besides its parameters."""

    backend: Backend
    session: Session
    registry: Registry


class Method(msgspec.Struct, Generic[P, R], frozen=True):
    """One method.

    Attributes:
        name: `noun.verb`.
        role: the least role that may call it.
        help: one or two sentences for the reference.
        handler: does it, or raises MigmondError.
    """

    name: str
    role: Role
    params: type[P]
    result: type[R]
    help: str
    handler: Callable[[Context, P], Awaitable[R]]


class Registry:
    """All methods of a daemon. A method without name, role or help does not load."""

    def __init__(self) -> None:
        self._methods: dict[str, Method[Any, Any]] = {}
        self._described: daemon_api.MethodList | None = None

    def add(self, *methods: Method[Any, Any]) -> None:
        """Add methods.

        Raises:
            PluginError: a bad or taken name, no role, or no help.
        """
        for method in methods:
            if not _NAME.fullmatch(method.name):
                raise PluginError(f"method name {method.name!r} is not noun.verb")
            if method.name in self._methods:
                raise PluginError(f"method {method.name} exists already")
            if not isinstance(method.role, Role):
                raise PluginError(f"method {method.name} has no role")
            if not method.help.strip():
                raise PluginError(f"method {method.name} has no help")
            self._methods[method.name] = method
            self._described = None

    def get(self, name: str) -> Method[Any, Any] | None:
        return self._methods.get(name)

    def all(self) -> list[Method[Any, Any]]:
        """All methods by name."""
        return [self._methods[name] for name in sorted(self._methods)]

    def describe(self) -> daemon_api.MethodList:
        """Return every method with its schemas (JSON Schema 2020-12). Made once: it takes 17 ms."""
        if self._described is not None:
            return self._described
        methods = self.all()
        types = [t for m in methods for t in (m.params, m.result)]
        schemas, components = msgspec.json.schema_components(types, ref_template="#/schemas/{name}")
        views = tuple(
            daemon_api.MethodView(m.name, m.role.name.lower(), m.help, schemas[2 * i], schemas[2 * i + 1])
            for i, m in enumerate(methods)
        )
        self._described = daemon_api.MethodList(views, components)
        return self._described
