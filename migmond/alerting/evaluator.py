"""All rules about all series: takes readings as they come, and says which alerts have changed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from migmond.alerting.judging import Verdict, closed, stepped, verdict
from migmond.alerting.window import Window
from migmond.domain.alert import Aggregation, Alert, AlertRule, AlertState, Missing
from migmond.domain.telemetry import Batch, Series, series_of

_WindowKey = tuple[Aggregation, float]
_FORGET_AFTER_S = 2 * 86_400.0
"""Series that nobody has told of for so long are no more; their open alerts stay as they are."""
MOST_SERIES = 20_000
"""Of the metrics that rules name. What comes after is not looked at: a hundred executions have 3,000."""


class _Track:
    """One series that some rule looks at."""

    __slots__ = ("execution", "last_at", "series", "windows")

    def __init__(self, series: Series, keys: Iterable[_WindowKey]) -> None:
        self.series = series
        self.execution = series.execution
        self.last_at = 0.0
        self.windows = {key: Window(*key, series.kind) for key in keys}


class _Subject:
    """One rule about one series: what the last look said, and the alert if there is one."""

    __slots__ = ("alert", "at", "said")

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.said = Verdict.MISSING
        self.at = 0.0


class Evaluator:
    """Memory is bounded by the number of series, and the length of windows.

    `now` is seconds of a clock that is never set back; `at` is wall clock seconds, for records only.

    Args:
        make_id: returns the id of a new alert.
        longest_step_s: two looks further apart say nothing of the time between.
    """

    def __init__(self, make_id: Callable[[], str], longest_step_s: float) -> None:
        self._make_id = make_id
        self.longest_step_s = longest_step_s
        self._tracks: dict[str, dict[tuple[tuple[str, str], ...], _Track]] = {}
        self._wanted: dict[str, set[_WindowKey]] = {}
        self._subjects: dict[str, dict[tuple[tuple[str, str], ...], _Subject]] = {}
        self._count = 0

    def watch(self, rules: Iterable[AlertRule]) -> None:
        """Look at what these rules need, and only that; windows that stay keep their readings."""
        wanted: dict[str, set[_WindowKey]] = {}
        for rule in rules:
            if rule.enabled:
                condition = rule.condition
                wanted.setdefault(condition.metric, set()).add((condition.aggregation, condition.window_s))
        for metric in set(self._tracks) - set(wanted):
            self._count -= len(self._tracks.pop(metric))
        for metric, tracks in self._tracks.items():
            for track in tracks.values():
                windows = track.windows
                track.windows = {k: windows.get(k) or Window(*k, track.series.kind) for k in wanted[metric]}
        self._wanted = wanted

    def restore(self, alerts: Iterable[Alert]) -> None:
        """Take over open alerts of an earlier daemon. The time since then does not count."""
        for alert in alerts:
            self._subjects.setdefault(alert.rule, {})[alert.series] = _Subject(alert)

    def put(self, batch: Batch, now: float) -> None:
        """Take readings in."""
        for reading in batch.readings:
            keys = self._wanted.get(reading.series.metric)
            if keys is None:
                continue
            tracks = self._tracks.setdefault(reading.series.metric, {})
            track = tracks.get(reading.series.labels)
            if track is None:
                if self._count >= MOST_SERIES:
                    continue
                track = tracks[reading.series.labels] = _Track(reading.series, keys)
                self._count += 1
            track.last_at = now
            for window in track.windows.values():
                window.add(now, reading.value, batch.every_s)

    def open_alerts(self) -> Iterator[Alert]:
        """Yield alerts that are pending or firing."""
        for subjects in self._subjects.values():
            for subject in subjects.values():
                yield subject.alert

    def replace(self, alert: Alert) -> None:
        """Put an open alert, changed by others (acknowledged, notified), in place of what is there."""
        subject = self._subjects.get(alert.rule, {}).get(alert.series)
        if subject is not None:
            subject.alert = alert

    def evaluate(
        self, rule: AlertRule, now: float, at: float, executions: Container[str] | None = None
    ) -> list[tuple[Alert | None, Alert]]:
        """Look at everything that a rule is about.

        Args:
            executions: of all series only those of these executions; None for all.

        Returns:
            What was before (None: it is new) and what is now, of alerts whose state or value has changed. One that
            is resolved is forgotten here.
        """
        condition = rule.condition
        key = (condition.aggregation, condition.window_s)
        wanted = set(condition.labels.items())
        subjects = self._subjects.setdefault(rule.id, {})
        tracks = self._tracks.get(condition.metric, {})
        changed: list[tuple[Alert | None, Alert]] = []
        matched = False
        for labels, track in tracks.items():
            if (wanted and not wanted <= set(labels)) or (executions is not None and track.execution not in executions):
                continue
            matched = True
            value = track.windows[key].value(now)
            subject = subjects.get(labels)
            firing = subject is not None and subject.alert.state is AlertState.FIRING
            said = verdict(condition, value, firing=firing)
            if subject is not None or said is Verdict.MET:
                changed += self._step(rule, subjects, track.series, said, value, now, at)
        nothing = series_of(condition.metric, condition.labels)
        for labels in [k for k in subjects if k not in tracks]:
            said = verdict(condition, None, firing=True)
            if matched and labels == nothing.labels:  # there was nothing at all, and now there is
                said = Verdict.CLEAR
            changed += self._step(rule, subjects, Series(condition.metric, labels), said, None, now, at)
        if not matched and not subjects and condition.missing is Missing.FIRE and executions is None:
            changed += self._step(rule, subjects, nothing, Verdict.MET, None, now, at)
        return changed

    def _step(
        self,
        rule: AlertRule,
        subjects: dict[tuple[tuple[str, str], ...], _Subject],
        series: Series,
        said: Verdict,
        value: float | None,
        now: float,
        at: float,
    ) -> list[tuple[Alert | None, Alert]]:
        subject = subjects.get(series.labels)
        before: Alert | None = None
        if subject is None:
            subject = subjects[series.labels] = _Subject(self._new(rule, series, value, at))
            elapsed_s = 0.0
        else:
            before = subject.alert
            step_s = now - subject.at
            elapsed_s = step_s if said is subject.said and step_s <= self.longest_step_s else 0.0
        after = stepped(subject.alert, rule, said, value, elapsed_s, at)
        subject.alert, subject.said, subject.at = after, said, now
        if after.state is AlertState.RESOLVED:
            del subjects[series.labels]
        return [(before, after)]

    def _new(self, rule: AlertRule, series: Series, value: float | None, at: float) -> Alert:
        labels = dict(series.labels)
        return Alert(
            self._make_id(), rule.id, rule.name, rule.severity, AlertState.PENDING, "", labels.get("execution", ""),
            labels.get("device", ""), {**rule.labels, **labels}, value, rule.condition.threshold, at, at,
            metric=series.metric, series=series.labels,
        )  # fmt: skip

    def close(self, gone: Callable[[Alert], str], at: float) -> list[tuple[Alert | None, Alert]]:
        """Resolve open alerts whose subject is no more.

        Args:
            gone: returns of an alert why, "" when its subject is there.
        """
        changed: list[tuple[Alert | None, Alert]] = []
        for subjects in self._subjects.values():
            for labels, subject in list(subjects.items()):
                why = gone(subject.alert)
                if why:
                    del subjects[labels]
                    changed.append((subject.alert, closed(subject.alert, why, at)))
        return changed

    def forget_devices(self, gone: Container[str]) -> None:
        """Drop the readings of devices that are no more: what comes back under such a name begins anew."""
        for tracks in self._tracks.values():
            for labels in [k for k in tracks if dict(k).get("device") in gone]:
                del tracks[labels]
                self._count -= 1

    def forget(self, now: float, ended: Container[str]) -> None:
        """Drop the readings of executions that have ended, and of series that are told of no more; not what has come
        since `now`, which nobody has looked at yet."""
        for tracks in self._tracks.values():
            gone = [
                labels
                for labels, track in tracks.items()
                if (track.execution in ended and track.last_at <= now) or now - track.last_at > _FORGET_AFTER_S
            ]
            for labels in gone:
                del tracks[labels]
            self._count -= len(gone)
