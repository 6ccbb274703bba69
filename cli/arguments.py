"""Arguments that carry data: JSON, from the command line, a file or standard input; values that stay off both."""

import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from domain.documents import parse_document
from domain.durations import parse_duration
from domain.errors import DefinitionInvalid, ExpressionError

HOW_JSON: Final = "JSON, @FILE (JSON or YAML), or - for standard input."


def json_argument(given: str, option: str) -> Any:
    """The value of an argument as ``HOW_JSON`` says. Raises ``typer.BadParameter`` naming ``option``."""
    try:
        if given == "-":
            return parse_document(sys.stdin.buffer.read(), form="json").value
        if given.startswith("@"):
            path = Path(given[1:])
            return parse_document(_read(path, option), file=str(path)).value
        return parse_document(given, form="json").value
    except DefinitionInvalid as error:
        fault = error.faults[0]
        place = " ".join(part for part in (fault.file, fault.path) if part)
        remedy = f" ({fault.remedy})" if fault.remedy else ""
        raise typer.BadParameter(f"{place + ': ' if place else ''}{fault.reason}{remedy}", param_hint=option) from error


ValueFile = Annotated[
    Path | None, typer.Option("--value-file", help="Take the value from this file.", dir_okay=False, metavar="FILE")
]
"""Parameter type of ``--value-file``."""


def private_value(file: Path | None, prompt: str) -> str:
    """A value that must not stand on a command line: from ``file``, a hidden prompt, or standard input.

    One newline at the end is not part of it.
    """
    if file is None and sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=True))
    raw = sys.stdin.buffer.read() if file is None else _read(file, "--value-file")
    try:
        value = raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter("the value is not UTF-8 text") from error
    return value.removesuffix("\n").removesuffix("\r")


def moment(given: str | None, option: str) -> datetime | None:
    """A time: ISO 8601, UTC unless it says otherwise, or how long ago (``2h``, ``3d``)."""
    if given is None:
        return None
    with suppress(ExpressionError):
        return datetime.now(UTC) - parse_duration(given)
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError as error:
        raise typer.BadParameter(f"{given!r} is no time: write 2026-11-20T14:00, or 2h", param_hint=option) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def wait_limit(seconds: float) -> timedelta:
    """How long to wait. Raises ``typer.BadParameter`` for what is no length of time."""
    if not 0 <= seconds <= timedelta(days=365).total_seconds():
        raise typer.BadParameter("must be from 0 to a year, in seconds", param_hint="--wait")
    return timedelta(seconds=seconds)


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint=option) from error
