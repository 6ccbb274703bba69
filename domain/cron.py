"""Cron expressions of five fields, as far as Temporal and cron mean the same by them; all else is refused, with why.

What differs was measured against the server: a sixth field is a year there, ``#`` begins a comment, both day fields
must match where cron takes either, a day that never comes is accepted and never fires.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from domain.errors import Fault

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_LIMITS: Final = ("0-59", "0-23", "1-31", "1-12 or JAN-DEC", "0-7 or SUN-SAT")
_NUMBER_OF_FIELDS: Final = len(_FIELDS)
_TERM = re.compile(r"(?:\*|(?:\d{1,2}|[A-Z]{3})(?:-(?:\d{1,2}|[A-Z]{3}))?)(?:/\d{1,2})?", re.ASCII)
_LONGEST_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WORKING_DAYS: Final = frozenset(range(1, 6))
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MOST_TIMES_IN_WORDS: Final = 3
_FIVE_FIELDS: Final = "write five fields: minute, hour, day, month and weekday, as 0 8 * * 1-5"


class CronRefused(ValueError):
    """An expression that is no cron, or that Temporal would take for something else."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy

    def fault(self, path: str) -> Fault:
        """The refusal as a fault at ``path``."""
        return Fault(path=path, reason=self.reason, remedy=self.remedy)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was understood: the values that each field allows. Sunday is 0."""

    text: str
    """With aliases expanded, single spaces and capital names."""
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """The meaning of ``text``: five fields, or an alias such as ``@daily``. Raises ``CronRefused``."""
        fields = _fields(text)
        for name, limits, field in zip(_FIELDS, _LIMITS, fields, strict=True):
            _check_field(name, limits, field)
        if fields[2] != "*" and fields[4] != "*":
            raise CronRefused(
                "both the day of the month and the day of the week are restricted: cron runs when either fits, Temporal"
                " when both do",
                "write * in one of them, or make a schedule for each",
            )
        parsed = _parsed(fields)
        days, months = frozenset(parsed.days), frozenset(parsed.months)
        return cls(
            text=" ".join(fields),
            minutes=frozenset(parsed.minutes),
            hours=frozenset(parsed.hours),
            days=days,
            months=months,
            weekdays=frozenset(day % 7 for day in parsed.weekdays if isinstance(day, int)),
        )

    def next_times(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The times after ``after``, in UTC, endless.

        As on Temporal, a time that the clock skips in spring is left out. One that it repeats in autumn is given once,
        the second time; what Temporal does in that hour depends on the zone.
        """
        wall = CronSim(self.text, after.astimezone(zone).replace(tzinfo=None))
        while True:
            moment = next(wall).replace(tzinfo=zone, fold=1)
            utc = moment.astimezone(UTC)
            if utc.astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None) and utc > after:
                yield utc

    def words(self) -> str:
        """The expression in words, as ``every weekday at 08:00``."""
        minute, hour, day, month, _ = self.text.split()
        if (hour, day, month) == ("*", "*", "*") and len(self.weekdays) == len(_DAYS) and minute.startswith("*"):
            step = minute.removeprefix("*/")
            if minute == "*" or 60 % int(step) == 0:
                return "every minute" if step in {"*", "1"} else f"every {step} minutes"
        if day == month == "*" and len(self.minutes) * len(self.hours) <= _MOST_TIMES_IN_WORDS:
            return f"{self._days_in_words()} at {self._times_in_words()}"
        told = CronSim(self.text, datetime(2000, 1, 1, tzinfo=UTC)).explain()
        return told[0].lower() + told[1:]

    def _days_in_words(self) -> str:
        if len(self.weekdays) == len(_DAYS):
            return "every day"
        if self.weekdays == _WORKING_DAYS:
            return "every weekday"
        return f"every {_joined([_DAYS[day] for day in sorted(self.weekdays, key=lambda day: (day - 1) % 7)])}"

    def _times_in_words(self) -> str:
        return _joined([f"{hour:02}:{minute:02}" for hour in sorted(self.hours) for minute in sorted(self.minutes)])


def _fields(text: str) -> list[str]:
    """The five fields in capitals, or the refusal of what is not five fields of plain cron."""
    given = text.strip()
    if given.startswith("@"):
        expanded = ALIASES.get(given.lower())
        if expanded is None:
            remedy = "write every: 15m instead" if given.lower().startswith("@every") else _FIVE_FIELDS
            raise CronRefused(f"{given} is not one of {', '.join(ALIASES)}", remedy)
        given = expanded
    if "=" in given:
        raise CronRefused("a time zone does not belong into the expression", "write it into the field timezone")
    if "#" in given:
        raise CronRefused(
            "# begins a comment on Temporal: MON#2 would run every Monday",
            "restrict the day of the month, or leave # out",
        )
    fields = given.upper().split()
    if len(fields) == _NUMBER_OF_FIELDS + 1:
        raise CronRefused(
            "there are six fields: the sixth is a year on Temporal, elsewhere the first is seconds; runs start at whole"
            " minutes",
            _FIVE_FIELDS,
        )
    if len(fields) != _NUMBER_OF_FIELDS:
        raise CronRefused(f"there are {len(fields)} fields instead of five", _FIVE_FIELDS)
    return fields


def _check_field(name: str, limits: str, field: str) -> None:
    if "?" in field:
        raise CronRefused(f"? in the {name} is not cron, but Quartz", "write * instead")
    for term in field.split(","):
        if _TERM.fullmatch(term):
            continue
        if re.fullmatch(r"(?:LW?|W|\d*[LW]|[A-Z]{3}L|L-\d+)(?:/\d+)?", term):
            raise CronRefused(
                f"{term} in the {name} is not understood by Temporal (L: last, W: nearest weekday)",
                "write the days out, as 28 or 1-7",
            )
        raise CronRefused(
            f"{term or 'nothing'!r} is no {name}", f"write {limits}, *, lists with commas, or steps as */5"
        )


def _parsed(fields: list[str]) -> CronSim:
    """What the fields allow. Raises ``CronRefused``."""
    for place, (name, limits) in enumerate(zip(_FIELDS, _LIMITS, strict=True)):
        alone = ["*"] * _NUMBER_OF_FIELDS
        alone[place] = fields[place]
        try:
            parsed = CronSim(" ".join(alone), datetime(2000, 1, 1))  # noqa: DTZ001  # parses only
        except CronSimError as error:
            raise CronRefused(f"{fields[place]} is no {name}", f"write {limits}, the smaller one first") from error
    try:
        parsed = CronSim(" ".join(fields), datetime(2000, 1, 1))  # noqa: DTZ001  # parses only
    except CronSimError as error:
        longest = max(_LONGEST_MONTHS[month - 1] for month in _months(fields[3]))
        reason = f"there is no such day: these months have at most {longest} days, so that it would never run"
        raise CronRefused(reason, f"write a day up to {longest}") from error
    return parsed


def _months(field: str) -> set[int]:
    return CronSim(f"* * * {field} *", datetime(2000, 1, 1)).months  # noqa: DTZ001  # parses only


def _joined(parts: list[str]) -> str:
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last
