"""Running a piece of a test as somebody without rights. Needs root."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

NOBODY = 65534

T = TypeVar("T")


def as_user(function: Callable[[], T], *, uid: int = NOBODY, gid: int = NOBODY, groups: tuple[int, ...] = ()) -> T:
    """Call `function` in a child process with those ids and return what it returns (pickled).

    Open fds are shared with the child, paths may be out of its reach: pytest's directories are root's own.

    Raises:
        AssertionError: it raised; the message is its traceback.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            answer = pickle.dumps((True, function()))
        except BaseException:  # whatever it is belongs into the parent's report, not past this fork
            answer = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ok, value = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    assert ok, value
    result: T = value
    return result
