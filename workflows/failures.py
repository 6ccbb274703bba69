"""How the interpreter unwinds: a step fails, the run stops, is cancelled, or needs a fresh history."""

from typing import Any

from temporalio.exceptions import ApplicationError

from domain.errors import StepwellError
from domain.messages import ErrorInfo, RunStatus


class StepFailed(Exception):
    """A step has failed for good."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


class RunStopped(Exception):
    """A stop step ends the run."""

    def __init__(self, status: RunStatus, result: Any, error: ErrorInfo | None) -> None:
        super().__init__(status)
        self.status = status
        self.result = result
        self.error = error


class RunCancelled(Exception):
    """The run was asked to stop: no further step begins."""


class HistoryFull(Exception):
    """The history is long enough: no further step begins before continue-as-new."""


def step_failed(error: StepwellError) -> StepFailed:
    """A failure that the interpreter itself found, as that of the step."""
    return StepFailed(ErrorInfo(code=error.code, message=str(error)))


def run_failed(error: ErrorInfo) -> ApplicationError:
    """How a failed run ends on Temporal: with the step's name, the error's code and its cause."""
    where = f"step {error.step}: " if error.step else ""
    return ApplicationError(f"{where}{error.message}", error.details, type=error.code, non_retryable=True)
