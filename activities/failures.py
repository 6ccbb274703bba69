"""The platform's errors as Temporal understands them: the only place that makes an ``ApplicationError``."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from domain.errors import ConnectorError, ErrorCode, StepwellError, TooManyRequests, Unavailable

_log = structlog.get_logger("activities")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Let nothing but ``ApplicationError`` out of an activity.

    An error that nobody expected is logged here in full; Temporal is told its kind only, since its text may hold
    anything, secrets included. It counts as passing: the action is tried again.
    """
    try:
        yield
    except StepwellError as error:
        raise application_error(error) from None
    except Exception as error:  # noqa: BLE001  # the edge
        _log.exception("unexpected error", activity=what)
        kind = type(error).__name__
        raise ApplicationError(
            f"{what} broke with {kind}; the worker's log has the details", type=ErrorCode.INTERNAL_ERROR
        ) from None


def application_error(error: StepwellError) -> ApplicationError:
    """What Temporal is told: the error's code as type, whether to try again, and when."""
    match error:
        case ConnectorError():
            return ApplicationError(
                str(error),
                {"status": error.status, **error.details} if error.status else error.details,
                type=error.code,
                non_retryable=not error.retryable,
                next_retry_delay=error.retry_after,
            )
        case Unavailable() | TooManyRequests():
            return ApplicationError(str(error), type=error.code, next_retry_delay=error.retry_after)
        case _:
            return ApplicationError(str(error), type=error.code, non_retryable=True)


def invalid_input(action: str, error: ValidationError) -> ConnectorError:
    """An action's input does not fit its model: every fault by path, without the values, which may be secret."""
    faults = [
        {"path": "/" + "/".join(map(str, fault["loc"])), "reason": fault["msg"]}
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    text = "; ".join(f"{fault['path']}: {fault['reason']}" for fault in faults)
    return ConnectorError(
        ErrorCode.INVALID_INPUT, f"{action} refuses its input: {text}", details={"faults": [dict(f) for f in faults]}
    )
