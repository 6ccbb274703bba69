"""``stepwell runs``: look at runs and act on them."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.arguments import HOW_JSON, json_argument, moment
from cli.output import AsJson, console, done, duration, print_json, print_table, status_text, when
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from cli.start import leave_by, watch
from cli.timeline import run_document, run_panel
from composition import Platform
from domain.messages import ResolveStep, RunStatus, RunView
from store.runs import RunFilter
from store.tables import RunRow

app = typer.Typer()
runs = typer.Typer(
    no_args_is_help=True,
    help="Look at runs and act on them.",
    epilog="Example: stepwell runs list --status failed --since 1d --json",
)
app.add_typer(runs, name="runs")

_FOLLOW_SECONDS = 365 * 86400.0

RunId = Annotated[int, typer.Argument(help="The run's number.", metavar="RUN", min=1)]


class Decision(StrEnum):
    """How a parked step goes on."""

    RETRY = "retry"
    DONE = "done"
    SKIP = "skip"
    FAIL = "fail"


@runs.command("list")
def list_runs(
    *,
    process: Annotated[str | None, typer.Option("--process", "-p", help="Only of this process.")] = None,
    status: Annotated[RunStatus | None, typer.Option("--status", "-s", help="Only with this status.")] = None,
    since: Annotated[str | None, typer.Option(help="Accepted since: 2h, 3d, or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="Accepted before: 2h, 3d, or a time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to pass over.")] = 0,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    wanted = RunFilter(
        process=process,
        status=status,
        since=moment(since, "--since"),
        until=moment(until, "--until"),
    )

    async def found(platform: Platform) -> tuple[list[RunRow], int]:
        rows, total = await platform.runs.list(await tenant_of(platform, tenant), wanted, limit=limit, offset=offset)
        return [*rows], total

    rows, total = with_platform(found)
    if as_json:
        print_json([run_document(row) for row in rows])
        return
    print_table(
        ("run", "process", "status", "accepted (UTC)", "took", "waits on / error"),
        [
            (
                str(row.id),
                row.process,
                status_text(row.status),
                when(row.created_at),
                duration(row.started_at, row.finished_at),
                _remark(row),
            )
            for row in rows
        ],
    )
    if total > offset + len(rows):
        console().print(f"{total} in all: --offset {offset + len(rows)} shows more", style="dim")


@runs.command()
def show(
    run: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until it has ended.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show where a run is: its steps, what it waits on, how it ended.

    With --follow, the exit code is 1 when it failed or was cancelled.
    """

    async def looked_at(platform: Platform) -> tuple[RunRow, RunView]:
        row = await platform.runs.get(await tenant_of(platform, tenant), run)
        return await watch(platform, row, _FOLLOW_SECONDS if follow else 0.0, live=not as_json)

    row, view = with_platform(looked_at)
    if as_json:
        print_json(run_document(row, view))
    else:
        console().print(run_panel(row, view, details=True))
    if follow:
        leave_by(row)


@runs.command()
def cancel(run: RunId, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Ask a run to undo what it did and end. One that has not begun ends at once."""

    async def cancelled(platform: Platform) -> RunRow:
        return await platform.runs.cancel(await tenant_of(platform, tenant), run)

    row = with_platform(cancelled)
    if as_json:
        print_json(run_document(row))
    elif row.status == RunStatus.CANCELLED:
        done(f"run {run} is cancelled")
    else:
        done(f"run {run} was asked to end; stepwell runs show {run} --follow shows it")


@runs.command(epilog="Example: stepwell runs signal 17 payment_received --payload '{\"amount\": 40}'")
def signal(
    run: RunId,
    name: Annotated[str, typer.Argument(help="The signal's name, as in the step that waits for it.")],
    payload: Annotated[str, typer.Option("--payload", help=f"What comes with it: {HOW_JSON}")] = "null",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Send a signal to a run. It is kept until a step waits for it."""
    value = json_argument(payload, "--payload")

    async def signalled(platform: Platform) -> None:
        await platform.runs.signal(await tenant_of(platform, tenant), run, name, value)

    with_platform(signalled)
    _confirm({"execution_id": run, "signal": name}, f"sent {name} to run {run}", as_json=as_json)


@runs.command(epilog="Example: stepwell runs resolve 17 send_mail done --comment 'it is in the sent folder'")
def resolve(
    run: RunId,
    step: Annotated[str, typer.Argument(help="The parked step's path.")],
    decision: Annotated[
        Decision,
        typer.Argument(help="retry: perform it again; done: it has happened; skip: go on without; fail: fail it."),
    ],
    output: Annotated[str, typer.Option("--output", help=f"The step's output, with done: {HOW_JSON}")] = "null",
    *,
    comment: Annotated[str, typer.Option("--comment", help="Why.")] = "",
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Say how a parked step goes on: one of which nobody can tell whether its effect has happened."""
    resolution = ResolveStep(
        step=step,
        decision=decision.value,
        output=json_argument(output, "--output"),
        comment=comment,
        by=operator_name(),
    )

    async def resolved(platform: Platform) -> None:
        await platform.runs.resolve(await tenant_of(platform, tenant), run, resolution)

    with_platform(resolved)
    _confirm(
        {"execution_id": run, "step": step, "decision": decision},
        f"run {run} goes on: {step} {decision}",
        as_json=as_json,
    )


def _confirm(document: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        done(line)


def _remark(row: RunRow) -> str:
    if row.error:
        return str(row.error.get("message", ""))[:120]
    return ", ".join(str(each.get("what", "")) for each in row.waiting_on)
