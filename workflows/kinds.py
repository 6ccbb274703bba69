"""The kinds of steps that hold no other steps and perform no action."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from domain import ids
from domain.durations import parse_duration, parse_timestamp
from domain.errors import ErrorCode, ExpressionError
from domain.messages import ErrorInfo, RunStatus, StartMemo
from domain.steps import ProcessStep, StopStep, WaitForSignalStep
from workflows.failures import RunStopped, StepFailed
from workflows.journal import Place
from workflows.state import RunState
from workflows.waiting import Waiting


async def wait(at: Place, state: RunState, waiting: Waiting) -> None:
    """Sleep for a length of time, or until a point of time."""
    deadline = state.deadlines.get(at.path)
    if deadline is None:
        until, duration = at.render("until"), at.render("duration")
        deadline = parse_timestamp(until) if until is not None else workflow.now() + parse_duration(duration)
        state.deadlines[at.path] = deadline
    await waiting.until(at.path, "timer", f"the time {deadline.isoformat()}", lambda: False, deadline)
    del state.deadlines[at.path]


async def wait_for_signal(step: WaitForSignalStep, at: Place, state: RunState, waiting: Waiting) -> Any:
    """What the signal carries; it may have come before."""
    name = at.render("signal")
    arrived = state.signals.setdefault(name, [])
    deadline = state.deadlines.get(at.path)
    if deadline is None and step.timeout is not None:
        deadline = state.deadlines[at.path] = workflow.now() + parse_duration(at.render("timeout"))
    came = await waiting.until(at.path, "signal", f"the signal {name}", lambda: bool(arrived), deadline)
    state.deadlines.pop(at.path, None)
    if came:
        return arrived.pop(0)
    if step.on_timeout == "fail":
        raise StepFailed(ErrorInfo(code=ErrorCode.TIMEOUT, message=f"the signal {name} did not come in time"))
    return None


async def child(step: ProcessStep, child_input: Any, at: Place, state: RunState, waiting: Waiting) -> Any:
    """The output of a child run; or, if it is not waited for, where it is."""
    begun = state.begun
    handle = await workflow.start_child_workflow(
        step.process,
        child_input,
        id=ids.child_workflow_id(workflow.info().workflow_id, at.path),
        memo={ids.MEMO_RUN: StartMemo(tenant=begun.tenant, trigger_type="api", parent_run_id=begun.run_id)},
        parent_close_policy=(
            workflow.ParentClosePolicy.REQUEST_CANCEL if step.wait else workflow.ParentClosePolicy.ABANDON
        ),
        static_summary=f"Started by {begun.process}, run {begun.run_id}",
    )
    if not step.wait:
        return {"workflow_id": handle.id, "run_id": handle.first_execution_run_id}
    try:
        return await waiting.on_child(at.path, step.process, handle)
    except ChildWorkflowError as error:
        cause = error.cause
        code = cause.type if isinstance(cause, ApplicationError) and cause.type else "CHILD_FAILED"
        message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
        raise StepFailed(ErrorInfo(code=code, message=f"{step.process} failed: {message}")) from error


def stop(step: StopStep, at: Place) -> RunStopped:
    """How the run ends here."""
    status = RunStatus(step.status)
    result = at.render("result")
    if status is RunStatus.COMPLETED:
        return RunStopped(status, result, None)
    message = at.render("message") or "the process stopped"
    return RunStopped(status, result, ErrorInfo(code="STOPPED", message=message, step=at.path))


def transform(at: Place) -> Any:
    """A value made of others."""
    node = at.node
    if "items" not in node.templates:
        return at.render("value")
    items = as_list(at.render("items"), "source")
    frames = ((item, at.scope.child(item=item, index=index)) for index, item in enumerate(items))
    if node.condition is not None:
        return [item for item, frame in frames if node.condition.holds(frame)]
    return [node.templates["value"].render(frame).value for _, frame in frames]


def branch_name(value: Any) -> str:
    """The branch that a value names."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def as_list(value: Any, what: str) -> list[Any]:
    """``value``, which must be a list."""
    if not isinstance(value, list):
        raise ExpressionError(f"{what} must be a list, it is {type(value).__name__}")
    return value
