"""Commands that run Stepwell: ``dev``, ``api``, ``worker``, and ``migrate``, which prepares the database for them.

The API, the workers and the command line are strangers by design: none may lean on another's code. So these commands
only hand over: they find the entry point by the name of its module and leave the process to it.
"""

import asyncio
import importlib
from typing import Annotated, Any

import typer

from cli.failures import SettingError
from cli.output import AsJson, done, print_json
from cli.platform import database_url, load_settings, with_platform
from composition import Platform

app = typer.Typer()

_FIRST_ADMIN = "admin@example.com"


@app.command()
def dev(
    *,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Onboard a lead and show it.")] = True,
) -> None:
    """Start everything on this machine, and stay up until Ctrl-C.

    Postgres, Temporal and a mail server are embedded unless DATABASE_URL, TEMPORAL_ADDRESS or SMTP_URL name others.
    Their data is kept in .stepwell/ (STEPWELL_DATA_DIR).
    """
    raise typer.Exit(asyncio.run(_entry_point("workers.stack").run_dev(demo=demo)))


@app.command()
def api() -> None:
    """Serve the REST API (STEPWELL_API_HOST, STEPWELL_API_PORT) until SIGINT or SIGTERM."""
    _serve("api.main")


@app.command()
def worker() -> None:
    """Work on runs until SIGINT or SIGTERM. As many may run, on as many machines, as the load asks for."""
    _serve("workers.main")


@app.command()
def migrate(
    *,
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="Leave processes, tenant and administrator alone.")
    ] = False,
    admin: Annotated[str, typer.Option("--admin", help="E-mail address of the first administrator.")] = _FIRST_ADMIN,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this release: its schema and the built-in processes.

    Makes the default tenant and an administrator if there is none; the generated password is shown this once. Safe to
    repeat, and to run twice at once.
    """
    from store.migrate import migrate as apply_migrations  # noqa: PLC0415  # a worker need not hold it in memory

    settings = load_settings()
    apply_migrations(database_url(settings))
    told: dict[str, Any] = {"schema": "current"} if schema_only else with_platform(lambda it: _furnish(it, admin))
    if as_json:
        print_json(told)
        return
    done("the schema is current")
    if not schema_only:
        done(f"built-in processes: {', '.join(told['processes'])}")
    if password := told.get("password"):
        done(f"administrator {admin} with the password {password} (it is not shown again)")


async def _furnish(platform: Platform, admin: str) -> dict[str, Any]:
    """Publish the built-in processes, and make the default tenant and its administrator if there are none."""
    from control.identity import ensure_first_admin  # noqa: PLC0415  # as above

    published = await platform.publisher.publish_directory(platform.settings.definitions_dir)
    tenant = platform.settings.default_tenant
    password = await ensure_first_admin(platform.database, tenant, email=admin, password=None)
    told: dict[str, Any] = {"schema": "current", "processes": [each.definition.name for each in published]}
    return told if password is None else told | {"tenant": tenant, "admin": admin, "password": password}


def _serve(module: str) -> None:
    settings = load_settings()
    database_url(settings)
    try:
        _entry_point(module).serve(settings)
    except ValueError as error:
        raise SettingError(str(error)) from error


def _entry_point(module: str) -> Any:
    """The module of another entry point."""
    return importlib.import_module(module)
