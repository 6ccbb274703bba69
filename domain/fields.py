"""The types of a definition's fields: names, durations, conditions; literal ones are checked when they are read."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from domain.durations import parse_duration, parse_timestamp
from domain.errors import ExpressionError
from domain.ids import NAME_PATTERN

ACTION_PATTERN: Final = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$"
"""``connector.verb`` or ``service.method``."""

TEMPLATE_MARKS: Final = ("{{", "${")
"""What begins a placeholder."""


def has_placeholder(value: object) -> bool:
    """Whether ``value`` is text with at least one placeholder."""
    return isinstance(value, str) and any(mark in value for mark in TEMPLATE_MARKS)


def _check_duration(value: str | float) -> str | float:
    if has_placeholder(value):
        raise ValueError("this duration cannot hold a placeholder: write it out, as 90s")
    return _check_duration_template(value)


def _check_duration_template(value: str | float) -> str | float:
    if not has_placeholder(value):
        try:
            parse_duration(value)
        except ExpressionError as error:
            raise ValueError(str(error)) from error
    return value


def _check_positive(value: str | float) -> str | float:
    if not has_placeholder(value) and not parse_duration(value):
        raise ValueError("this duration is zero: make it longer than nothing")
    return value


def _check_timestamp_template(value: str) -> str:
    if not has_placeholder(value):
        try:
            parse_timestamp(value)
        except ExpressionError as error:
            raise ValueError(str(error)) from error
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ActionName = Annotated[str, Field(pattern=ACTION_PATTERN, max_length=128)]
Duration = Annotated[str | int | float, AfterValidator(_check_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]
DurationTemplate = Annotated[str | int | float, AfterValidator(_check_duration_template)]
PositiveDurationTemplate = Annotated[DurationTemplate, AfterValidator(_check_positive)]
TimestampTemplate = Annotated[str, AfterValidator(_check_timestamp_template)]
Condition = str | bool | dict[str, Any] | list[Any]
Config = dict[str, Any]
BranchName = Annotated[str, Field(min_length=1, max_length=64)]
OnError = Literal["fail", "continue", "compensate", "park"]
