"""``stepwell watch``, ``unwatch`` and ``watches``: tables whose changes become events."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from cli.output import AsJson, done, print_json, print_table, when
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from composition import Platform
from triggers.relay import Relay
from triggers.watches import Watch, Watches

app = typer.Typer()

Table = Annotated[
    str, typer.Argument(help="The table, with its schema unless that is public: auth_user.", metavar="TABLE")
]
Connection = Annotated[
    str,
    typer.Option(
        "--connection",
        "-c",
        help="Where it is: a name from STEPWELL_WATCH_CONNECTIONS. Default: the platform's own database.",
        metavar="NAME",
    ),
]

_COLOURS = {"installed": "green", "disabled": "yellow"}


@app.command(epilog="Example: stepwell watch auth_user --as auth.User --exclude last_login")
def watch(
    table: Table,
    *,
    model: Annotated[
        str | None,
        typer.Option("--as", help="What its events call it. Default: the table's name.", metavar="app.Model"),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="A column to leave out; may be given again.", metavar="COL")
    ] = None,
    connection: Connection = "",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Let the changes of a table become events: inserts, updates and deletes, whoever makes them.

    Safe to repeat. Columns named like secrets (password, token, api_key…) are always left out.
    """

    async def watched(platform: Platform) -> Watch:
        owner = await tenant_of(platform, tenant)
        return await _watches(platform).watch(
            owner, table, model, exclude=exclude, connection=connection, by=operator_name()
        )

    made = with_platform(watched)
    if as_json:
        print_json(made)
        return
    done(f"{made.table} is watched: its events are {made.model}.post_save and {made.model}.post_delete")
    if made.left_out:
        typer.echo(f"  left out: {', '.join(made.left_out)}")


@app.command()
def unwatch(
    table: Annotated[str, typer.Argument(help="The table, or its model.", metavar="TABLE")],
    *,
    connection: Connection = "",
    discard: Annotated[
        bool, typer.Option("--discard", help="Throw away the changes that wait; forget a database that is no more.")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Watch a table no more. The changes that were made until now still become events first."""

    async def removed(platform: Platform) -> int:
        owner, watches = await tenant_of(platform, tenant), _watches(platform)
        watch_id = await watches.find(owner, table, connection=connection)
        return await watches.unwatch(owner, watch_id, discard=discard)

    relayed = with_platform(removed)
    if as_json:
        print_json({"table": table, "relayed": relayed})
    else:
        done(f"{table} is watched no more" + (f"; {relayed} changes were relayed first" if relayed else ""))


@app.command()
def watches(*, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List watched tables: whether their triggers are there, and how many changes wait."""

    async def found(platform: Platform) -> Sequence[Watch]:
        return await _watches(platform).listing(await tenant_of(platform, tenant))

    rows = with_platform(found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "table", "model", "connection", "triggers", "waiting", "since (UTC)", "left out", "reason"),
        [
            (
                str(row.id),
                row.table,
                row.model,
                row.connection or "(own)",
                Text(row.state, style=_COLOURS.get(row.state, "red")),
                "?" if row.waiting is None else str(row.waiting),
                when(row.waiting_since),
                ", ".join(row.exclude if row.left_out is None else row.left_out),
                row.reason or "",
            )
            for row in rows
        ],
    )


def _watches(platform: Platform) -> Watches:
    connections = platform.settings.watch_connections
    return Watches(platform.database, connections, Relay(platform.database, platform.dispatcher, connections))
