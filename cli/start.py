"""``stepwell run``: start a process and watch it."""

import asyncio
import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.live import Live

from cli.arguments import HOW_JSON, json_argument, wait_limit
from cli.failures import ExitCode
from cli.output import AsJson, console, done, error_console, print_json
from cli.platform import Tenant, tenant_of, with_platform
from cli.timeline import run_document, run_panel
from composition import Platform
from domain.messages import RunStatus, RunView
from store.tables import RunRow

app = typer.Typer()

_LOOKS_SECONDS = 0.25


@app.callback()
def _group() -> None:
    """Keeps the command's name: an application of one command would have none."""


@app.command(
    epilog=(
        'Examples:\n\nstepwell run lead_to_customer_onboarding --input \'{"lead_id": "…"}\'\n\n'
        "stepwell run refund_approval --input @refund.yaml --key order-17 --wait 0"
    )
)
def run(
    process: Annotated[str, typer.Argument(help="The process's name.")],
    *,
    input: Annotated[str, typer.Option("--input", "-i", help=f"The run's input: {HOW_JSON}")] = "{}",  # noqa: A002
    wait: Annotated[float, typer.Option("--wait", "-w", help="Seconds to wait for its end; 0: do not.")] = 60.0,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: the same key never starts a second run.")
    ] = None,
    version: Annotated[str | None, typer.Option("--process-version", help="Label or digest of a version.")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Start a process and watch it. It goes on whatever happens to this command.

    Exit code 0 when it completed or is still under way, 1 when it failed or was cancelled.
    """
    value, limit = json_argument(input, "--input"), wait_limit(wait)

    async def start(platform: Platform) -> RunRow:
        owner = await tenant_of(platform, tenant)
        accepted = await platform.runs.accept(
            owner,
            process,
            value,
            trigger_type="manual",
            trigger_source="stepwell run",
            idempotency_key=key,
            version=version,
        )
        if not as_json:
            done(f"accepted as run {accepted.run.id}" if accepted.created else f"this is run {accepted.run.id} already")
        try:
            row, view = await watch(platform, accepted.run, limit.total_seconds(), live=not as_json)
        except asyncio.CancelledError:  # Ctrl-C
            error_console().print(f"The run goes on. Look again: stepwell runs show {accepted.run.id} --follow")
            raise
        _show(row, view, as_json=as_json, waited=wait > 0)
        return row

    leave_by(with_platform(start))


async def watch(platform: Platform, row: RunRow, seconds: float, *, live: bool) -> tuple[RunRow, RunView]:
    """Follow a run to its end, or for ``seconds``; ``live``: show its steps meanwhile, on a terminal."""
    run_id, deadline = row.id or 0, time.monotonic() + seconds
    screen = console()
    shown = Live(console=screen, auto_refresh=False, transient=True) if live and screen.is_terminal else nullcontext()
    with shown as display:
        while True:
            left = deadline - time.monotonic()
            row = await platform.runs.wait(row.tenant_id, run_id, max(0.0, min(left, _LOOKS_SECONDS)))
            over = RunStatus(row.status).ended or left <= 0
            view = await platform.runs.view(row.tenant_id, run_id) if over or display else None
            if display is not None and view is not None:
                display.update(run_panel(row, view), refresh=True)
            if over and view is not None:
                return await platform.runs.get(row.tenant_id, run_id), view


def leave_by(row: RunRow) -> None:
    """Leave with the exit code of the run's end. One that is still under way has not failed."""
    if row.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        raise typer.Exit(ExitCode.FAILED)


def _show(row: RunRow, view: RunView, *, as_json: bool, waited: bool) -> None:
    if as_json:
        print_json(run_document(row, view))
        return
    screen = console()
    screen.print(run_panel(row, view))
    if waited and not view.status.ended:
        screen.print(f"Still under way. Look again: stepwell runs show {row.id} --follow", soft_wrap=True)
