"""A run as people see it: its steps, how long each took, what it waits on, how it ended."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output import duration, status_text, when
from domain.messages import RunStatus, RunView, StepRecord, StepStatus, WaitingOn
from store.tables import RunRow

_MARKS: Final = {
    StepStatus.RUNNING: ("…", "cyan"),
    StepStatus.WAITING: ("⏸", "yellow"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
    StepStatus.COMPENSATED: ("↶", "yellow"),
    StepStatus.CANCELLED: ("✗", "yellow"),
}
_SHOWN_CHARACTERS: Final = 300


def run_document(row: RunRow, view: RunView | None = None) -> dict[str, Any]:
    """A run as JSON, its fields named as in the API. With ``view``, as it is now and with its steps."""
    error = row.error if view is None or view.error is None else view.error.model_dump(mode="json")
    document: dict[str, Any] = {
        "execution_id": row.id,
        "workflow_name": row.process,
        "version": row.version,
        "digest": row.digest,
        "tenant_id": row.tenant_id,
        "status": row.status if view is None else view.status,
        "trigger_type": row.trigger_type,
        "trigger_source": row.trigger_source,
        "idempotency_key": row.idempotency_key,
        "temporal_workflow_id": row.workflow_id,
        "temporal_run_id": row.temporal_run_id,
        "waiting_on": row.waiting_on if view is None else _plain(view.waiting_on),
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.finished_at,
        "error": error,
    }
    if view is not None:
        document |= {"context": row.input, "result": view.result, "steps": _plain(view.steps)}
    return document


def run_panel(row: RunRow, view: RunView, *, details: bool = False) -> RenderableType:
    """The run's head, steps and end. ``details``: with the input and each step's output."""
    parts: list[RenderableType] = [_head(row, view), _steps(view, details=details)]
    parts += [_waiting(each) for each in view.waiting_on]
    if view.error is not None:
        where = f" in {view.error.step}" if view.error.step else ""
        parts.append(Text.assemble((f"{view.error.code}{where}: ", "bold red"), view.error.message))
    if view.result is not None:
        parts.append(Text.assemble(("Result: ", "bold"), to_json(view.result, indent=2).decode()))
    return Group(*parts)


def _plain(models: list[Any]) -> list[Any]:
    return [each.model_dump(mode="json") if isinstance(each, BaseModel) else each for each in models]


def _head(row: RunRow, view: RunView) -> Text:
    took = duration(row.started_at, row.finished_at)
    return Text.assemble(
        (f"Run {row.id} ", "bold"),
        f"{row.process} {row.version}  ",
        status_text(view.status),
        f" after {took}" if took else "",
        (f"  accepted {when(row.created_at)} UTC, Temporal {row.workflow_id}", "dim"),
    )


def _steps(view: RunView, *, details: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    for step in view.steps:
        mark, colour = _MARKS[step.status]
        tries = f"{step.attempts} tries" if step.attempts > 1 else ""
        took = duration(step.started_at, step.completed_at)
        table.add_row(Text(mark, style=colour), _title(step), took, Text(tries, style="yellow"))
        for line in _below(step, details=details):
            table.add_row("", line)
    if not view.steps and view.status is RunStatus.PENDING:
        return Text("  accepted; a worker will start it", style="dim")
    return table


def _title(step: StepRecord) -> Text:
    what = step.action or step.type
    return Text.assemble(step.path, (f"  {step.title}" if step.title else "", ""), (f"  {what}", "dim"))


def _below(step: StepRecord, *, details: bool) -> Iterator[Text]:
    if step.error is not None:
        yield Text(f"{step.error.code}: {step.error.message}", style="red")
    if details and step.output is not None:
        shown = to_json(step.output).decode()
        cut = "" if len(shown) <= _SHOWN_CHARACTERS else "… (see --json)"
        yield Text(f"{shown[:_SHOWN_CHARACTERS]}{cut}", style="dim")


def _waiting(on: WaitingOn) -> Text:
    until = f", until {when(on.until)} UTC" if on.until else ""
    return Text(f"⏸ {on.step} waits for {on.what}, since {when(on.since)} UTC{until}", style="yellow")
