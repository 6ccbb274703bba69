"""``stepwell events``: what came in from outside, what was made of it, and what did not work, again."""

from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from pydantic_core import to_json
from rich.console import Group
from rich.text import Text

from cli.arguments import HOW_JSON, json_argument, moment
from cli.failures import ExitCode
from cli.output import AsJson, console, done, error_console, print_json, print_table, status_text, when
from cli.platform import Tenant, tenant_of, with_platform
from composition import Platform
from control.events import Events
from domain.errors import InputInvalid
from domain.events import EventStatus, Ingested, NewEvent
from domain.refusals import faults_of
from store.events import EventFilter
from store.tables import DeliveryRow, EventRow

app = typer.Typer()
events = typer.Typer(
    no_args_is_help=True,
    help="Look at events, send one, replay what went wrong.",
    epilog="Example: stepwell events list --status dead --since 1d",
)
app.add_typer(events, name="events")

_SHOWN_CHARACTERS: Final = 2000

EventId = Annotated[int, typer.Argument(help="The event's number.", metavar="EVENT", min=1)]
Type = Annotated[str | None, typer.Option("--type", help="Only of this type; * is any text.")]


@events.command("list")
def list_events(
    *,
    type: Type = None,  # noqa: A002
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this subject.")] = None,
    status: Annotated[EventStatus | None, typer.Option("--status", "-s", help="Only with this status.")] = None,
    text: Annotated[str | None, typer.Option(help="Only with this text in the payload.")] = None,
    since: Annotated[str | None, typer.Option(help="Received since: 2h, 3d, or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="Received before: 2h, 3d, or a time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to pass over.")] = 0,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first."""
    wanted = EventFilter(
        type=type,
        source=source,
        subject=subject,
        status=status,
        text=text,
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )

    async def found(platform: Platform) -> tuple[list[EventRow], int]:
        commands, owner = Events(platform.database), await tenant_of(platform, tenant)
        rows, total = await commands.list(owner, wanted, limit=limit, offset=offset)
        return [*rows], total

    rows, total = with_platform(found)
    if as_json:
        print_json([_document(row) for row in rows])
        return
    print_table(
        ("event", "type", "source", "subject", "status", "received (UTC)", "why"),
        [
            (
                str(row.id),
                row.type,
                row.source,
                row.subject or "",
                status_text(row.status),
                when(row.received_at),
                (row.reason or "")[:120],
            )
            for row in rows
        ],
    )
    if total > offset + len(rows):
        console().print(f"{total} in all: --offset {offset + len(rows)} shows more", style="dim")


@events.command()
def show(event: EventId, *, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show an event, and what each trigger has made of it."""

    async def looked_at(platform: Platform) -> tuple[EventRow, list[DeliveryRow]]:
        commands, owner = Events(platform.database), await tenant_of(platform, tenant)
        return await commands.get(owner, event), [*await commands.deliveries(owner, event)]

    row, deliveries = with_platform(looked_at)
    if as_json:
        told = [each.model_dump(exclude={"tenant_id", "claimed_at", "event_id"}) for each in deliveries]
        print_json({**_document(row), "payload": row.payload, "headers": row.headers, "deliveries": told})
        return
    console().print(_head(row))
    print_table(
        ("trigger", "process", "made", "run", "key", "why"),
        [
            (
                str(each.trigger_id),
                each.process,
                status_text(each.status),
                str(each.run_id or ""),
                each.key or "",
                each.reason,
            )
            for each in deliveries
        ],
    )


@events.command(epilog="Example: stepwell events send order.paid --payload '{\"total\": 5}' --key order-17")
def send(
    type: Annotated[str, typer.Argument(help="The event's type, as order.paid.", metavar="TYPE")],  # noqa: A002
    *,
    payload: Annotated[str, typer.Option("--payload", "-p", help=HOW_JSON)] = "{}",
    key: Annotated[
        str | None, typer.Option("--key", "-k", help="Its id: the same source and key happens once.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where it comes from.")] = "cli",
    subject: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Send an event. The exit code is 1 when a trigger failed on it."""
    event = event_given(type, source, subject, payload, key=key)

    async def taken(platform: Platform) -> Ingested:
        return await platform.dispatcher.ingest(await tenant_of(platform, tenant), event)

    ingested = with_platform(taken)
    if as_json:
        print_json(ingested)
    elif ingested.created:
        _tell(ingested)
    else:
        done(f"event {ingested.event_id} was there already; nothing was done again{_runs(ingested)}")
    if ingested.status is EventStatus.DEAD:
        raise typer.Exit(ExitCode.FAILED)


@events.command(epilog="Examples: stepwell events replay 17 18; stepwell events replay --dead --type order.paid")
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Which events.", metavar="EVENT…", min=1)] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="All dead ones; the workers do it.")] = False,
    type: Annotated[str | None, typer.Option("--type", help="With --dead: only of this type.")] = None,  # noqa: A002
    source: Annotated[str | None, typer.Option(help="With --dead: only of this source.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Ask the triggers that have not succeeded on events again. Safe to repeat.

    The exit code is 1 when a trigger failed again.
    """
    if dead == bool(ids):
        raise typer.BadParameter("name events, or give --dead")
    if not dead and (type is not None or source is not None):
        raise typer.BadParameter("--type and --source are for --dead")
    if dead:
        _replay_dead(tenant, type, source, as_json=as_json)
        return

    async def replayed(platform: Platform) -> list[Ingested]:
        commands, owner, dispatcher = (
            Events(platform.database),
            await tenant_of(platform, tenant),
            platform.dispatcher,
        )
        for each in ids or ():
            await commands.get(owner, each)
        return [await dispatcher.replay(owner, each) for each in ids or ()]

    outcomes = with_platform(replayed)
    if as_json:
        print_json([each.model_dump(mode="json", exclude={"created"}) for each in outcomes])
    else:
        for each in outcomes:
            _tell(each)
    if any(each.status is EventStatus.DEAD for each in outcomes):
        raise typer.Exit(ExitCode.FAILED)


def event_given(type: str, source: str, subject: str | None, payload: str, **more: Any) -> NewEvent:  # noqa: A002
    """The event that a command line says. Raises ``InputInvalid`` and ``typer.BadParameter``."""
    given = {name: value for name, value in {"subject": subject, **more}.items() if value is not None}
    try:
        return NewEvent(type=type, source=source, payload=json_argument(payload, "--payload"), **given)
    except ValidationError as error:
        faults = faults_of(error.errors())
        raise InputInvalid("the event does not fit", faults) from error


def _replay_dead(tenant: str | None, type: str | None, source: str | None, *, as_json: bool) -> None:  # noqa: A002
    async def pending(platform: Platform) -> int:
        owner = await tenant_of(platform, tenant)
        return await Events(platform.database).replay_dead(owner, type=type, source=source)

    count = with_platform(pending)
    if as_json:
        print_json({"events": count})
    else:
        done(f"{count} {'event is' if count == 1 else 'events are'} pending; the workers ask their triggers again")


def _tell(ingested: Ingested) -> None:
    what = f"event {ingested.event_id}"
    if ingested.status is EventStatus.DEAD:
        line = f"{what} is dead{_runs(ingested)}: stepwell events show {ingested.event_id} says why"
        error_console().print(Text.assemble(("✗ ", "red"), line), soft_wrap=True)
    else:
        done(f"{what} is {ingested.status}{_runs(ingested) or '; no run starts'}")


def _runs(ingested: Ingested) -> str:
    return f"; runs: {', '.join(map(str, ingested.run_ids))}" if ingested.run_ids else ""


def _head(row: EventRow) -> Group:
    lines = [
        Text.assemble((f"event {row.id}  ", "bold"), f"{row.type}  ", status_text(row.status)),
        Text(f"of {row.source}, key {row.key}" + (f", about {row.subject}" if row.subject else "")),
        Text(f"occurred {when(row.occurred_at)}, received {when(row.received_at)} (UTC), trace {row.trace_id}"),
        Text(f"payload {to_json(row.payload).decode()[:_SHOWN_CHARACTERS]}", style="dim"),
    ]
    if row.reason:
        lines.append(Text(row.reason, style="red"))
    return Group(*lines)


def _document(row: EventRow) -> dict[str, Any]:
    return row.model_dump(exclude={"payload", "headers"})
