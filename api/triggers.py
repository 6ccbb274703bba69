"""Routes of triggers: list, show, make, change, remove, try out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from api import cloudevents
from api.auth import Creator, Deleter, Updater, Viewer
from api.event_schemas import MAX_ID, ChangeTrigger, CreateTrigger, TriedEvent, TriggerOut, TryTriggers
from api.events import new_event
from api.parts import Parts, UsesParts
from api.redaction import redacted
from api.schemas import answer
from api.strict_json import JsonBody, accepts
from domain.errors import Conflict, InputInvalid, NotFound
from domain.events import EventKind, NewEvent, Trace
from domain.refusals import faults_of
from domain.triggers import OnEvent
from store.events import event_of
from triggers.matching import trigger_on_event

router = APIRouter(prefix="/triggers", tags=["triggers"])


async def _trigger_id(trigger_id: int) -> int:
    """An id that no trigger can have is like any other that is not there."""
    if not 0 < trigger_id <= MAX_ID:
        raise NotFound("trigger", trigger_id)
    return trigger_id


TriggerId = Annotated[int, Depends(_trigger_id)]


@router.get("", response_model=list[TriggerOut])
async def list_triggers(
    principal: Viewer, parts: UsesParts, process: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """The tenant's triggers by process: those of definitions, built-in ones included, and those that people made."""
    return answer([TriggerOut.of(row) for row in await parts.triggers.list(principal.tenant, process=process)])


@router.post("", status_code=201, response_model=TriggerOut, openapi_extra=accepts(CreateTrigger.model_json_schema()))
async def create_trigger(
    principal: Creator, parts: UsesParts, body: Annotated[CreateTrigger, Depends(JsonBody(CreateTrigger))]
) -> Response:
    """Make a trigger for a process; the next event meets it. Every fault is told at once (422)."""
    row = await parts.triggers.create(
        principal.tenant,
        body.process,
        body.type,
        body.config,
        is_active=body.is_active,
        note=body.note,
        by=principal.name,
    )
    return answer(TriggerOut.of(row), status=201, headers={"Location": f"/triggers/{row.id}"})


@router.post("/test", response_model=list[Trace], openapi_extra=accepts(TryTriggers.model_json_schema()))
async def try_triggers(
    principal: Creator,
    parts: UsesParts,
    request: Request,
    body: Annotated[TryTriggers, Depends(JsonBody(TryTriggers))],
) -> Response:
    """What a trigger, or all of the tenant's, would make of an event, and why. Nothing is kept or started.

    ``status`` says what would happen: ``started`` that a run would start, ``signalling`` that the run of the key would
    get the signal if there is one. Limits (debounce…) and duplicates are not looked at.
    """
    event = await _event(parts, principal.tenant, body, request.state.correlation_id)
    trigger, process = await _trigger(parts, principal.tenant, body)
    traces = await parts.dispatcher.try_out(principal.tenant, event, trigger, process, event_id=body.event_id or 0)
    if body.trigger_id is not None:
        traces = [each.model_copy(update={"trigger_id": body.trigger_id}) for each in traces]
    return answer([_shown(each) for each in await parts.triggers.startable(principal.tenant, traces)])


@router.get("/{trigger_id}", response_model=TriggerOut)
async def show_trigger(principal: Viewer, parts: UsesParts, trigger_id: TriggerId) -> Response:
    """One trigger."""
    return answer(TriggerOut.of(await parts.triggers.get(principal.tenant, trigger_id)))


@router.patch("/{trigger_id}", response_model=TriggerOut, openapi_extra=accepts(ChangeTrigger.model_json_schema()))
async def change_trigger(
    principal: Updater,
    parts: UsesParts,
    trigger_id: TriggerId,
    body: Annotated[ChangeTrigger, Depends(JsonBody(ChangeTrigger))],
) -> Response:
    """Change a trigger, or switch it on or off. A definition's config changes with the definition (409)."""
    row = await parts.triggers.update(
        principal.tenant, trigger_id, config=body.config, is_active=body.is_active, note=body.note
    )
    return answer(TriggerOut.of(row))


@router.delete("/{trigger_id}", status_code=204)
async def delete_trigger(principal: Deleter, parts: UsesParts, trigger_id: TriggerId) -> Response:
    """Remove a trigger that people have made. A definition's goes with the definition (409)."""
    await parts.triggers.delete(principal.tenant, trigger_id)
    return Response(status_code=204)


async def _event(parts: Parts, tenant: str, body: TryTriggers, trace_id: str) -> NewEvent:
    if body.event_id is not None:
        return event_of(await parts.events.get(tenant, body.event_id))
    try:
        if "specversion" in (body.event or {}):
            return cloudevents.read_structured(body.event, trace_id=trace_id)
        given = TriedEvent.model_validate(body.event)
    except ValidationError as error:
        raise _inside("event", InputInvalid("the event does not fit", faults_of(error.errors()))) from error
    except InputInvalid as error:
        raise _inside("event", error) from error
    event = new_event(given, trace_id=trace_id)
    return event.model_copy(update={"kind": EventKind(given.kind), "headers": given.headers})


async def _trigger(parts: Parts, tenant: str, body: TryTriggers) -> tuple[OnEvent | None, str]:
    """The one trigger that is tried out, and its process. None: all."""
    if body.trigger is not None:
        told = body.trigger
        try:
            return await parts.triggers.check(tenant, told.process, told.type, told.config), told.process
        except InputInvalid as error:
            raise _inside("trigger", error) from error
    if body.trigger_id is None:
        return None, ""
    row = await parts.triggers.get(tenant, body.trigger_id)
    if row.type in ("schedule", "manual"):
        raise Conflict(f"trigger {row.id} is of the type {row.type}, which no event meets")
    return trigger_on_event(row.type, row.config), row.process


def _inside(name: str, error: InputInvalid) -> InputInvalid:
    """The same refusal of what stands under ``name``."""
    faults = [fault.model_copy(update={"path": f"/{name}{fault.path}"}) for fault in error.faults]
    return InputInvalid(f"the {name} does not fit", faults)


def _shown(trace: Trace) -> Trace:
    hidden: dict[str, Any] = {
        "input": redacted(trace.input, readable=True),
        "explain": redacted(trace.explain, readable=True),
    }
    return trace.model_copy(update=hidden)
