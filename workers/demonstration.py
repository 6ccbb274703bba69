"""The first run that a newcomer sees: a lead is onboarded over REST, and its steps are shown as they happen."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import httpx2
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from domain.errors import StepwellError, Unavailable
from domain.messages import RunStatus, StepStatus
from services.demo import DEMO_LEAD
from workers.development import Account

PROCESS = "lead_to_customer_onboarding"

_POLL_SECONDS = 0.1
_OTHER_COLUMNS_WIDTH = 13  # mark, milliseconds and the gaps
_MARKS = {
    StepStatus.COMPLETED: "[green]✓[/]",
    StepStatus.RUNNING: "[cyan]…[/]",
    StepStatus.WAITING: "[yellow]⏸[/]",
    StepStatus.SKIPPED: "[dim]-[/]",
    StepStatus.FAILED: "[red]✗[/]",
    StepStatus.COMPENSATED: "[yellow]↶[/]",
    StepStatus.CANCELLED: "[yellow]✗[/]",
}


async def demonstrate(
    console: Console, api: str, account: Account, tenant: str, *, patience: timedelta = timedelta(seconds=60)
) -> bool:
    """Onboard the demonstration's lead and show it. Returns whether the run completed.

    What goes wrong is told on the console; the stack stays up for a look at it.
    """
    try:
        async with httpx2.AsyncClient(base_url=api, timeout=10, trust_env=False) as client:
            async with asyncio.timeout(patience.total_seconds()):
                return await _onboard(client, console, account, tenant)
    except (httpx2.HTTPError, StepwellError) as error:
        console.print(f"[red]The demonstration did not run:[/] {escape(str(error))}")
    except TimeoutError:
        console.print("[yellow]The run has not ended yet[/]; look at it in the Temporal UI, or at the worker's log.")
    return False


async def _onboard(client: httpx2.AsyncClient, console: Console, account: Account, tenant: str) -> bool:
    body = {"email": account.email, "password": account.password}
    token = (await _call(client, "POST", "/auth/login", json=body))["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    lead = {"lead_id": str(DEMO_LEAD), "tenant_id": tenant}
    console.print(f"[bold]POST /workflows/execute/{PROCESS}[/] {escape(json.dumps(lead))}", soft_wrap=True)
    run = await _call(client, "POST", f"/workflows/execute/{PROCESS}", json=lead, params={"wait": "0"})
    path = f"/workflows/executions/{run['execution_id']}"
    with Live(console=console, auto_refresh=False) as live:
        while True:
            run = await _call(client, "GET", path, params={"include_steps": "true", "include_duration": "true"})
            live.update(_timeline(run, console.width), refresh=True)
            if RunStatus(run["status"]).ended:
                break
            await asyncio.sleep(_POLL_SECONDS)
    if not console.is_terminal:
        console.print()
    _print_result(console, run)
    return RunStatus(run["status"]) is RunStatus.COMPLETED


async def _call(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    answer = await client.request(method, path, **options)
    if answer.is_error:
        raise Unavailable(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
    document: dict[str, Any] = answer.json()
    return document


def _timeline(run: dict[str, Any], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    steps = run.get("steps") or ()
    for heading in ("", "step", "ms", "output"):
        table.add_column(heading, justify="right" if heading == "ms" else "left", no_wrap=True)
    room = width - max((len(step["name"]) for step in steps), default=0) - _OTHER_COLUMNS_WIDTH
    for step in steps:
        status = StepStatus(step["status"])
        table.add_row(
            _MARKS[status],
            escape(step["name"]),
            _milliseconds(step),
            escape(_shortened(_brief(step), room)),
        )
    if not table.row_count:
        table.add_row("[cyan]…[/]", run["status"])
    return table


def _milliseconds(step: dict[str, Any]) -> str:
    if not step.get("started_at") or not step.get("completed_at"):
        return ""
    took = datetime.fromisoformat(step["completed_at"]) - datetime.fromisoformat(step["started_at"])
    return f"{took / timedelta(milliseconds=1):.0f}"


def _brief(step: dict[str, Any]) -> str:
    """The first few fields of a step's output, or why it failed."""
    if step.get("error"):
        return str(step["error"]["message"])
    match step.get("output"):
        case None:
            return ""
        case dict() as output:
            return ", ".join(f"{name}={value}" for name, value in output.items())
        case output:
            return str(output)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _print_result(console: Console, run: dict[str, Any]) -> None:
    seconds = run.get("duration_seconds")
    took = f" in {seconds:.2f} s" if seconds is not None else ""
    colour = "green" if RunStatus(run["status"]) is RunStatus.COMPLETED else "red"
    console.print(f"[bold {colour}]Run {run['execution_id']} {run['status']}[/]{took}")
    if run.get("error_message"):
        console.print(f"[red]{escape(run['error_message'])}[/]")
    if run.get("result") is not None:
        console.print_json(data=run["result"])
