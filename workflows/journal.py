"""What a run remembers of its steps: records by path, and the compensations that are due."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio import workflow

from domain.messages import ErrorInfo, FirstTry, StepRecord, StepStatus
from domain.program import Node
from domain.scope import Scope
from domain.steps import ActionStep, BranchStep, ForeachStep, Step
from workflows.state import RunState, Undo

SETTLED = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.COMPENSATED})
"""What the walk passes by: the step has ended, and the run went on."""


@dataclass(frozen=True, slots=True)
class Place:
    """A step where the run stands: its node, its path, and what it sees."""

    node: Node
    path: str
    scope: Scope

    @property
    def step(self) -> Step:
        """The step of the definition."""
        return self.node.step

    def render(self, name: str) -> Any:
        """The value of the step's template ``name``; None if the step does not have it."""
        template = self.node.templates.get(name)
        return None if template is None else template.render(self.scope).value


class Journal:
    """Keeps the records in the state."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._ended: dict[str, datetime] = {}
        self._latest = state.started_at

    def is_settled(self, path: str) -> bool:
        """Whether the step at ``path`` has ended already."""
        record = self._state.records.get(path)
        return record is not None and record.status in SETTLED

    def begin(self, at: Place) -> None:
        """The step begins now."""
        step = at.step
        self._state.records[at.path] = StepRecord(
            path=at.path,
            name=step.name,
            type=step.type,
            title=step.title,
            action=step.action if isinstance(step, ActionStep) else None,
            status=StepStatus.RUNNING,
            started_at=self._now(),
        )

    def mark(self, path: str, **changes: Any) -> None:
        """Change the record at ``path``, if it is kept."""
        record = self._state.records.get(path)
        if record is not None:
            self._state.records[path] = record.model_copy(update=changes)

    def timed(self, path: str, first: FirstTry) -> None:
        """The step was tried in a segment: it was at work then, not just now."""
        self.mark(path, started_at=first.started_at)
        self._latest = max(self._latest, first.completed_at)
        if first.outcome is not None:
            self._ended[path] = first.completed_at

    def complete(self, at: Place, output: Any) -> Any:
        """The step has ended well: its output is visible from now on, its compensation due."""
        ended = self._ended.pop(at.path, None) or self._now()
        self.mark(at.path, status=StepStatus.COMPLETED, output=output, error=None, completed_at=ended)
        at.scope.set_output(at.step.name, output)
        self.plan_undo(at)
        return output

    def skip(self, at: Place, error: ErrorInfo | None = None) -> None:
        """The step is passed over: it has no output."""
        self.mark(at.path, status=StepStatus.SKIPPED, error=error, completed_at=self._now())
        at.scope.set_skipped(at.step.name)

    def fail(self, at: Place, error: ErrorInfo) -> None:
        """The step has failed for good."""
        self.mark(at.path, status=StepStatus.FAILED, error=error, completed_at=self._now())

    def pass_over_failure(self, at: Place, error: ErrorInfo) -> None:
        """The step has failed, and the definition says to go on: its output is null, its error stays visible."""
        self.mark(at.path, status=StepStatus.COMPLETED, error=error, completed_at=self._now())
        at.scope.set_output(at.step.name, None)

    def _now(self) -> datetime:
        """The present, never before what a segment has seen: a workflow task keeps the time at which it began."""
        return max(workflow.now(), self._latest)

    def plan_undo(self, at: Place) -> None:
        """Note the step's compensation, rendered with what is known now."""
        if at.node.undo is not None and at.step.compensate is not None:
            rendered = at.node.undo.render(at.scope)
            self._state.undo.append(
                Undo(
                    path=at.path,
                    title=at.step.title,
                    action=at.step.compensate.action,
                    input=rendered.value,
                    secrets=rendered.secrets,
                )
            )

    def restore(self, at: Place) -> Any:
        """Put what a settled step and those inside it have given back into the scope; its output."""
        record = self._state.records[at.path]
        for child in self._inside(at, record):
            if self.is_settled(child.path):
                self.restore(child)
        if record.status is StepStatus.SKIPPED:
            at.scope.set_skipped(record.name)
        else:
            at.scope.set_output(record.name, record.output)
        return record.output

    def _inside(self, at: Place, record: StepRecord) -> list[Place]:
        match at.step:
            case ForeachStep():
                blocks: list[tuple[Node, ...]] = []
            case BranchStep():
                name = record.output["branch"] if record.output else ""
                blocks = [at.node.branch(name) or ()]
            case _:
                blocks = list(at.node.blocks.values())
        return [Place(node, f"{at.path}.{node.step.name}", at.scope) for block in blocks for node in block]
