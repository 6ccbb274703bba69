"""Everything that a run must remember: one serialisable object, handed on by continue-as-new."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from domain.messages import BegunRun, ErrorInfo, JsonObject, ResolveStep, RunStatus, SecretSlot, StepRecord


class Undo(BaseModel):
    """A compensation that is due if the run fails: rendered when its step was completed."""

    path: str
    title: str = ""
    action: str
    input: JsonObject
    secrets: list[SecretSlot] = Field(default_factory=list)


class Loop(BaseModel):
    """How far a foreach has come."""

    next: int = 0
    """Index of the first item that has not been taken up."""
    outputs: dict[int, Any] = Field(default_factory=dict)
    """What was collected, by index."""


class RunState(BaseModel):
    """The run. Steps that have ended are known by their path: a fresh history goes on where the old one ended."""

    begun: BegunRun
    started_at: datetime
    records: dict[str, StepRecord] = Field(default_factory=dict)
    loops: dict[str, Loop] = Field(default_factory=dict)
    deadlines: dict[str, datetime] = Field(default_factory=dict)
    """When the waits under way are over, by path."""
    undo: list[Undo] = Field(default_factory=list)
    delivered: list[str] = Field(default_factory=list)
    """The deliveries of events whose signals have come."""
    signals: dict[str, list[Any]] = Field(default_factory=dict)
    """Signals that no step has taken yet, in their order, by name."""
    resolutions: dict[str, ResolveStep] = Field(default_factory=dict)
    """What people said of parked steps, by path."""
    ending: RunStatus | None = None
    """Set once the steps are over: what the run ends as, after its compensations."""
    result: Any = None
    error: ErrorInfo | None = None
    residue: list[str] = Field(default_factory=list)
    """Steps whose compensation has failed."""
