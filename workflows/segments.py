"""Segments: consecutive actions of the fast lane, tried in one local activity.

What one action gives the next one reads, and the same pure evaluator decides in the worker what the interpreter would
decide here; so a segment leaves one marker in the history, and the walk then passes its steps one by one with their
first tries in hand. Each effect has its own key and its own place in the ledger, as without segments.
"""

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain import ids
from domain.messages import FirstTry, JsonObject, PerformSegment, SegmentOutcome, SegmentStep
from domain.paths import ABSENT
from domain.program import Node
from domain.scope import Scope
from domain.steps import ActionStep
from workflows.journal import Journal
from workflows.lanes import ONCE, Lanes
from workflows.state import RunState

MAX_STEPS = 20
LIMIT = timedelta(seconds=6)
"""Longer than the worker takes a segment to last, see ``activities/segments.py``."""


class Segments:
    """The segments of one run, and the first tries that have not been taken yet."""

    def __init__(self, state: RunState, lanes: Lanes, journal: Journal, run: JsonObject) -> None:
        self._state = state
        self._lanes = lanes
        self._journal = journal
        self._run = run
        self._tries: dict[str, FirstTry] = {}

    def tried(self, path: str) -> bool:
        """Whether the step at ``path`` has been tried already."""
        return path in self._tries

    def take(self, path: str) -> FirstTry | None:
        """The first try of the step at ``path``, if a segment had it."""
        return self._tries.pop(path, None)

    def ahead(self, nodes: Sequence[Node], prefix: str) -> list[Node]:
        """The steps at the head of ``nodes`` that make a segment: two at least."""
        segment: list[Node] = []
        for node in nodes[:MAX_STEPS]:
            if not self._fits(node, prefix):
                break
            segment.append(node)
        return segment if len(segment) > 1 else []

    async def perform(self, nodes: Sequence[Node], prefix: str, scope: Scope) -> None:
        """Try these steps. A segment that breaks as a whole leaves each step to be tried by itself."""
        begun = self._state.begun
        index = scope.get(("index",))
        order = PerformSegment(
            run_id=begun.run_id,
            key=begun.key,
            tenant=begun.tenant,
            process=begun.process,
            digest=begun.digest,
            steps=[SegmentStep(path=prefix + node.step.name, node=node.number) for node in nodes],
            run=self._run,
            input=begun.input,
            event=begun.event,
            outputs=_outputs(nodes, scope),
            item=None if index is ABSENT else scope.get(("item",)),
            index=None if index is ABSENT else index,
        )
        self._lanes.events += 1
        try:
            outcome: SegmentOutcome = await workflow.execute_local_activity(
                ids.PERFORM_SEGMENT,
                order,
                result_type=SegmentOutcome,
                start_to_close_timeout=LIMIT,
                retry_policy=ONCE,
                summary=", ".join(step.path for step in order.steps),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except FailureError:
            return
        for step, first in zip(order.steps, outcome.tries, strict=False):
            if first is not None:
                self._tries[step.path] = first

    def _fits(self, node: Node, prefix: str) -> bool:
        step, path = node.step, prefix + node.step.name
        return (
            isinstance(step, ActionStep)
            and self._lanes.is_fast(step.action, step.lane)
            and node.needs is not None
            and path not in self._tries
            and not self._journal.is_settled(path)
        )


def _outputs(nodes: Sequence[Node], scope: Scope) -> JsonObject:
    """What these steps read of the steps before them."""
    inside = {node.step.name for node in nodes}
    names = {name for node in nodes for name in node.needs or ()} - inside
    found = ((name, scope.get(("steps", name, "output"))) for name in sorted(names))
    return {name: output for name, output in found if output is not ABSENT}
