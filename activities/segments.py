"""A segment: consecutive actions of the fast lane, tried in one go. See ``workflows/segments.py``."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.effects import Effects, Entered
from activities.failures import translated
from activities.runs import Runs
from domain import ids
from domain.errors import StepwellError
from domain.messages import (
    ErrorInfo,
    FirstTry,
    LoadRun,
    PerformAction,
    PerformSegment,
    SegmentOutcome,
    SegmentStep,
)
from domain.program import Node, Program, program
from domain.scope import Scope, event_seen
from domain.sizes import MAX_SEGMENT_BYTES, require_size
from domain.steps import ActionStep

STEP_LIMIT = timedelta(seconds=2)
"""How long one first try may take; what takes longer goes on in the regular lane."""

SEGMENT_SECONDS = 2.0
"""After that long, no further step of the segment begins."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Performs segments: the interpreter's decisions, between effects that each have their own key."""

    effects: Effects
    runs: Runs
    _programs: dict[str, Program] = field(default_factory=dict)

    @activity.defn(name=ids.PERFORM_SEGMENT)
    async def perform(self, order: PerformSegment) -> SegmentOutcome:
        """Try the steps in order, up to one that does not succeed at once. Safe to repeat: the ledger remembers."""
        with translated(ids.PERFORM_SEGMENT):
            known = await self._program(order)
        scope = Scope(input=order.input, event=event_seen(order.event, order.input), run=order.run, order=known.order)
        for name, output in order.outputs.items():
            scope.set_output(name, output)
        if order.index is not None:
            scope = scope.child(item=order.item, index=order.index)
        keys = {
            ids.effect_key(order.key, step.path): action.action
            for step in order.steps
            if isinstance(action := known.by_number[step.node].step, ActionStep)
        }
        entered = await self.effects.entered(order.tenant, keys)
        tries: list[FirstTry | None] = []
        until = time.monotonic() + SEGMENT_SECONDS
        size = 0
        for step in order.steps:
            node = known.by_number[step.node]
            try:
                if node.when is not None and not node.when.holds(scope):
                    tries.append(None)
                    scope.set_skipped(node.step.name)
                    continue
                task = _task(order, step, node, scope)
            except StepwellError:
                break  # the interpreter finds the same fault, and says so
            first = await self._try(task, entered)
            tries.append(first)
            if first.outcome is None or first.outcome.skipped:
                break
            size += first.outcome.size
            if size > MAX_SEGMENT_BYTES or time.monotonic() > until:
                break
            scope.set_output(node.step.name, first.outcome.output)
        return SegmentOutcome(tries=tries)

    async def _try(self, task: PerformAction, entered: Entered) -> FirstTry:
        started = datetime.now(UTC)
        try:
            async with asyncio.timeout(STEP_LIMIT.total_seconds()):
                with translated(task.action):
                    outcome = await self.effects.attempt(task, entered)
        except TimeoutError:
            return FirstTry(started_at=started, completed_at=datetime.now(UTC))
        except ApplicationError as error:
            details = dict(error.details[0]) if error.details else {}
            delay = error.next_retry_delay
            return FirstTry(
                error=ErrorInfo(code=error.type or "INTERNAL_ERROR", message=error.message, details=details),
                retryable=not error.non_retryable,
                retry_after_seconds=None if delay is None else delay.total_seconds(),
                started_at=started,
                completed_at=datetime.now(UTC),
            )
        return FirstTry(outcome=outcome, started_at=started, completed_at=datetime.now(UTC))

    async def _program(self, order: PerformSegment) -> Program:
        known = self._programs.get(order.digest)
        if known is None:
            body = await self.runs.load(LoadRun(tenant=order.tenant, process=order.process, digest=order.digest))
            known = self._programs[order.digest] = program(order.digest, body)
        return known


def _task(order: PerformSegment, step: SegmentStep, node: Node, scope: Scope) -> PerformAction:
    rendered = node.templates["input"].render(scope)
    assert isinstance(node.step, ActionStep)  # noqa: S101  # segments are made of nothing else
    require_size(rendered.value, f"the input of {node.step.action}")
    return PerformAction(
        run_id=order.run_id,
        tenant=order.tenant,
        process=order.process,
        step=step.path,
        key=ids.effect_key(order.key, step.path),
        action=node.step.action,
        input=rendered.value,
        secrets=rendered.secrets,
        on_unknown=node.step.on_unknown,
    )
