"""What crosses Temporal: one model in, one model out, for each activity, signal, update and query.

All are frozen (``RunState`` alone, in ``workflows/state.py``, is mutable). New fields get defaults; none is renamed
or retyped, since recorded histories must replay.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JsonObject = dict[str, Any]

TriggerType = Literal["manual", "event", "scheduled", "api"]


class Message(BaseModel):
    """Base of everything that is sent: frozen."""

    model_config = ConfigDict(frozen=True)


class RunStatus(StrEnum):
    """Where a run is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class StepStatus(StrEnum):
    """Where a step is in its life."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    COMPENSATED = "compensated"
    CANCELLED = "cancelled"


class ErrorInfo(Message):
    """Why a step or run failed. ``message`` never holds a secret."""

    code: str
    message: str
    step: str | None = None
    details: JsonObject = Field(default_factory=dict)


class StepRecord(Message):
    """One step of a run, as people are shown it."""

    path: str
    """``name``, or ``outer.name`` for a nested step, with ``[i]`` for the item of a foreach."""
    name: str
    type: str
    title: str = ""
    action: str | None = None
    status: StepStatus
    input: Any = None
    output: Any = None
    error: ErrorInfo | None = None
    attempts: int = 1
    started_at: datetime | None = None
    completed_at: datetime | None = None


class WaitingOn(Message):
    """What a run waits on, and since when."""

    step: str
    kind: Literal["timer", "signal", "person", "child", "retry"]
    what: str
    since: datetime
    until: datetime | None = None


class RunView(Message):
    """Answer of the ``view`` query: the run as it is now."""

    run_id: int
    tenant: str
    process: str
    version: str
    digest: str
    status: RunStatus = RunStatus.PENDING
    waiting_on: list[WaitingOn] = Field(default_factory=list)
    steps: list[StepRecord] = Field(default_factory=list)
    result: Any = None
    error: ErrorInfo | None = None


class StartMemo(Message):
    """What a start through Stepwell carries in its memo; a start by ``temporal workflow start`` has none."""

    run_id: int | None = None
    tenant: str | None = None
    trigger_type: TriggerType = "manual"
    trigger_source: str | None = None
    digest: str | None = None
    parent_run_id: int | None = None
    accepted_at: datetime | None = None
    """When the row was made: a row of the same id in another database is not meant."""
    installation: str | None = None
    """Whose schedule it was, for runs that a schedule starts: another database's is not meant."""


class BeginRun(Message):
    """Input of ``runs.begin``."""

    workflow_id: str
    temporal_run_id: str
    process: str
    input: Any
    memo: StartMemo = Field(default_factory=StartMemo)
    started_at: datetime


class BegunRun(Message):
    """Output of ``runs.begin``: the row's identity and the definition that the run is pinned to."""

    run_id: int
    key: str
    """Begins the keys of its effects, see ``domain.ids.run_key``."""
    tenant: str
    process: str
    version: str
    digest: str
    definition: JsonObject
    input: JsonObject
    """The input with the schema's defaults filled in."""
    event: JsonObject | None = None
    """The event that has started the run, as rules see it, without its payload where that is the input."""
    slow: list[str] = Field(default_factory=list)
    """Actions of the definition that are never tried in the fast lane."""
    once: list[str] = Field(default_factory=list)
    """Actions of the definition that are never tried twice."""
    reads: list[str] = Field(default_factory=list)
    """Actions of the definition that change nothing."""


class LoadRun(Message):
    """Input of ``runs.load``: the definition again, after continue-as-new."""

    tenant: str
    process: str
    digest: str


class RunKey(Message):
    """Input of ``runs.effects``: whose effects the ledger is asked for."""

    run_id: int
    tenant: str


class UpdateRun(Message):
    """Input of ``runs.update``: what the row should say while the run waits, or goes on."""

    run_id: int
    tenant: str
    status: RunStatus
    waiting_on: list[WaitingOn] = Field(default_factory=list)


class FinishRun(Message):
    """Input of ``runs.finish``: the end of a run."""

    run_id: int
    tenant: str
    status: RunStatus
    result: Any = None
    error: ErrorInfo | None = None
    steps: list[StepRecord] = Field(default_factory=list)
    finished_at: datetime


class SecretSlot(Message):
    """A place in an action's input that holds secrets: never their values.

    ``pointer`` leads to the place; the text there is the ``parts`` joined, where a ``SecretName`` stands for a value.
    Slots come from the definition only, so that text in an event can never ask for a secret.
    """

    pointer: list[str | int]
    parts: list["str | SecretName"]


class SecretName(Message):
    """The name of a secret of the run's tenant."""

    secret: str


class OnUnknown(StrEnum):
    """What to do when nobody can tell whether an effect has happened."""

    PARK = "park"
    RETRY = "retry"
    SKIP = "skip"


class PerformAction(Message):
    """Input of every action's activity (whose type is the action's name)."""

    run_id: int
    tenant: str
    process: str
    step: str
    key: str
    action: str
    input: JsonObject
    secrets: list[SecretSlot] = Field(default_factory=list)
    on_unknown: OnUnknown | None = None
    """None: as the effect class says."""


class ActionOutcome(Message):
    """Output of every action's activity."""

    output: Any = None
    size: int = 0
    """Bytes of ``output`` as JSON."""
    replayed: bool = False
    """The ledger knew the outcome: nothing was done again."""
    skipped: bool = False
    """The outcome is unknown and the step says ``on_unknown: skip``."""


class SegmentStep(Message):
    """One step of a segment: its path in the run, and its number in the program."""

    path: str
    node: int


class PerformSegment(Message):
    """Input of ``runs.segment``: consecutive actions of the fast lane, and what they may read."""

    run_id: int
    key: str
    tenant: str
    process: str
    digest: str
    steps: list[SegmentStep]
    run: JsonObject
    input: JsonObject
    event: JsonObject | None = None
    outputs: JsonObject
    """Outputs of earlier steps that these read, by name."""
    item: Any = None
    index: int | None = None
    """The item of a foreach, if the segment stands in one."""


class FirstTry(Message):
    """How the first try of an action went: its outcome, or its error, or neither if it did not end in time."""

    outcome: ActionOutcome | None = None
    error: ErrorInfo | None = None
    retryable: bool = False
    retry_after_seconds: float | None = None
    started_at: datetime
    completed_at: datetime


class SegmentOutcome(Message):
    """Output of ``runs.segment``: the first tries, in order, up to one that did not succeed. None: skipped."""

    tries: list[FirstTry | None]


class ResolveStep(Message):
    """Input of the ``resolve`` update: how a parked step goes on.

    ``retry`` performs the action again even though its effect may have happened; ``done`` takes ``output`` as its
    output; ``skip`` goes on without; ``fail`` fails the step.
    """

    step: str
    decision: Literal["retry", "done", "skip", "fail"]
    output: Any = None
    comment: str = ""
    by: str = ""
