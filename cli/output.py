"""What commands print: tables for people, one JSON document for machines."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

JSON_WANTED: Final = "stepwell.json"
"""Where the command line's context remembers ``--json``."""

_WIDTH_OF_FILES: Final = 200
_COLOURS: Final = {
    "completed": "green",
    "running": "cyan",
    "waiting": "yellow",
    "pending": "cyan",
    "failed": "red",
    "cancelled": "yellow",
    "compensated": "yellow",
    "skipped": "dim",
}


def _remember(ctx: typer.Context, wanted: bool) -> bool:
    ctx.meta[JSON_WANTED] = wanted
    return wanted


AsJson = Annotated[
    bool, typer.Option("--json", callback=_remember, is_eager=True, help="Print one JSON document, errors too.")
]
"""Parameter type of ``--json``."""


def console() -> Console:
    """Standard output. Nothing is cut to a terminal's width where there is no terminal."""
    return _console(stderr=False)


def error_console() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_OF_FILES)


def print_json(value: Any) -> None:
    """Print ``value`` (JSON values, models, times) as one JSON document."""
    typer.echo(to_json(value, indent=2, inf_nan_mode="null").decode())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows under headings. Text is never taken for markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console().print(table)


def done(line: str) -> None:
    """Say that something was done."""
    console().print(Text.assemble(("✓ ", "green"), line), soft_wrap=True)


def status_text(status: str) -> Text:
    """The status of a run or step in its colour."""
    return Text(status, style=_COLOURS.get(status, ""))


def when(moment: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(start: datetime | None, end: datetime | None) -> str:
    """How long something took, in the unit that fits; empty while it is not known."""
    if start is None or end is None:
        return ""
    seconds = (end - start).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
