"""``stepwell triggers``: which events start which processes, and what a trigger would make of one."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic_core import to_json
from rich.text import Text

from cli.arguments import HOW_JSON, json_argument
from cli.events import event_given
from cli.output import AsJson, console, done, print_json, print_table, status_text
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from composition import Platform
from control.events import Events
from control.triggers import Triggers
from domain.errors import Conflict
from domain.events import EventKind, NewEvent, Trace
from store.events import event_of
from store.tables import TriggerRow
from triggers.matching import trigger_on_event

app = typer.Typer()
triggers = typer.Typer(
    no_args_is_help=True,
    help="Which events start or wake which processes.",
    epilog="Example: stepwell triggers test --event 17",
)
app.add_typer(triggers, name="triggers")

TriggerId = Annotated[int, typer.Argument(help="The trigger's number.", metavar="TRIGGER", min=1)]
Note = Annotated[str | None, typer.Option("--note", help="Why.")]


class TriggerType(StrEnum):
    """What a trigger listens to."""

    EVENT = "event"
    WEBHOOK = "webhook"
    SIGNAL = "signal"


@triggers.command("list")
def list_triggers(
    *,
    process: Annotated[str | None, typer.Option("--process", "-p", help="Only of this process.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List triggers by process: those of definitions, built-in ones included, and those made here."""

    async def found(platform: Platform) -> Sequence[TriggerRow]:
        return await _triggers(platform).list(await tenant_of(platform, tenant), process=process)

    rows = with_platform(found)
    if as_json:
        print_json([_document(row) for row in rows])
        return
    print_table(
        ("trigger", "process", "type", "listens to", "", "of"),
        [
            (str(row.id), row.process, row.type, row.pattern, "" if row.is_active else _off(row), _origin(row))
            for row in rows
        ],
    )


@triggers.command()
def show(trigger: TriggerId, *, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a trigger with its config."""

    async def found(platform: Platform) -> TriggerRow:
        return await _triggers(platform).get(await tenant_of(platform, tenant), trigger)

    _show(with_platform(found), as_json=as_json)


@triggers.command(epilog='Example: stepwell triggers create send_receipt --config \'{"event": "order.*"}\'')
def create(
    process: Annotated[str, typer.Argument(help="The process that it starts.", metavar="PROCESS")],
    *,
    config: Annotated[str, typer.Option("--config", "-c", help=f"As in a definition: {HOW_JSON}")],
    type: Annotated[TriggerType, typer.Option("--type", help="What it listens to.")] = TriggerType.EVENT,  # noqa: A002
    off: Annotated[bool, typer.Option("--off", help="Make it switched off.")] = False,
    note: Note = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a trigger for a process. It is checked as publishing checks those of definitions."""
    value = json_argument(config, "--config")

    async def made(platform: Platform) -> TriggerRow:
        owner = await tenant_of(platform, tenant)
        return await _triggers(platform).create(
            owner, process, type.value, value, is_active=not off, note=note or "", by=operator_name()
        )

    row = with_platform(made)
    if as_json:
        print_json(_document(row))
    else:
        done(f"trigger {row.id}: {row.type} {row.pattern} starts {row.process}{' once it is enabled' if off else ''}")


@triggers.command()
def enable(trigger: TriggerId, *, note: Note = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Switch a trigger on. Events that came while it was off have not met it."""
    _switch(trigger, note, tenant, as_json=as_json, is_active=True)


@triggers.command()
def disable(trigger: TriggerId, *, note: Note = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Switch a trigger off. A new version of its definition does not switch it on."""
    _switch(trigger, note, tenant, as_json=as_json, is_active=False)


@triggers.command()
def delete(
    trigger: TriggerId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Remove a trigger that was made here or over REST. A definition's goes with the definition."""
    if not yes:
        typer.confirm(f"Delete trigger {trigger}?", abort=True, err=True)

    async def removed(platform: Platform) -> None:
        await _triggers(platform).delete(await tenant_of(platform, tenant), trigger)

    with_platform(removed)
    if as_json:
        print_json({"id": trigger, "deleted": True})
    else:
        done(f"deleted trigger {trigger}")


@triggers.command("test", epilog="Example: stepwell triggers test 3 --type order.paid --payload '{\"total\": 5}'")
def try_out(
    trigger: Annotated[
        int | None, typer.Argument(help="Only this trigger; without it, all.", metavar="TRIGGER", min=1)
    ] = None,
    *,
    event: Annotated[int | None, typer.Option("--event", "-e", help="A stored event's number.", min=1)] = None,
    type: Annotated[str | None, typer.Option("--type", help="Or the type of one made up.")] = None,  # noqa: A002
    payload: Annotated[str, typer.Option("--payload", "-p", help=f"Its payload: {HOW_JSON}")] = "{}",
    source: Annotated[str, typer.Option(help="Its source.")] = "cli",
    subject: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    kind: Annotated[EventKind, typer.Option(help="How it comes in.")] = EventKind.EVENT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show what a trigger, or all, would make of an event, and why. Nothing is kept or started."""
    if (event is None) == (type is None):
        raise typer.BadParameter("give either --event or --type")
    given = None if type is None else event_given(type, source, subject, payload, kind=kind)

    async def tried(platform: Platform) -> Sequence[Trace]:
        return await _try_out(platform, await tenant_of(platform, tenant), given, event or 0, trigger)

    traces = with_platform(tried)
    if as_json:
        print_json(traces)
        return
    print_table(
        ("trigger", "process", "would be", "key", "why"),
        [
            (str(each.trigger_id or ""), each.process, status_text(each.status), each.key or "", each.reason)
            for each in traces
        ],
    )
    for each in traces:
        console().print(Text(f"{each.process}: input {_json(each.input)}", style="dim"), soft_wrap=True)
        if each.explain is not None:
            console().print(Text(f"{each.process}: rule {_json(each.explain)}", style="dim"), soft_wrap=True)


async def _try_out(
    platform: Platform, tenant: str, given: NewEvent | None, event_id: int, trigger_id: int | None
) -> Sequence[Trace]:
    commands = _triggers(platform)
    event = given or event_of(await Events(platform.database).get(tenant, event_id))
    dispatcher = platform.dispatcher
    if trigger_id is None:
        return await commands.startable(tenant, await dispatcher.try_out(tenant, event))
    row = await commands.get(tenant, trigger_id)
    if row.type in ("schedule", "manual"):
        raise Conflict(f"trigger {trigger_id} is of the type {row.type}, which no event meets")
    traces = await dispatcher.try_out(tenant, event, trigger_on_event(row.type, row.config), row.process)
    return await commands.startable(tenant, [each.model_copy(update={"trigger_id": trigger_id}) for each in traces])


def _switch(trigger: int, note: str | None, tenant: str | None, *, as_json: bool, is_active: bool) -> None:
    async def switched(platform: Platform) -> TriggerRow:
        return await _triggers(platform).update(
            await tenant_of(platform, tenant), trigger, is_active=is_active, note=note
        )

    row = with_platform(switched)
    if as_json:
        print_json(_document(row))
    else:
        done(f"trigger {trigger} of {row.process} is {'on' if is_active else 'off'}")


def _show(row: TriggerRow, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(row))
        return
    state = "on" if row.is_active else _off(row)
    console().print(Text(f"trigger {row.id} of {row.process}: {row.type}, {state} ({_origin(row)})"), soft_wrap=True)
    console().print(Text(to_json(row.config, indent=2).decode()), soft_wrap=True)


def _document(row: TriggerRow) -> dict[str, Any]:
    return {**row.model_dump(exclude={"position"}), "tenant_id": row.tenant_id or None}


def _off(row: TriggerRow) -> str:
    return f"off: {row.note}" if row.note else "off"


def _origin(row: TriggerRow) -> str:
    if row.definition_id is None:
        return row.created_by
    return "its definition" if row.tenant_id else "built in"


def _json(value: Any) -> str:
    return to_json(value).decode()


def _triggers(platform: Platform) -> Triggers:
    return Triggers(platform.database, platform.publisher)
