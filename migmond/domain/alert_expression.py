"""Conditions as people write them, and back.

    condition = series operator value [ "resolve" value ] [ "for" duration ] [ "keep" duration ]
                [ "missing" ( "fire" | "keep" ) ]
    series    = aggregation "(" selected ")" | selected
    selected  = metric [ "{" label "=" text { "," label "=" text } "}" ] [ "[" duration "]" ]

`avg(migmond_execution_bytes_per_second[5m]) < 20MiB resolve 25MiB for 5m keep 1m`: the mean of five minutes is below
20 MiB for five minutes; once it fires, it is resolved when that has been at 25 MiB or above for one.
Aggregations: avg, max, min, sum, rate, last (the default). Without brackets the window is 60 s. Operators: < <= > >=
== !=. Values: a number; with a unit of size (`20MiB`, `20MiB/s`), of time (`5m`), `%` or `C`. Text of labels may be in
double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

from migmond.domain.alert import Aggregation, Condition, Missing, Operator
from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_duration, parse_size

DEFAULT_WINDOW_S = 60.0
_LONGEST = 2000
_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<operator><=|>=|==|!=|<|>)|(?P<mark>[(){}\[\],=])'
    r'|(?P<word>[^\s(){}\[\],=<>!"]+))'
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SHOWN = 30


class _Token:
    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind = kind
        self.text = text
        self.at = at


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            while text[at].isspace():
                at += 1
            _refuse(text, at, f"{text[at]!r} does not belong there")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match.group(kind), match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", end)]


def _refuse(text: str, at: int, why: str) -> NoReturn:
    """Errors show the place: what stands before it, and what follows."""
    before, after = text[max(0, at - _SHOWN) : at], text[at : at + _SHOWN]
    raise InvalidInput(
        f"{why}, at character {at + 1}: {'…' if at > _SHOWN else ''}{before} ▸ {after}",
        hint="write e.g. avg(migmond_execution_bytes_per_second) < 20MiB for 5m",
    )


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _tokens(text)
        self._next = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._next]

    def take(self) -> _Token:
        token = self.token
        self._next += token.kind != "end"
        return token

    def refuse(self, expected: str) -> NoReturn:
        found = f"{self.token.text[:_SHOWN]!r}" if self.token.text else "the end"
        _refuse(self.text, self.token.at, f"expected {expected}, found {found}")

    def skip(self, mark: str) -> bool:
        if self.token.text != mark or self.token.kind == "quoted":
            return False
        self.take()
        return True

    def need(self, mark: str, expected: str) -> None:
        if not self.skip(mark):
            self.refuse(expected)

    def word(self, expected: str) -> str:
        if self.token.kind != "word":
            self.refuse(expected)
        return self.take().text

    def duration(self) -> float:
        at = self.token.at
        word = self.word("a duration such as 5m")
        try:
            return parse_duration(word)
        except InvalidInput as e:
            _refuse(self.text, at, e.message)

    def value(self) -> float:
        at = self.token.at
        word = self.word("a value such as 20MiB, 5m, 80% or 0.5")
        found = parse_value(word)
        if found is None:
            _refuse(self.text, at, f"{word[:_SHOWN]!r} is no value: write 20MiB, 5m, 80%, 50C or 0.5")
        return found

    def labels(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        while not self.skip("}"):
            if found:
                self.need(",", "a comma or }")
            name = self.word("a label's name")
            self.need("=", f"= after {name[:_SHOWN]}")
            if self.token.kind not in ("word", "quoted"):
                self.refuse("a label's text")
            token = self.take()
            found[name] = re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text
        return found


def parse_value(word: str) -> float | None:
    """Return what `20MiB`, `20MiB/s`, `5m`, `80%`, `50C` or `0.5` mean in base units; None when it is no value."""
    if _NUMBER.fullmatch(word):
        return float(word)
    for suffix, factor in (("%", 0.01), ("°C", 1.0), ("C", 1.0)):
        if word.endswith(suffix) and _NUMBER.fullmatch(word.removesuffix(suffix)):
            return float(word.removesuffix(suffix)) * factor
    sign = -1.0 if word.startswith("-") else 1.0
    plain = word.removeprefix("-")
    for parse in (parse_duration, lambda text: float(parse_size(text.removesuffix("/s")))):
        try:
            return sign * parse(plain)
        except InvalidInput:
            continue
    return None


def parse_condition(text: str) -> Condition:
    """Return the condition that `text` says.

    Raises:
        InvalidInput: it is none; the message points at the place.
    """
    if len(text) > _LONGEST:
        raise InvalidInput(f"a condition of {len(text):,} characters", hint=f"{_LONGEST:,} are enough for any")
    p = _Parser(text)
    aggregation, at = Aggregation.LAST, p.token.at
    metric = p.word("a metric or an aggregation such as avg(")
    inside = p.skip("(")
    if inside:
        try:
            aggregation = Aggregation(metric)
        except ValueError:
            _refuse(text, at, f"{metric[:_SHOWN]!r} is no aggregation: {', '.join(a.value for a in Aggregation)}")
        metric = p.word("a metric")
    labels = p.labels() if p.skip("{") else {}
    window_s = DEFAULT_WINDOW_S
    if p.skip("["):
        window_s = p.duration()
        p.need("]", "]")
    if inside:
        p.need(")", ")")
    if p.token.kind != "operator":
        p.refuse("an operator: " + " ".join(o.value for o in Operator))
    operator = Operator(p.take().text)
    threshold = p.value()
    resolve: float | None = None
    times = {"for": 0.0, "keep": 0.0}
    missing = Missing.KEEP
    seen: set[str] = set()
    while p.token.kind != "end":
        word = p.token.text
        if word in seen or word not in ("resolve", "for", "keep", "missing"):
            p.refuse("for, keep, resolve, missing, each once, or the end")
        seen.add(p.take().text)
        if word == "resolve":
            resolve = p.value()
        elif word == "missing":
            if p.token.text not in ("fire", "keep"):
                p.refuse("fire or keep")
            missing = Missing(p.take().text)
        else:
            times[word] = p.duration()
    return Condition(
        metric, operator, threshold, aggregation, window_s, labels, resolve, times["for"], times["keep"], missing
    )


def show_condition(condition: Condition) -> str:
    """Return a condition as `parse_condition` takes it: parsing it gives the same one."""
    selected = condition.metric
    if condition.labels:
        pairs = (f"{name}={_quoted(text)}" for name, text in sorted(condition.labels.items()))
        selected += "{" + ",".join(pairs) + "}"
    if condition.window_s != DEFAULT_WINDOW_S:
        selected += f"[{_duration(condition.window_s)}]"
    if condition.aggregation is not Aggregation.LAST:
        selected = f"{condition.aggregation.value}({selected})"
    text = f"{selected} {condition.operator.value} {_value(condition, condition.threshold)}"
    if condition.resolve_threshold is not None:
        text += f" resolve {_value(condition, condition.resolve_threshold)}"
    if condition.for_s:
        text += f" for {_duration(condition.for_s)}"
    if condition.keep_firing_for_s:
        text += f" keep {_duration(condition.keep_firing_for_s)}"
    if condition.missing is Missing.FIRE:
        text += " missing fire"
    return text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_SIZES = [(unit, 1024.0**power) for power, unit in reversed([*enumerate(("KiB", "MiB", "GiB", "TiB"), 1)])]


def _value(condition: Condition, value: float) -> str:
    """With the unit that the metric's name tells of, where that is exactly the same; people read no 1099511627776."""
    rate = condition.aggregation is Aggregation.RATE
    text = ""
    if found := re.search(r"_bytes(_per_second|_total)?$", condition.metric):
        per_second = "/s" if rate or found[1] == "_per_second" else ""
        text = next(
            (f"{value / size:.0f}{unit}{per_second}" for unit, size in _SIZES if value and not value % size), ""
        )
    elif condition.metric.endswith("_seconds") and value >= 1 and not rate:
        text = _duration(value)
    elif condition.metric.endswith("_ratio") and not rate:
        text = f"{100 * value:.6g}%"
    elif condition.metric.endswith("_celsius") and not rate:
        text = f"{_number(value)}C"
    return text if parse_value(text) == value else _number(value)


def _number(value: float) -> str:
    """Exact, and short where it can be."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else repr(value)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{_plain(seconds)}s"


def _plain(seconds: float) -> str:
    """Durations have no exponents."""
    text = repr(seconds).removesuffix(".0")
    return text if "e" not in text else f"{seconds:.12f}".rstrip("0").rstrip(".")
