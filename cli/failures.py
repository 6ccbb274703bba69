"""How commands end when something is wrong: one clear line, and an exit code. No traceback for what can be expected."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Final, NoReturn

import psycopg
import typer
from pydantic import JsonValue
from rich.text import Text
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError

from cli.output import JSON_WANTED, error_console, print_json
from domain.errors import DefinitionInvalid, Fault, InputInvalid, StepwellError, Unavailable


class ExitCode(IntEnum):
    """What the caller's shell is told."""

    OK = 0
    FAILED = 1
    """A run failed, a fault was found, a request was refused."""
    USAGE = 2
    """The command line or the settings are wrong."""
    UNREACHABLE = 3
    """Postgres, Temporal or a worker does not answer."""


class SettingError(StepwellError):
    """A setting is missing or wrong; the message names its variable and what to do."""

    code = "BAD_SETTING"


@contextmanager
def reported(ctx: typer.Context) -> Iterator[None]:
    """Tell of failures that can be expected, as JSON where that was asked for, and leave with their exit code."""
    try:
        yield
    except SettingError as error:
        _leave(ctx, ExitCode.USAGE, error.code, str(error))
    except ArgumentError:
        line = "DATABASE_URL is not a database URL: it looks like postgresql://user@host/name"
        _leave(ctx, ExitCode.USAGE, SettingError.code, line)
    except Unavailable as error:
        _leave(ctx, ExitCode.UNREACHABLE, error.code, f"{error}{_cause(error)}", remedy=_DOCTOR)
    except (ProgrammingError, psycopg.ProgrammingError) as error:
        if not isinstance(_refusal(error), _SCHEMA_ERRORS):
            raise
        _leave(ctx, ExitCode.FAILED, "DATABASE_REFUSED", f"the database refused: {_said(error)}", remedy=_MIGRATE)
    except (DefinitionInvalid, InputInvalid) as error:
        _leave(ctx, ExitCode.FAILED, error.code, str(error).partition(":")[0], faults=error.faults)
    except StepwellError as error:
        _leave(ctx, ExitCode.FAILED, error.code, str(error))


_SCHEMA_ERRORS: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InsufficientPrivilege,
)
_MIGRATE: Final = "Bring it to this release as its owner: `stepwell migrate`."
_DOCTOR: Final = "`stepwell doctor` tells which part is wrong and what to do."


def print_faults(faults: Sequence[Fault]) -> None:
    """Show faults: where, what, and how to mend it."""
    console = error_console()
    for fault in faults:
        place = "  ".join(part for part in (fault.file, fault.path or "/") if part)
        console.print(Text.assemble(("  ✗ ", "red"), (place, "bold"), f"  {fault.reason}"), soft_wrap=True)
        if fault.remedy:
            console.print(Text(f"    {fault.remedy}", style="dim"), soft_wrap=True)


def _leave(
    ctx: typer.Context,
    code: ExitCode,
    name: str,
    message: str,
    *,
    remedy: str = "",
    faults: tuple[Fault, ...] = (),
) -> NoReturn:
    if ctx.meta.get(JSON_WANTED):
        error: dict[str, JsonValue] = {"code": name, "message": message}
        if remedy:
            error["remedy"] = remedy
        if faults:
            error["faults"] = [fault.model_dump(mode="json") for fault in faults]
        print_json({"error": error})
    else:
        line = Text.assemble(("Error: ", "bold red"), message, f". {remedy}" if remedy else "")
        error_console().print(line, soft_wrap=True)
        print_faults(faults)
    raise typer.Exit(code)


def _cause(error: Unavailable) -> str:
    """What Postgres itself said, which the error leaves out for those who are not operators."""
    cause = error.__cause__
    return f" ({_said(cause)})" if isinstance(cause, DBAPIError | psycopg.Error) else ""


def _refusal(error: BaseException) -> BaseException | None:
    """The driver's own error."""
    return error.orig if isinstance(error, DBAPIError) else error


def _said(error: BaseException) -> str:
    """What Postgres said, without the line of SQL that it said it of."""
    return str(_refusal(error)).strip().splitlines()[0]
