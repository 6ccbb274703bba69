"""What a run waits on: kept for its row, its current details in the Temporal UI, and the ``view`` query."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal

from temporalio import workflow
from temporalio.common import RetryPolicy

from domain import ids
from domain.messages import RunStatus, UpdateRun, WaitingOn
from workflows.failures import RunCancelled

SHORT_WAIT = timedelta(seconds=5)
"""A shorter timer does not count as waiting: the row stays ``running``."""

WAIT_EVENTS = 6
"""History events of a wait, roughly: a timer and two updates of the row."""

ROW_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
"""Keeping the run's row is tried until Postgres is back."""

ROW_LIMIT = timedelta(seconds=10)


class Waiting:
    """The waits of one run."""

    def __init__(self, run_id: int, tenant: str) -> None:
        self._run_id = run_id
        self._tenant = tenant
        self._waits: dict[str, WaitingOn] = {}
        self.cancelled = False
        self.events = 0

    @property
    def now(self) -> list[WaitingOn]:
        """What the run waits on."""
        return list(self._waits.values())

    async def until(
        self,
        path: str,
        kind: Literal["timer", "signal", "person"],
        what: str,
        condition: Callable[[], bool],
        deadline: datetime | None = None,
    ) -> bool:
        """Wait for ``condition`` or the deadline: whether the condition came true. Raises ``RunCancelled``."""
        left = None if deadline is None else deadline - workflow.now()
        if condition() or (left is not None and left <= timedelta(0)):
            return condition()
        shown = left is None or left > SHORT_WAIT
        await self._enter(WaitingOn(step=path, kind=kind, what=what, since=workflow.now(), until=deadline), shown=shown)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: condition() or self.cancelled, timeout=left, timeout_summary=f"{path}: {what}"
            )
        await self._leave(path, shown=shown)
        if self.cancelled:
            raise RunCancelled
        return condition()

    async def on_child(self, path: str, process: str, handle: workflow.ChildWorkflowHandle[Any, Any]) -> Any:
        """Wait for a child run's result; a cancellation goes on to the child."""
        wait = WaitingOn(step=path, kind="child", what=f"{process} ({handle.id})", since=workflow.now())
        await self._enter(wait, shown=True)
        try:
            await workflow.wait_condition(lambda: handle.done() or self.cancelled)
            if self.cancelled:
                handle.cancel()
            return await handle
        finally:
            await self._leave(path, shown=True)

    async def _enter(self, wait: WaitingOn, *, shown: bool) -> None:
        self._waits[wait.step] = wait
        self._show_details()
        if shown:
            await self._update_row()

    async def _leave(self, path: str, *, shown: bool) -> None:
        self._waits.pop(path, None)
        self._show_details()
        if shown and not self.cancelled:
            await self._update_row()

    def _show_details(self) -> None:
        lines = [
            f"- **{wait.step}** waits on {wait.what}, since {wait.since.isoformat()}"
            + (f", at most until {wait.until.isoformat()}" if wait.until else "")
            for wait in self._waits.values()
        ]
        workflow.set_current_details("\n".join(lines))

    async def _update_row(self) -> None:
        self.events += WAIT_EVENTS // 2
        update = UpdateRun(
            run_id=self._run_id,
            tenant=self._tenant,
            status=RunStatus.WAITING if self._waits else RunStatus.RUNNING,
            waiting_on=self.now,
        )
        await workflow.execute_local_activity(
            ids.UPDATE_RUN, update, start_to_close_timeout=ROW_LIMIT, retry_policy=ROW_RETRY
        )
