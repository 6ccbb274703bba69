"""The ``stepwell`` command: which commands there are. Each is loaded when it is used, so that help comes at once."""

import importlib
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class _Entry(NamedTuple):
    module: str
    panel: str
    summary: str


_SERVERS: Final = "Run Stepwell"
_PROCESSES: Final = "Write processes"
_RUNS: Final = "Run processes"
_OPERATION: Final = "Look after it"

_COMMANDS: Final = {
    "dev": _Entry("cli.servers", _SERVERS, "Start everything on this machine, and stay up until Ctrl-C."),
    "api": _Entry("cli.servers", _SERVERS, "Serve the REST API."),
    "worker": _Entry("cli.servers", _SERVERS, "Work on runs."),
    "migrate": _Entry("cli.servers", _SERVERS, "Bring the database to this release."),
    "validate": _Entry("cli.definitions", _PROCESSES, "Check definitions, without a database."),
    "publish": _Entry("cli.definitions", _PROCESSES, "Publish definitions, all or none."),
    "processes": _Entry("cli.definitions", _PROCESSES, "List the processes that can be started."),
    "schema": _Entry("cli.definitions", _PROCESSES, "Print the JSON Schema of definitions."),
    "run": _Entry("cli.start", _RUNS, "Start a process and watch it."),
    "runs": _Entry("cli.runs", _RUNS, "List runs, look into one, cancel, signal or resolve it."),
    "events": _Entry("cli.events", _RUNS, "List events, look into one, send or replay it."),
    "triggers": _Entry("cli.triggers", _RUNS, "Make, switch, remove and try out triggers."),
    "schedules": _Entry("cli.schedules", _RUNS, "Start processes at set times."),
    "webhooks": _Entry("cli.webhooks", _OPERATION, "Make and change the addresses that webhooks come to."),
    "watch": _Entry("cli.watches", _OPERATION, "Let the changes of a table become events."),
    "unwatch": _Entry("cli.watches", _OPERATION, "Watch a table no more."),
    "watches": _Entry("cli.watches", _OPERATION, "List watched tables and what waits."),
    "doctor": _Entry("cli.doctor", _OPERATION, "Check every part and say what to do."),
    "secrets": _Entry("cli.secrets", _OPERATION, "Set, list, rotate and delete secrets."),
    "users": _Entry("cli.people", _OPERATION, "Make and list users."),
    "tenants": _Entry("cli.people", _OPERATION, "Make and list tenants."),
    "version": _Entry("cli.version", _OPERATION, "Print the version."),
}


class _LazyCommands(TyperGroup):
    """Knows of each command only what the help shows, until it is used; tells failures in one line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in _COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, known, rest = super().resolve_command(ctx, args)
        if name is None or known is None:
            return name, known, rest
        module = importlib.import_module(_COMMANDS[name].module)
        return name, typer.main.get_group(module.app).commands[name], rest

    def invoke(self, ctx: Any) -> Any:
        failures = importlib.import_module("cli.failures")
        with failures.reported(ctx):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Start here: stepwell dev, then in another terminal stepwell run lead_to_customer_onboarding --help.\n\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 something cannot be reached."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        importlib.import_module("cli.version").print_version()
        raise typer.Exit


@app.callback()
def stepwell(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Business processes as durable workflows."""


def main() -> None:
    """The entry point of the ``stepwell`` command."""
    app(prog_name="stepwell")
