"""Exports, read back by readers that others have written or that follow the grammar letter by letter."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.export import csv_lines, guarded, json_lines, plain_row, unguarded
from migmond.analytics.exposition import (
    DROPPED,
    MAX_LABEL_CHARS,
    MAX_SERIES,
    Family,
    FamilyKind,
    Series,
    check,
    exposition,
    number,
)
from migmond.analytics.parquet import write_parquet
from migmond.analytics.schemas import Column, Kind, Table, Value, markdown, table, tables
from migmond.domain.errors import InvalidInput, Unavailable
from migmond.domain.names import from_text

EVERY = Table(
    "every",
    "One column of each kind.",
    tuple(Column(kind.value, kind, "", f"A {kind.value}.") for kind in Kind),
)
TEXTS = st.text() | st.sampled_from(
    [
        "=1+1",
        "+1",
        "-2+3",
        "@SUM(A1)",
        "'quoted",
        '=HYPERLINK("http://x","y")',
        "\t=1",
        "a,b",
        'a"b',
        "a\r\nb",
        " a ",
        "＝1",
    ]
)
TIMES = st.integers(-(10**10), 10**11).map(lambda ms: ms / 1000)
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS, st.none() | st.binary(), st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
        st.none() | st.floats(), st.none() | st.booleans(), st.none() | TIMES,
    ),
    max_size=8,
)  # fmt: skip


def surrogates_escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@given(ROWS)
def test_csv_comes_back_as_it_was(rows: list[tuple[Value, ...]]) -> None:
    data = b"".join(csv_lines(EVERY, rows)).decode()
    read = list(csv.reader(io.StringIO(data, newline=""), strict=True))
    assert read[0] == [k.value for k in Kind]
    assert len(read) == len(rows) + 1
    for (text, path, integer, value, flag, at), cells in zip(rows, read[1:], strict=True):
        assert unguarded(cells[0]) == surrogates_escaped(str(text or ""))
        assert from_text(unguarded(cells[1])) == (path or b"")
        assert cells[2] == ("" if integer is None else str(integer))
        assert cells[3] == ("" if value is None or not math.isfinite(float(value)) else repr(value))
        assert cells[4] == {None: "", True: "true", False: "false"}[flag]  # type: ignore[index]
        if at is None:
            assert cells[5] == ""
        else:
            assert datetime.datetime.fromisoformat(cells[5]).timestamp() == pytest.approx(at, abs=0.0011)


@given(TEXTS, st.binary())
def test_no_text_in_csv_runs_as_a_formula(text: str, path: bytes) -> None:
    (_, line) = csv_lines(
        Table("t", "", (Column("a", Kind.TEXT, "", ""), Column("b", Kind.PATH, "", ""))), [(text, path)]
    )
    for cell in next(csv.reader(io.StringIO(line.decode(), newline=""))):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("first", list("=+-@\t\r\n＝＋－＠'"))
def test_each_way_to_begin_a_formula_is_guarded(first: str) -> None:
    assert guarded(first + "1") == "'" + first + "1"
    assert guarded("1" + first) == "1" + first


def test_csv_by_hand() -> None:
    rows: list[tuple[Value, ...]] = [('say "hi", you', b"=cmd|' /C calc'!A0\n\xff", -5, 0.1, True, 1.5e9)]
    assert b"".join(csv_lines(EVERY, rows)).split(b"\r\n") == [
        b"text,path,integer,number,boolean,time",
        b'"say ""hi"", you",\'=cmd|\' /C calc\'!A0\\x0a\\xff,-5,0.1,true,2017-07-14T02:40:00.000+00:00',
        b"",
    ]


@given(ROWS)
def test_json_lines_come_back_as_they_were(rows: list[tuple[Value, ...]]) -> None:
    lines = list(json_lines(EVERY, rows))
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        read = json.loads(line)
        assert list(read) == [k.value for k in Kind]
        assert list(read.values()) == plain_row(EVERY, row)
        assert read["path"] is None or from_text(read["path"]) == row[1]


@pytest.mark.parametrize(
    "row",
    [
        (),
        ("a",),
        (b"a", None, None, None, None, None),
        (None, "a", None, None, None, None),
        (None, None, 1.5, None, None, None),
        (None, None, 2**63, None, None, None),
        (None, None, True, None, None, None),
        (None, None, None, None, 1, None),
        (None, None, None, None, None, 1e30),
    ],
)
def test_what_does_not_fit_is_refused(row: tuple[Value, ...]) -> None:
    with pytest.raises(InvalidInput):
        list(csv_lines(EVERY, [row]))
    with pytest.raises(InvalidInput):
        list(json_lines(EVERY, [row]))


def test_every_table_is_documented() -> None:
    names = [t.name for t in tables()]
    assert len(set(names)) == len(names)
    page = markdown()
    for one in tables():
        assert f"## {one.name}\n" in page
        assert len(set(one.names())) == len(one.columns)
        for column in one.columns:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name)
            assert column.meaning.endswith(".")
            assert f"| {column.name} | {column.kind.value} |" in page
            if column.name.endswith("_s"):
                assert column.unit in {"seconds", "bytes per second"}
        empty = tuple(None for _ in one.columns)
        assert len(list(csv_lines(one, [empty]))) == 2
    assert table("files") is not None
    assert table("nothing") is None


# --- Parquet ---------------------------------------------------------------------------------------


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Unavailable) as e:
        write_parquet(EVERY, [], io.BytesIO())
    assert "migmond[parquet]" in e.value.hint


def test_parquet_comes_back_as_it_was() -> None:
    pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[tuple[Value, ...]] = [
        ("=1+1", b"a\n\xff", -(2**62), 0.1, True, 1.5e9),
        (None, None, None, None, None, None),
        ("", b"", 0, math.nan, False, 0.001),
    ]
    sink = io.BytesIO()
    assert write_parquet(EVERY, iter(rows * 3), sink) == 9
    sink.seek(0)
    read = parquet.read_table(sink)
    assert read.schema.names == [k.value for k in Kind]
    assert read.schema.field("path").metadata == {b"unit": b"", b"meaning": b"A path."}
    assert read.schema.metadata[b"table"] == b"every"
    first, empty, zero = read.to_pylist()[:3]
    when = datetime.datetime.fromtimestamp(1.5e9, datetime.UTC)
    assert first == {
        "text": "=1+1", "path": "a\\x0a\\xff", "integer": -(2**62), "number": 0.1, "boolean": True, "time": when
    }  # fmt: skip
    assert set(empty.values()) == {None}
    assert (zero["text"], zero["path"], zero["number"], zero["boolean"]) == ("", "", None, False)
    assert zero["time"].timestamp() == pytest.approx(0.001)


# --- Prometheus ------------------------------------------------------------------------------------

_VALUE = r'"((?:[^"\\\n]|\\[\\"n])*)"'
_LINE = re.compile(rf"([a-z_][a-z0-9_]*)(?:\{{((?:[a-z_]\w*={_VALUE},?)*)\}})? (\S+)")


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the format by its grammar; refuse samples before their TYPE and series that come twice."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    current = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# TYPE "):
            current = line.split(" ")[2]
            assert current not in found
            found[current] = {}
        elif not line.startswith("# HELP "):
            match = _LINE.fullmatch(line)
            assert match is not None, line
            assert match.group(1) == current
            pairs = tuple(
                (name, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), value))
                for name, value in re.findall(rf"([a-z_]\w*)={_VALUE}", match.group(2) or "")
            )
            assert pairs not in found[current]
            found[current][pairs] = float(match.group(4))
    return found


BYTES = Family(
    "migmond_transferred_bytes_total",
    FamilyKind.COUNTER,
    "bytes",
    "What was\nmoved \\ all.",
    ("execution", "src_device"),
)
HOT = Family("migmond_device_temperature_celsius", FamilyKind.GAUGE, "celsius", "How warm.", ("device",))


@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.none() | st.floats()), max_size=20),
)
def test_labels_and_values_come_back(rows: list[tuple[str, str, float | None]]) -> None:
    text = "".join(exposition([(BYTES, [Series((a, b), v) for a, b, v in rows])]))
    expected: dict[tuple[tuple[str, str], ...], float] = {}
    for a, b, value in rows:
        key: tuple[tuple[str, str], ...] = (("execution", surrogates_escaped(a)), ("src_device", surrogates_escaped(b)))
        if value is not None:
            expected.setdefault(key, value)
    found = parsed(text)[BYTES.name]
    assert found.keys() == expected.keys()
    for labels, number_of in expected.items():
        assert found[labels] == pytest.approx(number_of, rel=0, abs=0, nan_ok=True)
    left_out = sum(v is not None for _, _, v in rows) - len(expected)
    assert parsed(text)[DROPPED] == {(("metric", BYTES.name),): left_out}


def test_exposition_by_hand() -> None:
    text = "".join(
        exposition([(BYTES, [Series(('8f"3', "a\\b\n"), 12345678901234.0)]), (HOT, [Series(("sdd",), 50.5)])])
    )
    assert text == (
        "# HELP migmond_transferred_bytes_total What was\\nmoved \\\\ all.\n"
        "# TYPE migmond_transferred_bytes_total counter\n"
        'migmond_transferred_bytes_total{execution="8f\\"3",src_device="a\\\\b\\n"} 12345678901234\n'
        "# HELP migmond_device_temperature_celsius How warm.\n"
        "# TYPE migmond_device_temperature_celsius gauge\n"
        'migmond_device_temperature_celsius{device="sdd"} 50.5\n'
        "# HELP migmond_export_dropped_series Series that this answer leaves out, by metric: too many.\n"
        "# TYPE migmond_export_dropped_series gauge\n"
        'migmond_export_dropped_series{metric="migmond_transferred_bytes_total"} 0\n'
        'migmond_export_dropped_series{metric="migmond_device_temperature_celsius"} 0\n'
    )
    assert [number(v) for v in (math.inf, -math.inf, math.nan, 1e300, 0.1)] == ["+Inf", "-Inf", "NaN", "1e+300", "0.1"]


def test_labels_are_bounded() -> None:
    many = [Series((f"disk{i}",), 1.0) for i in range(MAX_SERIES + 7)]
    found = parsed("".join(exposition([(HOT, many)])))
    assert len(found[HOT.name]) == MAX_SERIES
    assert found[DROPPED] == {(("metric", HOT.name),): 7}
    (key,) = parsed("".join(exposition([(HOT, [Series(("x" * 500,), 1.0)])])))[HOT.name]
    assert len(key[0][1]) == MAX_LABEL_CHARS


@pytest.mark.parametrize(
    ("family", "why"),
    [
        (Family("transferred_bytes", FamilyKind.GAUGE, "bytes", "x"), "begins with migmond_"),
        (Family("migmond_Bytes", FamilyKind.GAUGE, "", "x"), "lower case"),
        (Family("migmond_files", FamilyKind.COUNTER, "", "x"), "_total"),
        (Family("migmond_files_total", FamilyKind.GAUGE, "", "x"), "_total"),
        (Family("migmond_bytes_written", FamilyKind.GAUGE, "bytes", "x"), "ends with its unit"),
        (Family("migmond_speed_mib", FamilyKind.GAUGE, "mib", "x"), "no base unit"),
        (Family("migmond_x", FamilyKind.GAUGE, "", ""), "no help"),
        (Family("migmond_x", FamilyKind.GAUGE, "", "x", ("path",)), "as many values"),
        (Family("migmond_x", FamilyKind.GAUGE, "", "x", ("a", "a")), "each once"),
        (Family("migmond_x", FamilyKind.GAUGE, "", "x", tuple("abcdefg")), "at most"),
        (Family("migmond_x", FamilyKind.GAUGE, "", "x", ("__name",)), "no name for a label"),
    ],
)  # fmt: skip
def test_conventions_are_kept(family: Family, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check(family)
    with pytest.raises(InvalidInput, match=why):
        list(exposition([(family, [])]))


def test_a_metric_comes_once_and_has_its_labels() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        list(exposition([(HOT, []), (HOT, [])]))
    with pytest.raises(InvalidInput, match="1 labels, not 2"):
        list(exposition([(HOT, [Series(("a", "b"), 1.0)])]))
