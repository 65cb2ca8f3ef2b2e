"""How actions of rules are written on the command line."""

from __future__ import annotations

import pytest

from migmond.cli.commands.rules import parse_action
from migmond.domain.errors import InvalidInput


def test_values_and_lists() -> None:
    call = parse_action("exec:argv+=/hooks/tell,argv+=7,argv+=a\\,b")
    assert (call.name, call.parameters) == ("exec", {"argv": ["/hooks/tell", "7", "a,b"]})
    assert parse_action("pause:lasts=10m,resume=true,n=3").parameters == {"lasts": "10m", "resume": True, "n": 3}


@pytest.mark.parametrize("text", ["exec:argv=/a,argv+=b", "exec:argv", ":argv+=/a"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_action(text)
