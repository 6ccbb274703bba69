"""``stepwell schedules``: when processes start by themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from cli.arguments import HOW_JSON, json_argument, moment
from cli.output import AsJson, console, done, print_json, print_table, when
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from composition import Platform
from control.schedules import Described, Schedules, next_times, schedule_config
from domain.schedules import PREVIEWED, Timing, read_timing
from domain.triggers import ScheduleConfig
from store.schedules import ScheduleRecord

app = typer.Typer()
schedules = typer.Typer(
    no_args_is_help=True,
    help="Start processes at set times.",
    epilog="Example: stepwell schedules create daily_report --cron '0 8 * * 1-5' --timezone Europe/Berlin",
)
app.add_typer(schedules, name="schedules")


class OverlapChoice(StrEnum):
    """What happens when the run before is still going."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    ALLOW_ALL = "allow_all"


_HOW_OVERLAP: Final = (
    "If the run before is still going: skip, buffer_one or buffer_all (afterwards), cancel_other, allow_all."
)

ScheduleId = Annotated[int, typer.Argument(help="The schedule's number.", metavar="SCHEDULE", min=1)]
NoteOption = Annotated[str, typer.Option("--note", help="Why.")]
Cron = Annotated[str | None, typer.Option("--cron", "-c", help="Five fields: minute, hour, day, month, weekday.")]
Every = Annotated[str | None, typer.Option("--every", "-e", help="Again and again: 15m, 1d.")]
TimeZone = Annotated[str | None, typer.Option("--timezone", "-z", help="What --cron means. Default: UTC.")]


@schedules.command("list")
def list_schedules(
    *,
    process: Annotated[str | None, typer.Option("--process", "-p", help="Only of this process.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List all schedules, those of definitions and built-in processes included."""

    async def found(platform: Platform) -> Sequence[ScheduleRecord]:
        return await _schedules(platform).list(await tenant_of(platform, tenant), process=process)

    records = with_platform(found)
    if as_json:
        print_json([_document(record) for record in records])
        return
    rows = []
    for record in records:
        times = next_times(record, 1)
        rows.append((str(record.id), record.process, _words(record), _state(record), when(times[0] if times else None)))
    print_table(("schedule", "process", "when", "state", "next (UTC)"), rows)


@schedules.command()
def show(schedule: ScheduleId, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a schedule with its next and last runs, as Temporal tells them."""

    async def looked_at(platform: Platform) -> Described:
        return await _schedules(platform).describe(await tenant_of(platform, tenant), schedule)

    found = with_platform(looked_at)
    if as_json:
        last = [{**_fields_of(each), "run": each.run_id} for each in found.last_runs]
        extra = {"temporal_schedule_id": found.schedule_id, "last_runs": last, "next_runs": found.next_runs}
        print_json({**_document(found.record), **extra, "missed": found.missed, "skipped": found.skipped})
        return
    console().print(
        Text.assemble((found.record.process, "bold"), "  ", _words(found.record), "  ", _state(found.record))
    )
    console().print(f"on Temporal: {found.schedule_id}", style="dim", soft_wrap=True)
    _print_times(found.next_runs)
    print_table(
        ("was due (UTC)", "run", "status"),
        [(when(each.due_at), str(each.run_id or each.workflow_id), each.status or "") for each in found.last_runs],
    )


@schedules.command(epilog="Example: stepwell schedules create daily_report --cron '0 8 * * 1-5' -z Europe/Berlin")
def create(
    process: Annotated[str, typer.Argument(help="What to start.", metavar="PROCESS")],
    *,
    cron: Cron = None,
    every: Every = None,
    timezone: TimeZone = None,
    overlap: Annotated[OverlapChoice | None, typer.Option("--overlap", help=_HOW_OVERLAP)] = None,
    catchup_window: Annotated[
        str | None, typer.Option("--catchup-window", help="How late a missed run may be made up for. Default: 1h.")
    ] = None,
    jitter: Annotated[str | None, typer.Option("--jitter", help="Start up to that much later, at random.")] = None,
    input: Annotated[str | None, typer.Option("--input", "-i", help=f"The runs' input: {HOW_JSON}")] = None,  # noqa: A002
    note: NoteOption = "",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a schedule of a process. A worker brings it to Temporal within seconds."""
    value = None if input is None else json_argument(input, "--input")
    config = _config(
        cron=cron,
        every=every,
        timezone=timezone,
        overlap=None if overlap is None else overlap.value,
        catchup_window=catchup_window,
        jitter=jitter,
        input=value,
    )

    async def made(platform: Platform) -> ScheduleRecord:
        owner = await tenant_of(platform, tenant)
        return await _schedules(platform).create(owner, process, config, note=note, by=operator_name())

    _tell(with_platform(made), "is made", as_json=as_json)


@schedules.command()
def preview(
    *,
    cron: Cron = None,
    every: Every = None,
    timezone: TimeZone = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many times.")] = PREVIEWED,
    as_json: AsJson = False,
) -> None:
    """Say in words when a schedule would run, and its next times. Needs no database, and makes nothing."""
    timing: Timing = read_timing(_config(cron=cron, every=every, timezone=timezone))
    times = timing.next_times(datetime.now(UTC), count)
    if as_json:
        print_json({"words": timing.words(), "next_runs": times})
        return
    console().print(timing.words())
    _print_times(times)


@schedules.command()
def pause(schedule: ScheduleId, note: NoteOption = "", tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Start no more runs until it is resumed."""

    async def paused(platform: Platform) -> ScheduleRecord:
        return await _schedules(platform).pause(await tenant_of(platform, tenant), schedule, note)

    _tell(with_platform(paused), "is paused", as_json=as_json)


@schedules.command()
def resume(schedule: ScheduleId, note: NoteOption = "", tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Start runs again. What was due meanwhile is left out; backfill makes up for it."""

    async def resumed(platform: Platform) -> ScheduleRecord:
        return await _schedules(platform).resume(await tenant_of(platform, tenant), schedule, note)

    _tell(with_platform(resumed), "goes on", as_json=as_json)


@schedules.command()
def run(
    schedule: ScheduleId,
    overlap: Annotated[OverlapChoice, typer.Option("--overlap", help=_HOW_OVERLAP)] = OverlapChoice.ALLOW_ALL,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Start a run at once, also of a paused schedule."""

    async def started(platform: Platform) -> None:
        await _schedules(platform).run_now(await tenant_of(platform, tenant), schedule, overlap=overlap.value)

    with_platform(started)
    if as_json:
        print_json({"id": schedule, "started": True})
    else:
        done(f"schedule {schedule} starts a run; stepwell schedules show {schedule} shows it")


@schedules.command(epilog="Example: stepwell schedules backfill 3 --from 2026-11-20T00:00 --to 2026-11-21T00:00")
def backfill(
    schedule: ScheduleId,
    *,
    start: Annotated[str, typer.Option("--from", help="First time that counts: 2d (ago), or a time.")],
    end: Annotated[str, typer.Option("--to", help="Last time that counts: 2h (ago), or a time. Default: now.")] = "0s",
    overlap: Annotated[OverlapChoice, typer.Option("--overlap", help=_HOW_OVERLAP)] = OverlapChoice.BUFFER_ALL,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Start the runs that were due in a range of the past."""
    first, last = moment(start, "--from"), moment(end, "--to")

    async def started(platform: Platform) -> int:
        if first is None or last is None:  # never: both are given
            return 0
        owner = await tenant_of(platform, tenant)
        return await _schedules(platform).backfill(owner, schedule, first, last, overlap=overlap.value)

    runs = with_platform(started)
    if as_json:
        print_json({"id": schedule, "runs": runs})
    else:
        done(f"schedule {schedule} makes up for {runs} runs")


@schedules.command()
def delete(
    schedule: ScheduleId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Delete a schedule that somebody has made; its runs go on."""
    if not yes:
        typer.confirm(f"Delete schedule {schedule}?", abort=True, err=True)

    async def removed(platform: Platform) -> None:
        await _schedules(platform).delete(await tenant_of(platform, tenant), schedule)

    with_platform(removed)
    if as_json:
        print_json({"id": schedule, "deleted": True})
    else:
        done(f"deleted schedule {schedule}")


def _schedules(platform: Platform) -> Schedules:
    return Schedules(platform.database, platform.temporal, platform.settings.task_queue)


def _config(**values: Any) -> ScheduleConfig:
    return schedule_config({name: value for name, value in values.items() if value is not None})


def _words(record: ScheduleRecord) -> str:
    return read_timing(ScheduleConfig.model_validate(record.config)).words()


def _state(record: ScheduleRecord) -> Text:
    if not record.is_startable:
        return Text("process is off", style="red")
    if record.is_active:
        return Text("active", style="green")
    return Text(f"paused: {record.note}" if record.note else "paused", style="yellow")


def _document(record: ScheduleRecord) -> dict[str, Any]:
    return {**_fields_of(record), "words": _words(record), "next_runs": next_times(record)}


def _fields_of(item: Any) -> dict[str, Any]:
    """The fields of a frozen record."""
    return {name: getattr(item, name) for name in item.__slots__}


def _tell(record: ScheduleRecord, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(record))
    else:
        done(f"schedule {record.id} of {record.process} {what}: {_words(record)}")


def _print_times(times: Sequence[datetime]) -> None:
    print_table(("next (UTC)",), [(when(each),) for each in times])
