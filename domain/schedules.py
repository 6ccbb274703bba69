"""Schedules: what their configuration means, what is wrong with it, and when they run next. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.cron import Cron, CronRefused
from domain.documents import json_pointer
from domain.durations import parse_duration
from domain.errors import Fault, InputInvalid
from domain.fields import has_placeholder
from domain.inputs import accept_input
from domain.triggers import ScheduleConfig

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]

LEAST_CATCHUP: Final = timedelta(seconds=10)
"""Temporal's own least: it would take a shorter window for this one."""

PREVIEWED: Final = 5
"""How many of the next times are shown."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule runs: by ``cron`` in ``zone``, or ``every`` so often."""

    cron: Cron | None
    every: timedelta | None
    zone: ZoneInfo
    overlap: Overlap
    catchup_window: timedelta
    jitter: timedelta

    def words(self) -> str:
        """In words: ``every weekday at 08:00 Europe/Berlin``, ``every 15 minutes``."""
        told = f"every {_length(self.every)}" if self.cron is None and self.every else ""
        if self.cron is not None:
            told = f"{self.cron.words()} {self.zone.key}"
        return f"{told}, up to {_length(self.jitter, one='1 ')} later" if self.jitter else told

    def next_times(self, after: datetime, count: int = PREVIEWED) -> list[datetime]:
        """The next times after ``after``, in UTC, without jitter."""
        return list(islice(self.times(after), count))

    def times(self, after: datetime) -> Iterator[datetime]:
        """All times after ``after``, in UTC, without jitter: endless."""
        if self.cron is not None:
            yield from self.cron.next_times(after, self.zone)
        if self.every:
            moment = _EPOCH + ((after - _EPOCH) // self.every + 1) * self.every
            while True:
                yield moment
                moment += self.every


def read_timing(config: ScheduleConfig) -> Timing:
    """What ``config`` means. Raises ``InputInvalid`` with every fault."""
    if faults := schedule_faults(config):
        raise InputInvalid("the schedule is invalid", faults)
    return Timing(
        cron=None if config.cron is None else Cron.parse(config.cron),
        every=None if config.every is None else parse_duration(config.every),
        zone=_zone(config.timezone),
        overlap=config.overlap,
        catchup_window=parse_duration(config.catchup_window),
        jitter=parse_duration(config.jitter),
    )


def schedule_faults(config: ScheduleConfig, input_schema: Mapping[str, Any] | None = None) -> list[Fault]:
    """Everything that is wrong with ``config``, with pointers into it.

    With ``input_schema``, also what the process will not accept as its input: no event comes with a tick, so that the
    input is known now.
    """
    faults = list(_time_faults(config))
    if parse_duration(config.catchup_window) < LEAST_CATCHUP:
        reason = "Temporal makes up for what it missed in the last 10 s, at least"
        faults.append(Fault(path="/catchup_window", reason=reason, remedy="write 10s or more"))
    unfilled = list(_placeholders(config.input or {}, ()))
    faults += unfilled
    if input_schema is not None and not unfilled:
        faults += _input_faults(config, input_schema)
    return faults


def _time_faults(config: ScheduleConfig) -> Iterator[Fault]:
    if (config.cron is None) == (config.every is None):
        reason = (
            "a schedule has either cron or every" if config.cron is None else "a schedule cannot have cron and every"
        )
        yield Fault(path="", reason=reason, remedy="write cron: 0 8 * * 1-5, or every: 15m")
    if config.cron is not None:
        try:
            Cron.parse(config.cron)
        except CronRefused as refused:
            yield refused.fault("/cron")
    try:
        zone = _zone(config.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reason = f"there is no time zone {config.timezone!r}"
        yield Fault(path="/timezone", reason=reason, remedy="write a name of the IANA list, as Europe/Berlin or UTC")
    else:
        if config.every is not None and zone.key != "UTC":
            reason = "a time zone makes no difference to every: it counts from midnight UTC of 1970-01-01"
            yield Fault(path="/timezone", reason=reason, remedy="leave timezone out, or use cron")
    if config.every is not None and parse_duration(config.every) % _SECOND:
        yield Fault(path="/every", reason="schedules count in whole seconds", remedy="write 1s or more, as 15m")


def _input_faults(config: ScheduleConfig, schema: Mapping[str, Any]) -> list[Fault]:
    try:
        accept_input(schema, config.input)
    except InputInvalid as error:
        return [
            fault.model_copy(
                update={
                    "path": f"/input{fault.path}",
                    "reason": f"each run would be refused: {fault.reason}",
                    "remedy": fault.remedy or "give the schedule an input that the process accepts",
                }
            )
            for fault in error.faults
        ]
    return []


def _placeholders(value: Any, place: tuple[str | int, ...]) -> Iterator[Fault]:
    """Placeholders and secrets in an input: nothing fills them in."""
    match value:
        case {"$secret": _} if len(value) == 1:
            yield _unfilled(place, "a secret cannot be the input of a run")
        case dict():
            for key, each in value.items():
                yield from _placeholders(each, (*place, key))
        case list():
            for index, each in enumerate(value):
                yield from _placeholders(each, (*place, index))
        case _ if has_placeholder(value):
            yield _unfilled(place, f"nothing fills in {value!r}: a schedule has no event")


def _unfilled(place: tuple[str | int, ...], reason: str) -> Fault:
    return Fault(
        path=f"/input{json_pointer(place)}", reason=reason, remedy="write the value out, or let a step find it"
    )


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _length(length: timedelta, *, one: str = "") -> str:
    """A length in its largest whole unit: ``15 minutes``; of a single one, ``minute`` after ``one``."""
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(length.total_seconds(), seconds)
        if count and not rest:
            return f"{one}{unit}" if count == 1 else f"{count:g} {unit}s"
    total = length.total_seconds()
    return f"{one}second" if total == 1 else f"{total:g} seconds"
