"""Commands are imported when they are called: `migmon ls` does not pay for `migmon run`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class ReaderGone(Exception):
    """Whoever read our output has left. Click would make an exit code of the BrokenPipeError."""


class LazyGroup(click.Group):
    """A group whose commands are `module:attribute`, by name.

    Args:
        lazy: where each command is.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = self._lazy.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError as e:  # of --help
            raise ReaderGone from e

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as e:
            raise ReaderGone from e
        except click.UsageError as e:
            if e.ctx is None and ctx.invoked_subcommand is not None:  # click's parser does not say whose option it was
                command = self.get_command(ctx, ctx.invoked_subcommand)
                if command is not None:
                    e.ctx = click.Context(command, info_name=ctx.invoked_subcommand, parent=ctx)
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._lazy:
            import difflib

            near = difflib.get_close_matches(args[0], self._lazy, 2, 0.6)
            meant = f": did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no such command {args[0]!r}{meant}")
        return super().resolve_command(ctx, args)
