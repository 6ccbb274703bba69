"""How commands end when something is wrong: one clear line, and an exit code. No traceback for what can be expected."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import psycopg
import typer
from pydantic import JsonValue, ValidationError
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
    except (SettingError, ValidationError, ArgumentError) as error:
        _leave(ctx, ExitCode.USAGE, "BAD_SETTING", _setting_line(error))
    except Unavailable as error:
        _leave(ctx, ExitCode.UNREACHABLE, error.code, f"{error}{_cause(error)}", remedy=_DOCTOR)
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise
        line = "the database does not have this release's schema"
        _leave(ctx, ExitCode.FAILED, "NOT_MIGRATED", line, remedy="Run `stepwell migrate`.")
    except (DefinitionInvalid, InputInvalid) as error:
        _leave(ctx, ExitCode.FAILED, error.code, str(error).partition(":")[0], faults=error.faults)
    except StepwellError as error:
        _leave(ctx, ExitCode.FAILED, error.code, str(error))


_DOCTOR = "`stepwell doctor` tells which part is wrong and what to do."


def print_faults(faults: tuple[Fault, ...] | list[Fault]) -> None:
    """Show faults: where, what, and how to mend it."""
    console = error_console()
    for fault in faults:
        place = ":".join(part for part in (fault.file, fault.path or "/") if part)
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


def _setting_line(error: SettingError | ValidationError | ArgumentError) -> str:
    match error:
        case ValidationError():
            return "; ".join(f"{_variable(each['loc'])}: {each['msg']}" for each in error.errors(include_input=False))
        case ArgumentError():
            return "DATABASE_URL is not a database URL; it looks like postgresql://user@host/name"
        case _:
            return str(error)


def _variable(location: tuple[int | str, ...]) -> str:
    """The environment variable behind a field of the settings; aliases stand in capitals."""
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"STEPWELL_{name.upper()}"


def _cause(error: Unavailable) -> str:
    """What Postgres itself said, which the error leaves out for those who are not operators."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError) or cause.orig is None:
        return ""
    return f" ({' '.join(str(cause.orig).split())})"
