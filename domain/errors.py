"""The errors of the platform, one tree.

    StepwellError
    ├── DefinitionInvalid      a definition has faults (all of them at once)
    ├── InputInvalid           a run's input does not fit the definition's schema
    ├── ExpressionError        an expression or rule cannot be parsed or evaluated
    │   └── MissingPath        … because a path does not exist
    ├── NotFound               no such process, run, secret… (or not this tenant's)
    ├── Conflict               the thing exists already or is in another state
    ├── Unavailable            Postgres or Temporal cannot be reached just now
    ├── TooLarge               a value is over a size limit
    ├── Unauthenticated        nobody has proved who they are
    ├── Forbidden              they may not do this
    ├── TooManyRequests        too often; try again later
    └── ConnectorError         an action could not be performed (code, retryable, ambiguous)

`activities/failures.py` translates them for Temporal, `api/errors.py` for HTTP; a test proves both complete.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, JsonValue


class StepwellError(Exception):
    """Base of all errors that Stepwell raises on purpose. ``code`` is stable and machine-readable."""

    code = "ERROR"


class Fault(BaseModel):
    """One fault in a document: where, what is wrong, and how to mend it."""

    model_config = ConfigDict(frozen=True)

    path: str
    """JSON pointer into the document, ``""`` for the whole of it."""
    reason: str
    remedy: str = ""
    file: str | None = None


class _Faulty(StepwellError):
    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(f"{message}: " + "; ".join(f"{fault.path or '/'}: {fault.reason}" for fault in faults))
        self.faults = tuple(faults)


class DefinitionInvalid(_Faulty):
    """A definition was refused; ``faults`` lists everything that is wrong with it."""

    code = "DEFINITION_INVALID"


class InputInvalid(_Faulty):
    """A run's input was refused; ``faults`` point into the input."""

    code = "INPUT_INVALID"


class ExpressionError(StepwellError):
    """An expression or rule cannot be parsed or evaluated. ``source`` is its text."""

    code = "EXPRESSION_ERROR"

    def __init__(self, message: str, *, source: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.position = position


class MissingPath(ExpressionError):
    """An expression names a path that the run does not have. ``path`` is that path."""

    code = "MISSING_PATH"

    def __init__(self, path: str, message: str = "", *, source: str = "") -> None:
        super().__init__(message or f"{path} does not exist", source=source)
        self.path = path


class NotFound(StepwellError):
    """There is no such thing for this tenant. ``close`` suggests names that look alike."""

    code = "NOT_FOUND"

    def __init__(self, kind: str, name: object, *, close: Sequence[str] = (), message: str = "") -> None:
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        super().__init__(message or f"there is no {kind} {name!r}{hint}")
        self.kind = kind
        self.name = name
        self.close = tuple(close)


class Conflict(StepwellError):
    """The request contradicts the present state."""

    code = "CONFLICT"


class Unavailable(StepwellError):
    """A part that is needed cannot be reached; try again after ``retry_after``."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooLarge(StepwellError):
    """A value is over its limit. ``size`` and ``limit`` are bytes."""

    code = "TOO_LARGE"

    def __init__(self, what: str, *, size: int, limit: int, remedy: str) -> None:
        super().__init__(f"{what} is {size} bytes, the limit is {limit}: {remedy}")
        self.size = size
        self.limit = limit


class Unauthenticated(StepwellError):
    """Nobody has proved who they are. Never says which part of the proof was wrong."""

    code = "UNAUTHENTICATED"


class Forbidden(StepwellError):
    """The principal may not do this."""

    code = "FORBIDDEN"


class TooManyRequests(StepwellError):
    """Somebody asks too often; try again after ``retry_after``."""

    code = "TOO_MANY_REQUESTS"

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ErrorCode(StrEnum):
    """Why an action failed."""

    AUTH_FAILED = "AUTH_FAILED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    RATE_LIMITED = "RATE_LIMITED"
    TIMEOUT = "TIMEOUT"
    UPSTREAM_5XX = "UPSTREAM_5XX"
    INVALID_INPUT = "INVALID_INPUT"
    CONFIG_INVALID = "CONFIG_INVALID"
    TRANSIENT_NETWORK = "TRANSIENT_NETWORK"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


RETRYABLE: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.RATE_LIMITED,
        ErrorCode.TIMEOUT,
        ErrorCode.UPSTREAM_5XX,
        ErrorCode.TRANSIENT_NETWORK,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""Codes that are worth another try unless the connector says otherwise."""


class ConnectorError(StepwellError):
    """An action could not be performed.

    ``retryable``    whether another try may succeed (default: by code).
    ``retry_after``  how long the other side asked us to wait.
    ``ambiguous``    the effect may have happened all the same (an answer was lost).
    ``details``      what an operator may see; never a secret.
    """

    code: ErrorCode = ErrorCode.INTERNAL_ERROR

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: timedelta | None = None,
        ambiguous: bool = False,
        status: int | None = None,
        details: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = code in RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after
        self.ambiguous = ambiguous
        self.status = status
        self.details = dict(details or {})
