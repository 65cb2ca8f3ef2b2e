"""The rules that are there without being made. Each can be edited and disabled; each threshold has its reason here."""

from __future__ import annotations

from migmond.domain.alert import Aggregation, AlertRule, Condition, Operator, Severity

_P = "migmond_execution_"
_ABOVE, _BELOW = Operator.ABOVE, Operator.BELOW


def builtin_rules() -> tuple[AlertRule, ...]:
    """Return them, by id."""
    return tuple(sorted((*_of_executions(), *_of_disks()), key=lambda rule: rule.id))


def _of_executions() -> tuple[AlertRule, ...]:
    return (
        _rule(
            "stalled", Severity.ERROR,
            "Nothing comes forward. Two minutes: a sync of a full commit group (256 MiB) to a disk that shuffles "
            "shingled tracks takes less than one; what takes longer does not end by itself, mostly",
            Condition(f"{_P}stalled_seconds", _ABOVE, 120.0, resolve_threshold=1.0, keep_firing_for_s=10.0),
            inhibits=("slow", "eta-slipping"),
        ),
        _rule(
            "errors", Severity.ERROR,
            "Many entries fail. One of twenty: names that cannot be made or files without permission are fewer, a disk "
            "or a quota that refuses is more",
            Condition(f"{_P}error_ratio", _ABOVE, 0.05, resolve_threshold=0.02, for_s=30.0),
        ),
        _rule(
            "slow", Severity.WARNING,
            "It is slow against its own forecast. Half as fast for five minutes: a change of the mix of files moves "
            "the ratio by less, since the forecast knows what files and bytes cost",
            Condition(
                f"{_P}forecast_ratio", _BELOW, 0.5, Aggregation.AVG, 120.0, resolve_threshold=0.7, for_s=300.0,
                keep_firing_for_s=60.0,
            ),
        ),
        _rule(
            "target-filling", Severity.ERROR,
            "The target will be full before it is done. An hour is what it takes to make room or to choose another "
            "target; the mean of a minute, since others write in bursts",
            Condition(
                f"{_P}target_full_seconds", _BELOW, 3600.0, Aggregation.AVG, 60.0, resolve_threshold=5400.0, for_s=60.0
            ),
        ),
        _rule(
            "eta-slipping", Severity.WARNING,
            "The end moves away. A quarter of what was left within an hour of work is beyond the band that forecasts "
            "promise; ten minutes, because a forecast revises itself",
            Condition(
                f"{_P}eta_slip_ratio", _ABOVE, 0.25, Aggregation.AVG, 60.0, resolve_threshold=0.15, for_s=600.0,
                keep_firing_for_s=60.0,
            ),
        ),
        _rule(
            "mover-hung", Severity.ERROR,
            "A mover hangs in the file system. A minute: the kernel gives a disk 30 s for a command before it resets "
            "the link, and tries again once; a healthy system call is never so long",
            Condition(f"{_P}hung_seconds", _ABOVE, 60.0, resolve_threshold=5.0),
            inhibits=("stalled", "slow", "eta-slipping"),
        ),
        _rule(
            # Whoever waits for the end asks for it, as healthchecks.io and Netdata have it: of what goes well nobody is
            # told unasked, and a machine that moves things every night has no alert every night.
            "finished", Severity.INFO, "It has ended (off until somebody asks: migmon rules enable finished)",
            Condition(f"{_P}finished", Operator.EQUAL, 1.0), cooldown_s=0.0, enabled=False,
        ),
        _rule(
            "ended-badly", Severity.ERROR, "It has failed, or entries of it have",
            Condition(f"{_P}ended_badly", Operator.EQUAL, 1.0), cooldown_s=0.0, inhibits=("finished",),
        ),
    )  # fmt: skip


def _of_disks() -> tuple[AlertRule, ...]:
    return (
        _rule(
            "disk-failing", Severity.CRITICAL,
            "A disk shows signs of failure. Any sign: of disks that say so themselves most fail within the year, and "
            "copying is what brings weak spots to light",
            Condition("migmond_disk_failing", _ABOVE, 0.0, window_s=600.0, keep_firing_for_s=3600.0),
            cooldown_s=86_400.0,
        ),
        _rule(
            "disk-slow", Severity.WARNING,
            "A disk answers slower than its load explains. Twice its own model's 99.9 % bound, in three spans of five "
            "minutes, is what is found before it is told (Lu et al., FAST 2023)",
            Condition("migmond_disk_slow_ratio", _ABOVE, 2.0, keep_firing_for_s=300.0),
            cooldown_s=3600.0,
        ),
        _rule(
            "disk-hot", Severity.WARNING,
            "A disk is too warm. At the limit that it names itself, else at that of its kind, 50 °C or 70 °C (NVMe). "
            "It resolves 5 degrees below, since fans make temperatures swing by 3",
            Condition(
                "migmond_disk_heat_margin_celsius", Operator.BELOW_OR_EQUAL, 0.0, window_s=120.0,
                resolve_threshold=5.0, for_s=60.0, keep_firing_for_s=60.0,
            ),
            cooldown_s=1800.0,
        ),
    )  # fmt: skip


def _rule(
    name: str, severity: Severity, description: str, condition: Condition, *, inhibits: tuple[str, ...] = (),
    cooldown_s: float = 300.0, enabled: bool = True,
) -> AlertRule:  # fmt: skip
    return AlertRule(
        name, name, description, condition, severity, cooldown_s=cooldown_s, inhibits=inhibits, builtin=True,
        enabled=enabled,
    )  # fmt: skip
