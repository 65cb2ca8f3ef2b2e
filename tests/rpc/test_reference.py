"""Nothing in the API is without documentation, and every error has a code."""

from __future__ import annotations

import inspect
import typing

import msgspec
import pytest

from migmond.domain import api, errors, events
from migmond.domain.errors import PluginError
from migmond.domain.identity import Role
from migmond.rpc.faults import CODES, code_of
from migmond.rpc.methods import standard_registry
from migmond.rpc.reference import reference
from migmond.rpc.registry import Method, Registry


def all_errors() -> list[type[errors.MigmondError]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.MigmondError)]


def test_every_method_is_described_with_schemas() -> None:
    described = standard_registry().describe()
    assert len(described.methods) == len(standard_registry().all()) >= 24
    for method in described.methods:
        assert method.help.endswith(".")
        assert method.params
        assert method.result
    assert msgspec.json.encode(described)


@pytest.mark.parametrize("error", all_errors())
def test_every_error_has_a_code_of_its_own_and_a_docstring(error: type[errors.MigmondError]) -> None:
    assert error in CODES
    assert code_of(error("x")) == CODES[error]
    assert error.__doc__
    assert list(CODES.values()).count(CODES[error]) == 1


def test_event_types_are_unique_dotted_and_in_the_reference() -> None:
    text = reference(standard_registry())
    kinds = typing.get_args(events.Event)
    tags = [k.__struct_config__.tag for k in kinds]
    assert len(set(tags)) == len(tags)
    for tag in tags:
        assert "." in tag
        assert f"`{tag}`" in text
    for method in standard_registry().all():
        assert f"`{method.name}`" in text


async def _nothing(ctx: object, params: api.Nothing) -> api.Acknowledged:
    return api.Acknowledged()


@pytest.mark.parametrize(
    ("name", "role", "help_"),
    [("bad", Role.VIEWER, "h"), ("a.b", None, "h"), ("a.b", Role.VIEWER, " "), ("system.hello", Role.VIEWER, "h")],
)
def test_a_method_without_name_role_or_help_does_not_load(name: str, role: Role, help_: str) -> None:
    registry: Registry = standard_registry()
    with pytest.raises(PluginError):
        registry.add(Method(name, role, api.Nothing, api.Acknowledged, help_, _nothing))
