"""Routes of schedules: list, make, change, pause, run now, backfill, preview."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from api.auth import Creator, Deleter, Executor, Requires, Updater, Viewer
from api.parts import UsesParts
from api.redaction import redacted
from api.schemas import Given, answer, answer_json
from api.strict_json import JsonBody, accepts
from control.identity import Principal
from control.schedules import Described, next_times, schedule_config
from domain.errors import NotFound
from domain.permissions import Permission
from domain.schedules import PREVIEWED, Overlap, read_timing
from domain.triggers import ScheduleConfig
from store.schedules import ScheduleRecord

router = APIRouter(prefix="/schedules", tags=["schedules"])

_MAX_ID: Final = 2**63 - 1
_MAX_PREVIEWED: Final = 100


class Timed(Given):
    """When, and with what. What is left out, or null, has its default."""

    cron: str | None = Field(default=None, max_length=200)
    """Five fields, or ``@daily`` and the like."""
    every: str | int | float | None = None
    timezone: str | None = Field(default=None, max_length=64)
    overlap: Overlap | None = None
    catchup_window: str | int | float | None = None
    jitter: str | int | float | None = None
    input: dict[str, Any] | None = None

    def config(self) -> ScheduleConfig:
        """As a schedule's configuration. Raises ``InputInvalid``."""
        return schedule_config(self.model_dump(include=set(Timed.model_fields), exclude_none=True))


class CreateSchedule(Timed):
    """Input for a new schedule."""

    process: str = Field(min_length=1, max_length=64)
    note: str = Field(default="", max_length=500)


class Previewed(Timed):
    """Input of a preview."""

    count: int = Field(default=PREVIEWED, ge=1, le=_MAX_PREVIEWED)


class Note(Given):
    """Why."""

    note: str = Field(default="", max_length=500)


class RunNow(Given):
    """How to run now."""

    overlap: Overlap = "allow_all"


class Backfill(Given):
    """Which times to make up for, both ends included."""

    start: AwareDatetime = Field(strict=False)
    end: AwareDatetime = Field(strict=False)
    overlap: Overlap = "buffer_all"


class Ran(BaseModel):
    """A run that a schedule has started; its id and status are null until it has begun."""

    due_at: datetime
    started_at: datetime
    workflow_id: str
    execution_id: int | None
    status: str | None


class Schedule(BaseModel):
    """A schedule. ``input`` is null for those who may not read it."""

    id: int
    process: str
    words: str
    """When it runs, in words."""
    cron: str | None
    every: str | int | float | None
    timezone: str
    overlap: str
    catchup_window: str | int | float
    jitter: str | int | float
    input: Any
    is_active: bool
    """False: paused."""
    is_startable: bool
    """Whether there is an active process of that name; without, nothing is started."""
    note: str
    origin: Literal["builtin", "definition", "own"]
    """Where it comes from, and so who may change it."""
    created_by: str
    created_at: datetime
    updated_at: datetime
    next_runs: list[datetime]
    """The next five, without jitter; none while it is paused."""


class DescribedSchedule(Schedule):
    """A schedule as Temporal has it: ``next_runs`` are Temporal's own, jitter included."""

    temporal_schedule_id: str
    last_runs: list[Ran]
    missed: int
    """Runs that were due for longer than the catch-up window before Temporal was there again."""
    skipped: int
    """Runs that were left out since the one before was still going."""


class Preview(BaseModel):
    """What a configuration means."""

    words: str
    next_runs: list[datetime]


class Backfilled(BaseModel):
    """How many runs a backfill starts."""

    runs: int


async def _schedule_id(schedule_id: int) -> int:
    """An id that no schedule can have is like any other that is not there."""
    if not 0 < schedule_id <= _MAX_ID:
        raise NotFound("schedule", schedule_id)
    return schedule_id


ScheduleId = Annotated[int, Depends(_schedule_id)]


@router.get("", response_model=list[Schedule])
async def list_schedules(
    principal: Viewer, parts: UsesParts, process: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """All schedules, those of definitions and built-in processes included."""
    found = await parts.schedules.list(principal.tenant, process=process)
    return answer([_shown(each, principal) for each in found])


@router.post("", status_code=201, response_model=Schedule, openapi_extra=accepts(CreateSchedule.model_json_schema()))
async def create_schedule(
    principal: Creator, parts: UsesParts, body: Annotated[CreateSchedule, Depends(JsonBody(CreateSchedule))]
) -> Response:
    """Make a schedule of a process. A worker brings it to Temporal within seconds, also if Temporal is down now."""
    record = await parts.schedules.create(
        principal.tenant, body.process, body.config(), note=body.note, by=principal.name
    )
    return answer(_shown(record, principal), status=201, headers={"Location": f"/schedules/{record.id}"})


@router.post(
    "/preview",
    dependencies=[Depends(Requires(Permission.VIEW))],
    response_model=Preview,
    openapi_extra=accepts(Previewed.model_json_schema()),
)
async def preview_schedule(body: Annotated[Previewed, Depends(JsonBody(Previewed))]) -> Response:
    """What a configuration means in words, and when it would run next. Nothing is made."""
    timing = read_timing(body.config())
    return answer(Preview(words=timing.words(), next_runs=timing.next_times(datetime.now(UTC), body.count)))


@router.get("/{schedule_id}", response_model=DescribedSchedule)
async def show_schedule(principal: Viewer, parts: UsesParts, schedule_id: ScheduleId) -> Response:
    """One schedule with its next and last runs, as Temporal tells them: 503 while Temporal cannot be reached."""
    return answer(_described(await parts.schedules.describe(principal.tenant, schedule_id), principal))


@router.patch("/{schedule_id}", response_model=Schedule, openapi_extra=accepts(Timed.model_json_schema()))
async def change_schedule(
    principal: Updater, parts: UsesParts, schedule_id: ScheduleId, body: Annotated[Timed, Depends(JsonBody(Timed))]
) -> Response:
    """Change a schedule; null puts a default back. 409 if it belongs to a definition."""
    record = await parts.schedules.change(principal.tenant, schedule_id, body.model_dump(exclude_unset=True))
    return answer(_shown(record, principal))


@router.delete("/{schedule_id}", status_code=204)
async def delete_schedule(principal: Deleter, parts: UsesParts, schedule_id: ScheduleId) -> Response:
    """Remove a schedule; its runs go on. 409 if it belongs to a definition."""
    await parts.schedules.delete(principal.tenant, schedule_id)
    return Response(status_code=204)


@router.post("/{schedule_id}/pause", response_model=Schedule, openapi_extra=accepts(Note.model_json_schema()))
async def pause_schedule(
    principal: Updater, parts: UsesParts, schedule_id: ScheduleId, body: Annotated[Note, Depends(JsonBody(Note))]
) -> Response:
    """Start no more runs until it is resumed. 409 if it is built in."""
    return answer(_shown(await parts.schedules.pause(principal.tenant, schedule_id, body.note), principal))


@router.post("/{schedule_id}/resume", response_model=Schedule, openapi_extra=accepts(Note.model_json_schema()))
async def resume_schedule(
    principal: Updater, parts: UsesParts, schedule_id: ScheduleId, body: Annotated[Note, Depends(JsonBody(Note))]
) -> Response:
    """Start runs again; what was due meanwhile is left out. 409 if it is built in."""
    return answer(_shown(await parts.schedules.resume(principal.tenant, schedule_id, body.note), principal))


@router.post(
    "/{schedule_id}/run",
    status_code=202,
    response_model=DescribedSchedule,
    openapi_extra=accepts(RunNow.model_json_schema()),
)
async def run_schedule(
    principal: Executor, parts: UsesParts, schedule_id: ScheduleId, body: Annotated[RunNow, Depends(JsonBody(RunNow))]
) -> Response:
    """Start a run at once, also of a paused schedule. 503 while Temporal cannot be reached."""
    await parts.schedules.run_now(principal.tenant, schedule_id, overlap=body.overlap)
    return answer(_described(await parts.schedules.describe(principal.tenant, schedule_id), principal), status=202)


@router.post(
    "/{schedule_id}/backfill",
    status_code=202,
    response_model=Backfilled,
    openapi_extra=accepts(Backfill.model_json_schema()),
)
async def backfill_schedule(
    principal: Executor,
    parts: UsesParts,
    schedule_id: ScheduleId,
    body: Annotated[Backfill, Depends(JsonBody(Backfill))],
) -> Response:
    """Start the runs that were due in a range of the past. 503 while Temporal cannot be reached."""
    runs = await parts.schedules.backfill(principal.tenant, schedule_id, body.start, body.end, overlap=body.overlap)
    return answer_json({"runs": runs}, status=202)


def _shown(record: ScheduleRecord, principal: Principal) -> Schedule:
    return Schedule(**_fields(record, principal), next_runs=list(next_times(record)))


def _described(described: Described, principal: Principal) -> DescribedSchedule:
    return DescribedSchedule(
        **_fields(described.record, principal),
        next_runs=list(described.next_runs),
        temporal_schedule_id=described.schedule_id,
        last_runs=_ran(described),
        missed=described.missed,
        skipped=described.skipped,
    )


def _ran(described: Described) -> list[Ran]:
    last: Sequence[Any] = described.last_runs
    return [
        Ran(
            due_at=each.due_at,
            started_at=each.started_at,
            workflow_id=each.workflow_id,
            execution_id=each.run_id,
            status=each.status,
        )
        for each in last
    ]


def _fields(record: ScheduleRecord, principal: Principal) -> dict[str, Any]:
    config = ScheduleConfig.model_validate(record.config)
    origin = "own" if record.definition_id is None else "builtin" if record.is_builtin else "definition"
    return {
        "id": record.id,
        "process": record.process,
        "words": read_timing(config).words(),
        **config.model_dump(exclude={"input"}),
        "input": redacted(config.input, readable=principal.may(Permission.READ_PAYLOAD)),
        "is_active": record.is_active,
        "is_startable": record.is_startable,
        "note": record.note,
        "origin": origin,
        "created_by": record.created_by,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
