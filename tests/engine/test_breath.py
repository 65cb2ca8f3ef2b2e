"""Whoever does something long lets others have the loop."""

from __future__ import annotations

from trio.testing import assert_checkpoints, assert_no_checkpoints

from migmond.breath import LONGEST_S, Breath


async def test_only_who_had_the_loop_for_long_takes_a_breath() -> None:
    now = 5.0
    breath = Breath(lambda: now)
    with assert_no_checkpoints():
        await breath.take()
    now += 2 * LONGEST_S
    with assert_checkpoints():
        await breath.take()
    with assert_no_checkpoints():
        await breath.take()
