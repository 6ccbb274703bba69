"""How a run has an action performed: a first try in the fast lane, then the regular one, under one effect key.

The fast lane is a local activity with a short limit: one marker in the history and no round trip through the server.
Whatever does not succeed there goes on as a regular activity, whose retries and last error the Temporal UI shows. The
ledger behind both answers what has been done already, so that neither a second lane nor a repeated workflow task does
it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from domain.errors import ErrorCode
from domain.messages import ActionOutcome, BegunRun, ErrorInfo, FirstTry, PerformAction
from domain.steps import Retry
from workflows.failures import StepFailed

FAST_LIMIT = timedelta(seconds=2)
"""How long a first try may take before the step goes on in the regular lane."""

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""How soon a lost worker is noticed."""

FAST_EVENTS = 1
REGULAR_EVENTS = 7
"""History events of an action in each lane, roughly and rather too many."""

ONCE = RetryPolicy(maximum_attempts=1)


@dataclass(frozen=True, slots=True)
class Task:
    """An action to perform, and how patiently."""

    order: PerformAction
    summary: str
    timeout: timedelta = timedelta(seconds=60)
    retry: Retry = field(default_factory=Retry)
    lane: str | None = None


class Lanes:
    """Performs actions for one run. ``events`` estimates the history that this has cost."""

    def __init__(self, begun: BegunRun) -> None:
        self._slow = begun.slow
        self._once = begun.once
        self._priority = Priority(fairness_key=begun.tenant)
        self._in_flight: set[workflow.ActivityHandle[Any]] = set()
        self.events = 0
        self.bytes = 0

    def is_fast(self, action: str, lane: str | None) -> bool:
        """Whether an action is first tried in the fast lane."""
        return lane == "fast" or (lane is None and action not in self._slow)

    async def perform(self, task: Task, first: FirstTry | None = None) -> ActionOutcome:
        """The outcome of the action; ``first`` is its try in a segment. Raises ``StepFailed`` after the last try."""
        outcome = None
        if first is not None:
            task, outcome = await self._after_first(task, first)
        elif self.is_fast(task.order.action, task.lane):
            task, outcome = await self._try_fast(task)
        if outcome is None:
            outcome = await self._regular(task)
        self.bytes += outcome.size
        return outcome

    def cancel(self) -> None:
        """Ask the regular activities under way to stop; each still ends with what the ledger says of it."""
        for handle in tuple(self._in_flight):
            handle.cancel()

    async def _try_fast(self, task: Task) -> tuple[Task, ActionOutcome | None]:
        """The outcome, or what is left to try in the regular lane."""
        self.events += FAST_EVENTS
        try:
            outcome: ActionOutcome = await workflow.execute_local_activity(
                task.order.action,
                task.order,
                result_type=ActionOutcome,
                start_to_close_timeout=min(FAST_LIMIT, task.timeout),
                retry_policy=ONCE,
                summary=task.summary,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except FailureError as error:
            return await self._after_fast(task, error), None
        return task, outcome

    async def _after_fast(self, task: Task, error: FailureError) -> Task:
        cause = cause_of(error)
        if not isinstance(cause, ApplicationError):
            return task
        return await self._again(task, _reason(error), cause.next_retry_delay, retryable=not cause.non_retryable)

    async def _after_first(self, task: Task, first: FirstTry) -> tuple[Task, ActionOutcome | None]:
        if first.error is not None:
            seconds = first.retry_after_seconds
            delay = None if seconds is None else timedelta(seconds=seconds)
            task = await self._again(task, first.error, delay, retryable=first.retryable)
        return task, first.outcome

    async def _again(self, task: Task, error: ErrorInfo, delay: timedelta | None, *, retryable: bool) -> Task:
        """What is left to try after a failure, once it may be tried again. Raises ``StepFailed`` if nothing is."""
        retries = task.retry.max_retries
        if not retryable or retries == 0:
            raise StepFailed(error)
        self.events += 5
        await workflow.sleep(delay or task.retry.initial_delay, summary=f"{task.summary}: next try after {error.code}")
        return replace(task, retry=task.retry.model_copy(update={"max_retries": retries - 1}))

    async def _regular(self, task: Task) -> ActionOutcome:
        self.events += REGULAR_EVENTS
        attempts = task.retry.max_attempts
        handle = workflow.start_activity(
            task.order.action,
            task.order,
            result_type=ActionOutcome,
            start_to_close_timeout=task.timeout,
            heartbeat_timeout=min(HEARTBEAT_TIMEOUT, task.timeout),
            retry_policy=RetryPolicy(
                initial_interval=task.retry.initial_delay,
                backoff_coefficient=task.retry.backoff,
                maximum_interval=max(task.retry.max_delay, task.retry.initial_delay),
                # The second try of an effect that is never tried twice only asks the ledger.
                maximum_attempts=max(2, attempts) if task.order.action in self._once else attempts,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=task.summary,
            priority=self._priority,
        )
        self._in_flight.add(handle)
        try:
            outcome: ActionOutcome = await handle
        except FailureError as error:
            raise StepFailed(_reason(error)) from error
        finally:
            self._in_flight.discard(handle)
        return outcome


def cause_of(error: FailureError) -> BaseException:
    """Why an activity failed: regular activities wrap their cause, local ones do not."""
    return error.cause or error if isinstance(error, ActivityError) else error


def _reason(error: FailureError) -> ErrorInfo:
    """What people are told of a failed activity."""
    match cause_of(error):
        case ApplicationError() as cause:
            details = cause.details[0] if cause.details and isinstance(cause.details[0], Mapping) else {}
            return ErrorInfo(code=cause.type or ErrorCode.INTERNAL_ERROR, message=cause.message, details=dict(details))
        case ActivityTimeout() as cause:
            kind = cause.type.name.lower().replace("_", " ") if cause.type else "time"
            return ErrorInfo(code=ErrorCode.TIMEOUT, message=f"the action did not end in time ({kind} limit)")
        case cause:
            return ErrorInfo(code=ErrorCode.INTERNAL_ERROR, message=str(cause))
