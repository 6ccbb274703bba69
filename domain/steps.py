"""The steps of a definition, as frozen models.

    action  wait  wait_for_signal  transform  process  stop  approval      do one thing
    branch  parallel  foreach                                              hold further steps

Values called *template* may hold ``{{ … }}`` placeholders (``domain/templates.py``); *conditions* are expressions or
JSONLogic rules (``domain/rules.py``). Durations stay as they were written; the properties give them as ``timedelta``.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.durations import parse_duration
from domain.fields import (
    ActionName,
    BranchName,
    Condition,
    Config,
    DurationTemplate,
    Name,
    OnError,
    PositiveDuration,
    PositiveDurationTemplate,
    TimestampTemplate,
)
from domain.messages import OnUnknown

DEFAULT_TIMEOUT: Final = "60s"
"""How long an action may take where the step does not say."""


class Part(BaseModel):
    """Base of everything in a definition: frozen, and strict about unknown fields and wrong types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Retry(Part):
    """How often and how fast a failed action is tried again."""

    max_retries: int = Field(default=3, ge=0, le=1000)
    """Tries after the first one."""
    initial_interval: PositiveDuration = "1s"
    """Pause before the first retry."""
    backoff: float = Field(default=2.0, ge=1, le=100)
    """Factor by which each pause is longer than the one before."""
    max_interval: PositiveDuration = "1m"
    """No pause grows beyond this."""

    @property
    def max_attempts(self) -> int:
        """All tries, the first one included."""
        return self.max_retries + 1

    @property
    def initial_delay(self) -> timedelta:
        """``initial_interval`` as a length of time."""
        return parse_duration(self.initial_interval)

    @property
    def max_delay(self) -> timedelta:
        """``max_interval`` as a length of time."""
        return parse_duration(self.max_interval)


class ActionCall(Part):
    """An action and what it is given, outside the row of steps: a compensation or a notification."""

    action: ActionName
    config: Config = Field(default_factory=dict)


class StepBase(Part):
    """What all steps have."""

    name: Name
    title: str = Field(default="", max_length=200)
    """For people: timelines and the Temporal UI show it."""
    description: str = ""
    when: Condition | None = None
    """Evaluated before the step; if false, the step is skipped and the run goes on."""
    retry: Retry = Retry()
    """Of actions."""
    timeout: PositiveDuration | None = None
    """Limit of one try of an action; without it, 60 s."""
    on_error: OnError = "fail"
    """What happens once the step has failed for good."""
    on_unknown: Annotated[OnUnknown, Field(strict=False)] | None = None
    """What happens when nobody can tell whether an action's effect has happened; without it, as its class says."""
    compensate: ActionCall | None = None
    """Undoes the step if the run fails or is cancelled later on."""
    lane: Literal["fast", "regular"] | None = None
    """Forces the way an action runs; without it, the platform chooses."""

    @property
    def time_limit(self) -> timedelta:
        """``timeout`` of an action as a length of time."""
        return parse_duration(DEFAULT_TIMEOUT if self.timeout is None else self.timeout)

    def blocks(self) -> Iterator[tuple[tuple[str | int, ...], list["Step"]]]:
        """The lists of steps inside this one, each with its place in this step's document."""
        yield from ()


class ActionStep(StepBase):
    """Do one thing in the outside world or in a service."""

    type: Literal["action"] = "action"
    action: ActionName
    config: Config = Field(default_factory=dict)
    """Template of the action's input."""


class BranchStep(StepBase):
    """Go on with one of several lists of steps. Output: ``{"branch": name}``."""

    type: Literal["branch"]
    on: Condition
    """Expression or rule whose value names the branch; true and false name the branches ``"true"`` and ``"false"``."""
    branches: dict[BranchName, list["Step"]] = Field(min_length=1)
    default: list["Step"] | None = None
    """Steps for every other value. Without it, another value fails the step."""

    def blocks(self) -> Iterator[tuple[tuple[str | int, ...], list["Step"]]]:
        """Each branch and the default."""
        for name, steps in self.branches.items():
            yield ("branches", name), steps
        if self.default is not None:
            yield ("default",), self.default


class ParallelStep(StepBase):
    """Go on with several lists of steps at the same time. Output: branch name -> output of its last step."""

    type: Literal["parallel"]
    branches: dict[BranchName, list["Step"]] = Field(min_length=1)

    def blocks(self) -> Iterator[tuple[tuple[str | int, ...], list["Step"]]]:
        """Each branch."""
        for name, steps in self.branches.items():
            yield ("branches", name), steps


class ForeachStep(StepBase):
    """Do the same steps for each item of a list. Output: the list of what was collected for each item."""

    type: Literal["foreach"]
    items: str | list[Any]
    """Template of the list. Inside, ``item`` and ``index`` (from 0) are the current one."""
    steps: list["Step"] = Field(min_length=1)
    max_parallel: int = Field(default=1, ge=1, le=100)
    """How many items are worked on at the same time."""
    collect: Any = None
    """Template of what an item contributes to the output; without it, the output of its last step."""

    def blocks(self) -> Iterator[tuple[tuple[str | int, ...], list["Step"]]]:
        """The steps done for each item."""
        yield ("steps",), self.steps


class WaitStep(StepBase):
    """Wait for a length of time or until a point of time, over any crash."""

    type: Literal["wait"]
    duration: DurationTemplate | None = None
    until: TimestampTemplate | None = None
    """RFC 3339 timestamp with its offset from UTC, or a template of one."""

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if (self.duration is None) == (self.until is None):
            raise ValueError("a wait needs either duration or until: give one of them")
        return self


class WaitForSignalStep(StepBase):
    """Wait until the run gets a signal of that name; one that came before counts. Output: what the signal carries."""

    type: Literal["wait_for_signal"]
    signal: str = Field(min_length=1, max_length=200)
    """Name of the signal; a template may make it."""
    timeout: PositiveDurationTemplate | None = None
    """How long to wait; without it, for ever."""
    on_timeout: Literal["fail", "continue"] = "fail"
    """When ``timeout`` is over: fail the step, or go on with the output ``None``."""


class MapTransform(Part):
    """Make one value of each item of a list."""

    source: str | list[Any]
    """Template of the list."""
    template: Any
    """Template of the new value; ``item`` and ``index`` are the current one."""


class FilterTransform(Part):
    """Keep some items of a list."""

    source: str | list[Any]
    """Template of the list."""
    condition: Condition
    """Items for which this is true stay; ``item`` and ``index`` are the current one."""


class TransformStep(StepBase):
    """Make a value out of others: exactly one of ``map``, ``filter`` and ``set``. Output: that value."""

    type: Literal["transform"]
    map: MapTransform | None = None
    filter: FilterTransform | None = None
    set: Any = None
    """Template of the output."""

    @model_validator(mode="after")
    def _makes_one_value(self) -> Self:
        if len(self.model_fields_set & {"map", "filter", "set"}) != 1:
            raise ValueError("a transform needs exactly one of map, filter and set: choose one")
        return self


class ProcessStep(StepBase):
    """Run another process as a child. Output: its output, or ``{"run_id", "workflow_id"}`` if it is not waited for."""

    type: Literal["process"]
    process: Name
    input: Config = Field(default_factory=dict)
    """Template of the child's input."""
    wait: bool = True
    """Whether this run waits for the child; if not, the child goes on by itself."""


class StopStep(StepBase):
    """End the run here."""

    type: Literal["stop"]
    result: Any = None
    """Template of the run's result, in place of the definition's ``output``."""
    status: Literal["completed", "failed"] = "completed"
    message: str = ""
    """Template of the reason, for a run that ends as failed."""


class ApprovalConfig(Part):
    """The question, who may answer it, and what silence means."""

    title: str
    message: str = ""
    approvers: list[str] = Field(min_length=1)
    """``role:…``, ``user:…`` or a template of one."""
    required: int = Field(default=1, ge=1, le=100)
    """How many must approve."""
    exclude: list[str] = Field(default_factory=list)
    """Who must not decide, such as the requester."""
    timeout: PositiveDurationTemplate
    on_timeout: Literal["approve", "reject", "fail"]
    notify: list[ActionCall] = Field(default_factory=list)


class ApprovalStep(StepBase):
    """Ask people and wait for their decision."""

    type: Literal["approval"]
    config: ApprovalConfig


Step = Annotated[
    ActionStep
    | BranchStep
    | ParallelStep
    | ForeachStep
    | WaitStep
    | WaitForSignalStep
    | TransformStep
    | ProcessStep
    | StopStep
    | ApprovalStep,
    Field(discriminator="type"),
]
