"""The command receipt: what became of every entry of a migration, to keep and to check."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import meant, named
from migmond.cli.parse import PATH, execution_argument, global_options
from migmond.cli.render.text import clock, count, printable
from migmond.cli.seals import Verdict, compare
from migmond.cli.state import State
from migmond.client.errors import RemoteError
from migmond.client.receipt import ReceiptStream
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.decoding import from_json
from migmond.domain.receipt import ReceiptFooter, ReceiptHeader, Seals, check_receipt
from migmond.domain.units import show_size

_LINE_BYTES = 16 << 20
"""No line is longer: the daemon sends no more in one piece."""
_SHOWN_EVERY = 5_000
_PRIVATE = 0o600


@click.command()
@execution_argument(required=False)
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write it to FILE, whole or not at all.")
@click.option("--check", "saved", type=PATH, metavar="FILE", help="Check a saved one; without ID no daemon is needed.")
@global_options
@click.pass_obj
def receipt(state: State, id_: str | None, output: str | None, saved: str | None) -> None:
    """Print what became of every entry of a migration. In JSON lines, with size, time, hash and outcome.

    Once a migration has ended its receipt is the same, byte for byte, whenever you ask. The last line has the SHA-256
    of all others, and the journal keeps it from the first time on. --check FILE tells whether a saved one is intact,
    and which line is not; with ID it is compared with the journal too, which finds one that was rewritten as a whole.
    """
    if saved is not None and output is not None:
        raise click.UsageError("--output writes a new receipt, --check reads a saved one: give one of them")
    if id_ is None and saved is None:
        raise click.UsageError("give the ID of a migration, or --check FILE, or both")
    if saved is not None:
        _check(state, saved, id_)
    elif id_ is not None:
        _fetch(state, id_, output)


def _fetch(state: State, id_: str, output: str | None) -> None:
    if output is not None and not state.yes and os.path.lexists(output):
        complain(f"{output} exists", "choose another name, or replace it with -y")
        sys.exit(Exit.USAGE)
    with connect(state) as client:
        stream = ReceiptStream(client, meant(state, client, id_).id)
        if output is None:
            last = _print(stream)
        elif state.dry_run:
            state.say(f"the receipt of {stream.header.name} would be written to {output}")
            return
        else:
            last = _write(state, stream, output)
        header, footer = stream.header, from_json(last, ReceiptFooter)
        verdict = compare(header, footer, _seals(client, header.execution)) if header.final else None
    if output is not None and state.json:
        state.emit("receipt", _facts(output, header, footer))
    elif output is not None:
        state.show([f"{output}: {_summary(header, footer)}", f"sha256 {footer.sha256}"])
    if not header.final:
        state.say(f"{header.name} is {header.state}: this receipt is not final")
    if verdict is not None and not verdict.same:
        complain(f"the journal does not say what it said before: {verdict.message}", "see migmon doctor")
        sys.exit(Exit.FAILED)


def _print(stream: ReceiptStream) -> bytes:
    line = b""
    for line in stream.lines():
        sys.stdout.buffer.write(line)
    return line


def _write(state: State, stream: ReceiptStream, output: str) -> bytes:
    """Write it beside FILE and give it that name when it is whole and durable."""
    partial = f"{output}.{os.getpid()}.part"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    except OSError as e:  # people have not heard of that name
        raise OSError(e.errno, e.strerror, output) from e
    line = b""
    try:
        with open(fd, "wb") as file:
            for line in stream.lines():
                file.write(line)
                if state.live() and stream.entries % _SHOWN_EVERY == 0:
                    sys.stderr.write(f"\r{stream.entries:,} entries")
                    sys.stderr.flush()
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, output)
    except BaseException:
        os.unlink(partial)
        raise
    finally:
        if state.live():
            sys.stderr.write("\r\x1b[K")
    return line


def _seals(client: Client, execution: str) -> Seals:
    return client.call("execution.seal_receipt", api.ExecutionParams(execution), Seals)


def _check(state: State, saved: str, id_: str | None) -> None:
    try:
        with open(saved, "rb") as file:
            lines: Iterator[bytes] = iter(lambda: file.readline(_LINE_BYTES), b"")
            found = check_receipt(lines)
    except OSError as e:
        complain(f"{e.strerror}: {saved}", "migmon receipt ID -o FILE writes one, --check FILE reads it")
        sys.exit(Exit.FAILED)
    header, footer = found.header, found.footer
    verdict: Verdict | None = None
    if header and footer and id_ is not None:
        with connect(state) as client:
            verdict = compare(header, footer, _seals(client, _compared_with(client, id_, header)))
    if state.json:
        facts = {"file": printable(saved), "intact": not found.damage, "line": found.line, "damage": found.damage}
        facts |= {"journal": verdict.message, "same": verdict.same} if verdict else {}
        state.emit("receipt_check", facts | (_facts(saved, header, footer) if header and footer else {}))
    if header is None or footer is None:
        again = f"migmon receipt {header.execution} makes it again" if header else "migmon receipt ID makes one"
        complain(f"{saved} is damaged at line {found.line:,}: {found.damage}", f"{again} from the journal")
        sys.exit(Exit.FAILED)
    if verdict is not None and not verdict.same:
        complain(f"{saved} adds up, but {verdict.message}", f"migmon receipt {header.execution} makes the true one")
        sys.exit(Exit.FAILED)
    if not state.json:
        compared = [verdict.message] if verdict else []
        state.show([f"{saved}: intact: {_summary(header, footer)}", f"sha256 {footer.sha256}", *compared])
    if not header.final:
        state.say(f"it is not final: {header.name} was {header.state}")


def _compared_with(client: Client, id_: str, header: ReceiptHeader) -> str:
    """Return the id of the migration that is meant: of several that have the name, the one that the receipt names."""
    try:
        return named(client, id_).id
    except RemoteError as e:
        if e.kind != "ambiguous":
            raise
        own = named(client, header.execution)
        if own.name != id_:
            raise
        return own.id


def _summary(header: ReceiptHeader, footer: ReceiptFooter) -> str:
    ended = f", ended {clock(header.ended_at)}" if header.ended_at else ""
    total, states = footer.sum, footer.sum.states
    parts = [f"{tally.entries:,} {name}" for name, tally in states.items()]
    unhashed = f", {count(total.unhashed, 'file')} without hash" if total.unhashed else ""
    return (
        f"{header.name} ({header.execution[:6]}) {header.state}{ended}: "
        f"{count(total.entries, 'entry', 'entries')}, {show_size(total.bytes)} ({', '.join(parts)}){unhashed}"
    )


def _facts(path: str, header: ReceiptHeader, footer: ReceiptFooter) -> dict[str, object]:
    return {"file": printable(path), "header": header, "sum": footer.sum, "sha256": footer.sha256}
