"""Routes of runs, which the API calls executions: list, show, cancel, signal, resolve."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from api.auth import Executor, Viewer
from api.paging import MAX_OFFSET, page_headers
from api.parts import Parts, UsesParts
from api.redaction import redacted
from api.schemas import Execution, Resolution, Signal, answer
from api.strict_json import JsonBody, accepts
from control.identity import Principal
from domain.errors import NotFound
from domain.messages import ErrorInfo, ResolveStep, RunStatus, StepRecord, TriggerType, WaitingOn
from domain.permissions import Permission
from store.runs import RunFilter
from store.tables.runs import RunRow

router = APIRouter(prefix="/workflows/executions", tags=["executions"])

_MAX_ID: Final = 2**63 - 1
_CONCURRENT_VIEWS: Final = 8


async def _run_id(execution_id: int) -> int:
    """An id that no run can have is like any other that is not there."""
    if not 0 < execution_id <= _MAX_ID:
        raise NotFound("run", execution_id)
    return execution_id


RunId = Annotated[int, Depends(_run_id)]


@router.get("", response_model=list[Execution])
async def list_executions(
    principal: Viewer,
    parts: UsesParts,
    request: Request,
    *,
    workflow: Annotated[str | None, Query(max_length=64, description="Name or id.")] = None,
    status: RunStatus | None = None,
    trigger_type: TriggerType | None = None,
    since: Annotated[AwareDatetime | None, Query(description="Accepted at or after this time.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Accepted before this time.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    include_steps: bool = False,
    include_duration: bool = False,
) -> Response:
    """Runs, the newest first. ``X-Total-Count`` counts them all; ``Link`` leads to the other pages."""
    by_id = workflow is not None and workflow.isascii() and workflow.isdigit()
    wanted = RunFilter(
        process=None if by_id else workflow,
        definition_id=min(int(workflow), MAX_OFFSET) if by_id and workflow else None,
        status=status,
        trigger_type=trigger_type,
        since=since,
        until=until,
    )
    rows, total = await parts.runs.list(principal.tenant, wanted, limit=limit, offset=offset, steps=include_steps)
    steps = await _steps_of(parts, rows) if include_steps else [None] * len(rows)
    shown = [
        execution(row, principal, steps=each, include_duration=include_duration)
        for row, each in zip(rows, steps, strict=True)
    ]
    return answer(shown, headers=page_headers(request, total, limit, offset))


@router.get("/{execution_id}", response_model=Execution)
async def show_execution(
    principal: Viewer, parts: UsesParts, run_id: RunId, *, include_steps: bool = False, include_duration: bool = True
) -> Response:
    """One run, with its steps if asked for."""
    row = await parts.runs.get(principal.tenant, run_id)
    steps = (await _steps_of(parts, [row]))[0] if include_steps else None
    return answer(execution(row, principal, steps=steps, include_duration=include_duration))


@router.post("/{execution_id}/cancel", status_code=204)
async def cancel_execution(principal: Executor, parts: UsesParts, run_id: RunId) -> Response:
    """Ask a run to undo what it has done and end. 409 if it has ended."""
    await parts.runs.cancel(principal.tenant, run_id)
    return Response(status_code=204)


@router.post("/{execution_id}/signal", status_code=204, openapi_extra=accepts(Signal.model_json_schema()))
async def signal_execution(
    principal: Executor, parts: UsesParts, run_id: RunId, body: Annotated[Signal, Depends(JsonBody(Signal))]
) -> Response:
    """Send a signal to a run; it is kept until a step waits for it. 409 if the run has ended."""
    await parts.runs.signal(principal.tenant, run_id, body.name, body.payload)
    return Response(status_code=204)


@router.post("/{execution_id}/resolve", status_code=204, openapi_extra=accepts(Resolution.model_json_schema()))
async def resolve_step(
    principal: Executor, parts: UsesParts, run_id: RunId, body: Annotated[Resolution, Depends(JsonBody(Resolution))]
) -> Response:
    """Say how a parked step goes on. 409 if nothing waits for that."""
    await parts.runs.resolve(principal.tenant, run_id, ResolveStep(**body.model_dump(), by=principal.name))
    return Response(status_code=204)


def execution(
    row: RunRow, principal: Principal, *, steps: Sequence[StepRecord] | None = None, include_duration: bool = False
) -> Execution:
    """A run as ``principal`` may see it."""
    readable = principal.may(Permission.READ_PAYLOAD)
    error = None if row.error is None else _error(ErrorInfo.model_validate(row.error), readable=readable)
    shown = Execution(
        id=row.id or 0,
        execution_id=row.id or 0,
        workflow_id=row.definition_id,
        workflow_name=row.process,
        version=row.version,
        digest=row.digest,
        status=row.status,
        trigger_type=row.trigger_type,
        trigger_source=row.trigger_source,
        context=redacted(row.input, readable=readable),
        result=redacted(row.result, readable=readable),
        error=error,
        error_message=error.message if error else None,
        waiting_on=[WaitingOn.model_validate(each) for each in row.waiting_on],
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.finished_at,
    )
    if include_duration:
        shown.duration_seconds = _duration_seconds(row)
    if steps is not None:
        shown.steps = [_step(step, readable=readable) for step in steps]
    return shown


def _step(step: StepRecord, *, readable: bool) -> StepRecord:
    return step.model_copy(
        update={
            "input": redacted(step.input, readable=readable),
            "output": redacted(step.output, readable=readable),
            "error": None if step.error is None else _error(step.error, readable=readable),
        }
    )


def _error(error: ErrorInfo, *, readable: bool) -> ErrorInfo:
    return error.model_copy(update={"details": redacted(error.details, readable=readable) or {}})


def _duration_seconds(row: RunRow) -> float | None:
    if row.started_at is None:
        return None
    return round(((row.finished_at or datetime.now(UTC)) - row.started_at).total_seconds(), 3)


async def _steps_of(parts: Parts, rows: Sequence[RunRow]) -> list[Sequence[StepRecord]]:
    """The steps of each run: of one that has ended as its row says, of others as Temporal knows."""
    slots = asyncio.Semaphore(_CONCURRENT_VIEWS)

    async def steps(row: RunRow) -> Sequence[StepRecord]:
        if RunStatus(row.status).ended:
            return [StepRecord.model_validate(each) for each in row.steps or ()]
        async with slots:
            return (await parts.runs.view(row.tenant_id, row.id or 0)).steps

    return await asyncio.gather(*map(steps, rows))
