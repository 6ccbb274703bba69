"""Routes of events: take them in, list, show, replay."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ValidationError

from api import cloudevents
from api.auth import Executor, Viewer
from api.errors import Refused, status_of
from api.event_schemas import MAX_ID, Delivery, Event, GivenEvent, ReplayDead, Replayed, ReplayedMany
from api.paging import MAX_OFFSET, page_headers
from api.parts import UsesParts
from api.schemas import answer, answer_json
from api.strict_json import JSON, accepts, decode, json_object_or_nothing, media_type, read_body
from domain.errors import Fault, Forbidden, InputInvalid, NotFound, StepwellError, TooLarge
from domain.events import EventStatus, Ingested, NewEvent
from domain.permissions import Permission
from domain.refusals import faults_of
from store.events import EventFilter

router = APIRouter(prefix="/events", tags=["events"])

Model = TypeVar("Model", bound=BaseModel)

MAX_BATCH: Final = 500
"""How many events one batch may hold."""

_KEPT_HEADERS: Final = ("traceparent", "tracestate", "user-agent")
_CLOUD_EVENT: Final = {"type": "object", "required": ["specversion", "id", "source", "type"]}
_BODY: Final = {
    "requestBody": {
        "content": {
            JSON: {"schema": GivenEvent.model_json_schema()},
            cloudevents.STRUCTURED: {"schema": _CLOUD_EVENT},
            cloudevents.BATCH: {"schema": {"type": "array", "maxItems": MAX_BATCH, "items": _CLOUD_EVENT}},
        }
    }
}


async def event_id_of(event_id: int) -> int:
    """An id that no event can have is like any other that is not there."""
    if not 0 < event_id <= MAX_ID:
        raise NotFound("event", event_id)
    return event_id


EventId = Annotated[int, Depends(event_id_of)]


@router.post(
    "",
    status_code=202,
    response_model=Ingested,
    responses={
        200: {"model": Ingested, "description": "It was there already, and nothing has been done again"},
        207: {"description": "Some events of the batch were refused; each has its answer"},
    },
    openapi_extra=_BODY,
)
async def take_event(
    principal: Executor,
    parts: UsesParts,
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=300)] = None,
) -> Response:
    """Take an event in: CloudEvents 1.0 in structured, batched or binary mode, or plain JSON.

    Answers once the event and the runs that it starts are committed. The same ``source`` and ``id`` (plainly:
    ``idempotency_key``) is the same event, and answers the same ids with 200. A batch is answered by a list, an entry
    for each of its events.
    """
    intake = _Intake(request)
    try:
        body = await read_body(request)
        given = media_type(request)
        if given == cloudevents.BATCH:
            return await _take_batch(principal.tenant, parts.dispatcher.ingest, intake, _batch(decode(body)))
        event = intake.event(given, body, idempotency_key)
        taken = await parts.dispatcher.ingest(principal.tenant, event)
    except (Refused, InputInvalid, NotFound, TooLarge):
        intake.count("refused")
        raise
    intake.count_taken(taken)
    headers = {"Location": f"/events/{taken.event_id}"}
    if not taken.created:
        headers["Idempotent-Replayed"] = "true"
    return answer(taken, status=202 if taken.created else 200, headers=headers)


@router.get("", response_model=list[Event])
async def list_events(
    principal: Viewer,
    parts: UsesParts,
    request: Request,
    *,
    type: Annotated[str | None, Query(max_length=200, description="``*`` is any text.")] = None,  # noqa: A002
    source: Annotated[str | None, Query(max_length=200)] = None,
    subject: Annotated[str | None, Query(max_length=300)] = None,
    status: EventStatus | None = None,
    text: Annotated[str | None, Query(max_length=200, description="Anywhere in the payload.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Received at or after this time.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Received before this time.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> Response:
    """Events, the newest first, without their data. ``X-Total-Count`` counts them all; ``Link`` leads to other pages.

    Looking for ``text`` needs the permission to read payloads.
    """
    if text is not None and not principal.may(Permission.READ_PAYLOAD):
        raise Forbidden(f"looking into payloads needs the permission {Permission.READ_PAYLOAD}")
    wanted = EventFilter(type=type, source=source, subject=subject, status=status, text=text, since=since, until=until)
    rows, total = await parts.events.list(principal.tenant, wanted, limit=limit, offset=offset)
    return answer([Event.of(row) for row in rows], headers=page_headers(request, total, limit, offset))


@router.post(
    "/replay", status_code=202, response_model=ReplayedMany, openapi_extra=accepts(ReplayDead.model_json_schema())
)
async def replay_dead_events(
    principal: Executor, parts: UsesParts, body: Annotated[dict[str, Any], Depends(json_object_or_nothing)]
) -> Response:
    """Let the workers ask the triggers of all dead events again, or of those of one type or source."""
    wanted = _fitting(ReplayDead, body)
    count = await parts.events.replay_dead(principal.tenant, type=wanted.type, source=wanted.source)
    return answer(ReplayedMany(events=count), status=202)


@router.get("/{event_id}", response_model=Event)
async def show_event(principal: Viewer, parts: UsesParts, event_id: EventId) -> Response:
    """One event, with what each trigger has made of it, and why."""
    readable = principal.may(Permission.READ_PAYLOAD)
    row = await parts.events.get(principal.tenant, event_id)
    deliveries = await parts.events.deliveries(principal.tenant, event_id)
    shown = Event.of(row, readable=readable)
    return answer(shown.with_deliveries([Delivery.of(each, readable=readable) for each in deliveries]))


@router.get("/{event_id}/deliveries", response_model=list[Delivery])
async def list_deliveries(principal: Viewer, parts: UsesParts, event_id: EventId) -> Response:
    """What each trigger has made of an event, and why."""
    readable = principal.may(Permission.READ_PAYLOAD)
    deliveries = await parts.events.deliveries(principal.tenant, event_id)
    return answer([Delivery.of(each, readable=readable) for each in deliveries])


@router.post("/{event_id}/replay", response_model=Replayed)
async def replay_event(principal: Executor, parts: UsesParts, event_id: EventId) -> Response:
    """Ask the triggers that have not succeeded on the event again, now. Safe to repeat."""
    taken = await parts.dispatcher.replay(principal.tenant, event_id)
    return answer(Replayed.model_validate(taken, from_attributes=True))


class _Intake:
    """What comes in with one request."""

    def __init__(self, request: Request) -> None:
        headers = request.headers
        self._request = request
        self._kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
        self.trace_id = cloudevents.trace_of(headers.get("traceparent")) or request.state.correlation_id

    def event(self, given_type: str, body: bytes, idempotency_key: str | None) -> NewEvent:
        """The request's one event. Raises ``Refused`` and ``InputInvalid``."""
        if given_type == cloudevents.STRUCTURED:
            return self.structured(decode(body))
        if given_type.startswith(cloudevents.FAMILY):
            raise _unknown_type(given_type)
        raw = self._request.headers.raw
        if cloudevents.is_binary(raw):
            return self._with_headers(cloudevents.read_binary(raw, body, trace_id=self.trace_id))
        if given_type != JSON:
            raise _unknown_type(given_type)
        given = _fitting(GivenEvent, decode(body))
        if given.idempotency_key is None and idempotency_key is not None:
            given = _fitting(GivenEvent, {**given.model_dump(), "idempotency_key": idempotency_key})
        return self._with_headers(new_event(given, trace_id=self.trace_id))

    def structured(self, document: Any) -> NewEvent:
        """A structured-mode event. Raises ``InputInvalid``."""
        return self._with_headers(cloudevents.read_structured(document, trace_id=self.trace_id))

    def count(self, outcome: str) -> None:
        """Count an event in the metrics."""
        self._request.app.state.metrics.events.labels("event", outcome).inc()

    def count_taken(self, taken: Ingested) -> None:
        """Count an event that was taken in."""
        self.count("created" if taken.created else "duplicate")

    def _with_headers(self, event: NewEvent) -> NewEvent:
        return event.model_copy(update={"headers": {**self._kept, **event.headers}})


def new_event(given: GivenEvent, *, trace_id: str) -> NewEvent:
    """The event that a body plainly says."""
    told = {"key": given.idempotency_key, "occurred_at": given.occurred_at}
    return NewEvent(
        source=given.source,
        type=given.event_type,
        subject=given.subject,
        payload=given.payload,
        trace_id=trace_id,
        **{name: value for name, value in told.items() if value is not None},
    )


async def _take_batch(tenant: str, ingest: Any, intake: _Intake, documents: list[Any]) -> Response:
    """Take the events in one after another; those that are refused keep no other from it."""
    answers: list[Mapping[str, Any]] = []
    statuses: set[HTTPStatus] = set()
    for index, document in enumerate(documents):
        try:
            taken: Ingested = await ingest(tenant, intake.structured(document))
        except (InputInvalid, NotFound, TooLarge) as error:
            intake.count("refused")
            answers.append({"problem": _problem(index, error)})
            statuses.add(HTTPStatus.MULTI_STATUS)
        else:
            intake.count_taken(taken)
            answers.append(taken.model_dump(mode="json"))
            statuses.add(HTTPStatus.ACCEPTED if taken.created else HTTPStatus.OK)
    return answer_json(answers, status=max(statuses, default=HTTPStatus.OK))


def _problem(index: int, error: StepwellError) -> dict[str, Any]:
    faults: Iterable[Fault] = error.faults if isinstance(error, InputInvalid) else ()
    return {
        "status": int(status_of(error)),
        "code": error.code,
        "detail": str(error),
        "faults": [
            each.model_copy(update={"path": f"/{index}{each.path}"}).model_dump(exclude_none=True) for each in faults
        ],
    }


def _batch(document: Any) -> list[Any]:
    if not isinstance(document, list):
        fault = Fault(
            path="", reason="a batch is a list of CloudEvents", remedy=f"send one as {cloudevents.STRUCTURED}"
        )
        raise InputInvalid("the batch does not fit", [fault])
    if len(document) > MAX_BATCH:
        detail = f"the batch has {len(document)} events, the limit is {MAX_BATCH}: send several batches"
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BATCH_TOO_LARGE", detail)
    return document


def _fitting(model: type[Model], value: Any) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputInvalid("the body does not fit", faults_of(error.errors())) from error


def _unknown_type(given: str) -> Refused:
    known = f"{JSON}, {cloudevents.STRUCTURED} or {cloudevents.BATCH}"
    detail = f"the body's Content-Type must be {known}, not {given or 'missing'}; or send ce-… headers"
    return Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail, headers={"Accept-Post": known})
