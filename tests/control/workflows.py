"""A workflow that answers as the platform's own does, without its steps: for tests of the commands on runs."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain import ids
from domain.messages import ResolveStep, RunStatus, RunView, StepRecord, StepStatus


@workflow.defn(name="greet", sandboxed=False)
class Greet:
    """Runs until the signal ``end`` tells how to end: ``complete``, ``fail``, ``renew``."""

    def __init__(self) -> None:
        self._ends: list[str] = []
        self._resolved: list[str] = []
        self._run_id = 0

    @workflow.run
    async def run(self, run_id: int) -> dict[str, Any]:
        self._run_id = run_id
        await workflow.wait_condition(lambda: bool(self._ends))
        match self._ends[0]:
            case "fail":
                raise ApplicationError("the greeting was refused", type="FORBIDDEN", non_retryable=True)
            case "renew":
                workflow.continue_as_new(run_id)
        return {"resolved": self._resolved}

    @workflow.signal
    def end(self, how: str) -> None:
        self._ends.append(how)

    @workflow.update(name=ids.RESOLVE_UPDATE)
    def resolve(self, resolution: ResolveStep) -> None:
        self._resolved.append(resolution.step)

    @resolve.validator
    def _may_resolve(self, resolution: ResolveStep) -> None:
        if resolution.step != "say":
            raise ApplicationError(f"step {resolution.step!r} is not parked", type="CONFLICT")

    @workflow.query(name=ids.VIEW_QUERY)
    def view(self) -> RunView:
        step = StepRecord(path="say", name="say", type="action", status=StepStatus.WAITING)
        return RunView(
            run_id=self._run_id,
            tenant="",
            process="greet",
            version="",
            digest="",
            status=RunStatus.WAITING,
            steps=[step],
        )
