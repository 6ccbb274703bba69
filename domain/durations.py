"""Lengths and points of time, as people write them in a definition."""

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from domain.errors import ExpressionError

MAX_DURATION: Final = timedelta(days=3653)
"""Ten years: a longer wait is a slip of the pen."""

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PLAIN = re.compile(r"(?:\d{1,12}(?:\.\d{1,6})?(?:ms|[smhdw]))+", re.ASCII)
_PLAIN_PART = re.compile(r"([\d.]+)(ms|[smhdw])", re.ASCII)
_NUMBER = r"(\d{1,12}(?:[.,]\d{1,6})?)"
_ISO = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)
_ISO_SECONDS: Final = tuple(_SECONDS[unit] for unit in "wdhms")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


@lru_cache(maxsize=1024, typed=True)
def parse_duration(value: str | float) -> timedelta:
    """The length of ``"3d"``, ``"90s"``, ``"1h30m"``, ISO 8601 ``"PT5M"`` or ``"P3D"``, or a number of seconds.

    Units are ms, s, m, h, d and w. Raises ``ExpressionError`` for anything else: also for a negative length, one of
    months or years (which differ in length), and one over ten years.
    """
    if isinstance(value, str):
        seconds = _seconds(value.strip())
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ExpressionError(f"{value!r} is not a duration: write 90s, 1h30m, 3d, PT5M or a number of seconds")
    else:
        seconds = value
    if not math.isfinite(seconds) or seconds < 0:
        raise ExpressionError(
            f"the duration {value!r} is negative or endless: give one from 0 to ten years", source=str(value)
        )
    if seconds > MAX_DURATION.total_seconds():
        raise ExpressionError(f"the duration {value!r} is over ten years: give a shorter one", source=str(value))
    return timedelta(seconds=seconds)


def parse_timestamp(value: str) -> datetime:
    """The point of time of an RFC 3339 timestamp such as ``"2027-01-31T09:00:00+01:00"``, in UTC.

    Raises ``ExpressionError`` for anything else, and for a timestamp without its offset from UTC.
    """
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value.strip()):
        raise ExpressionError(
            f"{value!r} is not a timestamp: write it with its offset from UTC, as 2027-01-31T09:00:00Z",
            source=str(value),
        )
    try:
        return datetime.fromisoformat(value.strip().upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ExpressionError(f"there is no such time as {value}: {error}", source=value) from error


def _seconds(text: str) -> float:
    if _PLAIN.fullmatch(text):
        parts = _PLAIN_PART.findall(text)
        if len({unit for _, unit in parts}) == len(parts):
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    iso = _ISO.fullmatch(text)
    if iso:
        numbers = (float((number or "0").replace(",", ".")) for number in iso.groups())
        return sum(number * seconds for number, seconds in zip(numbers, _ISO_SECONDS, strict=True))
    hint = _hint(text)
    raise ExpressionError(f"{text!r} is not a duration: {hint}", source=text)


def _hint(text: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return f"give its unit, as {text}s"
    if re.match(r"P[^T]*\d[YM]", text):
        return "months and years differ in length; write days, as 30d"
    return "write 90s, 1h30m, 3d, PT5M or a number of seconds"
