"""Calls of the Temporal server: what their failures mean to us, by status code and never by text."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import NotFound, Unavailable

CALL_TIMEOUT = timedelta(seconds=5)
"""How long one call may take, its retries included."""

_UNAVAILABLE = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,  # how the client reports that its own time limit is over
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
    }
)


@contextmanager
def temporal_call(workflow_id: str) -> Iterator[None]:
    """Raises ``NotFound`` when Temporal has no such open workflow, ``Unavailable`` when it cannot be reached."""
    try:
        yield
    except RPCError as error:
        if is_absent(error):
            raise NotFound("workflow", workflow_id) from error
        if error.status in _UNAVAILABLE or error.status is RPCStatusCode.NOT_FOUND:
            raise Unavailable(f"Temporal cannot be reached: {error.message}") from error
        raise
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise Unavailable("Temporal, or a worker, did not answer in time") from error
    except RuntimeError as error:
        # A lazy client's failure to connect; the SDK has no type of its own for it.
        raise Unavailable(f"Temporal cannot be reached: {error}") from error


def is_absent(error: RPCError) -> bool:
    """Whether Temporal says that there is no such workflow (rather than no such namespace)."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
