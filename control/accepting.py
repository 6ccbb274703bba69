"""Taking on a run inside a transaction: what REST, events and schedules have in common."""

from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from pydantic_core import to_json

from domain import ids
from domain.errors import NotFound, TooLarge
from domain.inputs import accept_input
from domain.messages import JsonObject, TriggerType
from store import definitions
from store import runs as rows
from store.definitions import Startable
from store.session import Session
from store.tables import RunRow

MAX_INPUT_BYTES = 1024 * 1024
"""Limit of a run's input, and of a signal's payload, as JSON; Temporal refuses 2 MiB."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Why there is a run, as its row keeps it, and what holds it back."""

    trigger_type: TriggerType
    trigger_source: str | None = None
    idempotency_key: str | None = None
    """The process has one run for it, ever."""
    input_hash: str | None = None
    trigger_id: int | None = None
    event_id: int | None = None
    correlation_key: str | None = None
    not_before: datetime | None = None
    max_concurrent: int | None = None


async def accept_run(
    session: Session,
    tenant: str,
    process: str,
    value: Any,
    origin: Origin,
    *,
    task_queue: str,
    version: str | None = None,
) -> RunRow | None:
    """Enter a run of ``process``, to be started once the session has committed. None: the idempotency key is taken.

    Raises ``NotFound`` (no such process, version or tenant), ``InputInvalid``, ``TooLarge``.
    """
    found = await _startable(session, tenant, process, version)
    run = RunRow(
        id=found.run_id,
        tenant_id=tenant,
        definition_id=found.definition_id,
        process=process,
        version=found.version or "",
        digest=found.digest or "",
        workflow_id=ids.workflow_id(process, tenant, found.run_id),
        task_queue=task_queue,
        input=_fitting(value, found.input_schema or {}),
        **asdict(origin),
    )
    return run if await rows.insert(session, run) else None


async def accepted_input(session: Session, tenant: str, process: str, value: Any) -> JsonObject:
    """``value`` as a run of the process would take it, defaults filled in. Raises as ``accept_run``."""
    found = await _startable(session, tenant, process, None)
    return _fitting(value, found.input_schema or {})


async def _startable(session: Session, tenant: str, process: str, version: str | None) -> Startable:
    found = await definitions.startable(session, tenant, process, version)
    if found is None:
        known = await definitions.names(session, tenant)
        raise NotFound("process", process, close=get_close_matches(process, known, n=3))
    if not found.is_active:
        raise NotFound("process", process, message=f"the process {process!r} is switched off")
    if found.digest is None:
        known = [each.version for each in await definitions.versions(session, found.definition_id)]
        raise NotFound(f"version of {process}", version, close=list(dict.fromkeys(known))[:3])
    return found


def _fitting(value: Any, schema: JsonObject) -> JsonObject:
    """``value`` with defaults, checked for the schema and its size."""
    filled = accept_input(schema, value)
    check_size(filled, "the input", "send where the data is instead of the data")
    return filled


def check_size(value: Any, what: str, remedy: str) -> None:
    """Raise ``TooLarge`` for a value that cannot travel to a run."""
    size = len(to_json(value))
    if size > MAX_INPUT_BYTES:
        raise TooLarge(what, size=size, limit=MAX_INPUT_BYTES, remedy=remedy)
