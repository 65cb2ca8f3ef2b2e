"""Decoders of one type that several threads make at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, threading
from migmond.analytics.batches import Batches
from migmond.domain.execution import Totals
from migmond.domain.packing import Unpacker, pack
from migmond.engine.parts import Kept

sys.setswitchinterval(1e-6)
body, together = pack(Kept(Totals(), None, (), Batches(None).state())), threading.Barrier(4)

def make() -> None:
    together.wait()
    for _ in range(20):
        Unpacker[Kept](Kept).unpack(body)

threads = [threading.Thread(target=make) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
"""With msgspec's own decoders every third process of this kind was ended by SIGSEGV."""


def test_threads_that_begin_with_the_same_type_do_not_end_the_process() -> None:
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PYTHONDONTWRITEBYTECODE": "1"}
    codes = [subprocess.run([sys.executable, "-c", PROGRAM], env=paths, check=False).returncode for _ in range(12)]
    assert codes == [0] * 12


def test_nobody_else_makes_decoders() -> None:
    made = re.compile(r"\bmsgspec\.(?:(?:msgpack|json)\.(?:decode|Decoder)(?:\[.*\])?|convert)\(")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for top in (ROOT / "migmond", ROOT / "plugins")
        for path in sorted(top.rglob("*.py"))
        if path != ROOT / "migmond" / "domain" / "decoding.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if made.search(line)
    ]
    assert found == [], "use migmond.domain.decoding: msgspec's own are not for several threads"
