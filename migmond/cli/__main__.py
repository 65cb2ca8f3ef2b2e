"""The program `migmon`: starts and ends as fast as it can, for people and completion wait for it.

Of the 80 ms that `migmon ls` took, collecting garbage among what was just imported was 5, `inspect` and what it pulls
in 8, and taking everything apart again at the end 11.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from types import ModuleType
from typing import Any


class _InspectOnUse(ModuleType):
    """What click finds as `inspect`: of which it needs, unless help is asked for, `cleandoc` of single lines only."""

    @staticmethod
    def cleandoc(doc: str) -> str:
        """Do what `inspect.cleandoc` does."""
        if "\n" in doc:
            text: str = importlib.import_module("inspect").cleandoc(doc)
            return text
        return doc.expandtabs().lstrip()

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("inspect"), name)


def run() -> None:
    """Run `migmon` and end the process."""
    gc.disable()
    # Nothing was asked of the daemon yet: Ctrl-C ends us as it ends any program, without a traceback from an import.
    obeyed = signal.getsignal(signal.SIGINT)
    if obeyed is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # msgspec takes what it needs from `typing` where this is missing; since 3.11 all of it is there, 4 ms earlier.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    inspect = sys.modules.setdefault("inspect", _InspectOnUse("inspect"))
    from migmond.cli.main import main

    del sys.modules["typing_extensions"]
    if isinstance(inspect, _InspectOnUse):
        del sys.modules["inspect"]  # click has it; whoever imports it from here on gets the real one
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, obeyed)
    code: int | str | None = 0
    try:
        main()
    except SystemExit as e:
        code = e.code
    if not isinstance(code, int):
        sys.exit(code)
    # All that was written is flushed by `main`; the kernel takes the rest back faster than the interpreter does.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
