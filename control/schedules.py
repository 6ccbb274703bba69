"""Commands on schedules.

What they change is a row, and a worker brings it to Temporal a moment later; what only Temporal can do or tell (run
now, backfill, last runs) needs Temporal at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final

from pydantic import ValidationError
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionResult,
    ScheduleBackfill,
    ScheduleDescription,
)

from control.rpc import CALL_TIMEOUT, temporal_call
from control.scheduling import OVERLAPS, TemporalSchedules, Wanted
from domain.errors import Conflict, Fault, InputInvalid, NotFound
from domain.refusals import faults_of
from domain.schedules import PREVIEWED, Overlap, Timing, read_timing, schedule_faults
from domain.triggers import ScheduleConfig
from store import definitions
from store import schedules as rows
from store.database import Database
from store.schedules import ScheduleRecord
from store.session import Session

MAX_BACKFILL: Final = 1000
"""Times that one backfill may make up for: more than Temporal keeps waiting for each other."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """A run that a schedule has started. ``run_id`` and ``status`` are None until it has begun."""

    due_at: datetime
    started_at: datetime
    workflow_id: str
    run_id: int | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Described:
    """A schedule as Temporal has it."""

    record: ScheduleRecord
    schedule_id: str
    next_runs: Sequence[datetime]
    """Empty while it is paused."""
    last_runs: Sequence[LastRun]
    """The newest first."""
    missed: int
    """Runs that were due while Temporal was down for longer than the catch-up window."""
    skipped: int
    """Runs that were left out since the one before was still going."""


class Schedules:
    """Makes, changes, lists and runs the schedules of tenants. Their runs are started on ``task_queue``."""

    def __init__(self, database: Database, temporal: Client, task_queue: str) -> None:
        self._database = database
        self._schedules = TemporalSchedules(temporal)
        self._task_queue = task_queue

    async def list(self, tenant: str, *, process: str | None = None) -> Sequence[ScheduleRecord]:
        """All schedules that hold for the tenant, built-in ones included, by id."""
        async with self._database.session(tenant) as session:
            return await rows.listing(session, tenant, process=process)

    async def get(self, tenant: str, schedule: int) -> ScheduleRecord:
        """One schedule, as its row says. Raises ``NotFound``."""
        async with self._database.session(tenant) as session:
            return await _get(session, tenant, schedule)

    async def describe(self, tenant: str, schedule: int) -> Described:
        """One schedule with its next and last runs, as Temporal tells them. Raises ``NotFound``, ``Unavailable``."""
        record, wanted = await self._put(tenant, schedule)
        description = await self._schedules.describe(wanted.id)
        paused = description.schedule.state.paused
        return Described(
            record=record,
            schedule_id=wanted.id,
            next_runs=[] if paused else description.info.next_action_times[:PREVIEWED],
            last_runs=await self._last_runs(tenant, description),
            missed=description.info.num_actions_missed_catchup_window,
            skipped=description.info.num_actions_skipped_overlap,
        )

    async def create(
        self, tenant: str, process: str, config: ScheduleConfig, *, note: str = "", by: str = ""
    ) -> ScheduleRecord:
        """Make a schedule of a process. Raises ``NotFound``, ``InputInvalid`` with every fault."""
        async with self._database.session(tenant) as session:
            await _refuse_faulty(session, tenant, process, config)
            schedule = await rows.insert(session, tenant, process, _dump(config), note=note, by=by)
            return await _get(session, tenant, schedule)

    async def change(self, tenant: str, schedule: int, changes: Mapping[str, Any]) -> ScheduleRecord:
        """Change a schedule that somebody has made: fields of ``ScheduleConfig``; None puts a default back.

        ``cron`` takes the place of ``every``, and the other way round. Raises ``NotFound``, ``InputInvalid``, and
        ``Conflict`` for the schedule of a definition.
        """
        async with self._database.session(tenant) as session:
            record = await _get(session, tenant, schedule)
            _refuse_owned(record, "change")
            replaced = {"cron": "every", "every": "cron"}
            gone = {replaced[name] for name, value in changes.items() if name in replaced and value is not None}
            merged = {**{name: value for name, value in record.config.items() if name not in gone}, **changes}
            config = schedule_config({name: value for name, value in merged.items() if value is not None})
            await _refuse_faulty(session, tenant, record.process, config)
            await rows.update(session, tenant, schedule, config=_dump(config))
            return await _get(session, tenant, schedule)

    async def delete(self, tenant: str, schedule: int) -> None:
        """Remove a schedule that somebody has made; its runs go on. Raises ``NotFound``, ``Conflict``."""
        async with self._database.session(tenant) as session:
            _refuse_owned(await _get(session, tenant, schedule), "delete")
            await rows.delete(session, tenant, schedule)

    async def pause(self, tenant: str, schedule: int, note: str = "") -> ScheduleRecord:
        """Start no more runs until it is resumed; ``note`` says why. Raises ``NotFound``, ``Conflict``."""
        return await self._switch(tenant, schedule, is_active=False, note=note)

    async def resume(self, tenant: str, schedule: int, note: str = "") -> ScheduleRecord:
        """Start runs again. What was due meanwhile is left out. Raises ``NotFound``, ``Conflict``."""
        return await self._switch(tenant, schedule, is_active=True, note=note)

    async def run_now(self, tenant: str, schedule: int, *, overlap: Overlap = "allow_all") -> None:
        """Start a run at once, also of a paused schedule. Raises ``NotFound``, ``Conflict``, ``Unavailable``."""
        record, wanted = await self._put(tenant, schedule)
        _refuse_unstartable(record)
        with temporal_call(wanted.id):
            await self._schedules.handle(wanted.id).trigger(overlap=OVERLAPS[overlap], rpc_timeout=CALL_TIMEOUT)

    async def backfill(
        self, tenant: str, schedule: int, start: datetime, end: datetime, *, overlap: Overlap = "buffer_all"
    ) -> int:
        """Start the runs that were due from ``start`` to ``end``, both included; how many.

        Raises ``NotFound``, ``Conflict``, ``InputInvalid`` (a range in the future, or of too many times),
        ``Unavailable``.
        """
        record = await self.get(tenant, schedule)
        _refuse_unstartable(record)
        due = _due(read_timing(ScheduleConfig.model_validate(record.config)), start, end)
        if due:
            _, wanted = await self._put(tenant, schedule)
            period = ScheduleBackfill(start - timedelta(seconds=1), end, OVERLAPS[overlap])
            with temporal_call(wanted.id):
                await self._schedules.handle(wanted.id).backfill(period, rpc_timeout=CALL_TIMEOUT)
        return due

    async def _put(self, tenant: str, schedule: int) -> tuple[ScheduleRecord, Wanted]:
        """The schedule, which Temporal now has as its row says."""
        async with self._database.session(tenant) as session:
            record = await _get(session, tenant, schedule)
            installation = await rows.installation(session)
        wanted = Wanted.of(record, installation, self._task_queue)
        await self._schedules.put(wanted)
        return record, wanted

    async def _switch(self, tenant: str, schedule: int, *, is_active: bool, note: str) -> ScheduleRecord:
        async with self._database.session(tenant) as session:
            record = await _get(session, tenant, schedule)
            if record.is_builtin:
                raise Conflict(
                    f"schedule {schedule} is built in, for all tenants; publish a process {record.process} of your own "
                    "to replace it for you, with the triggers that you want"
                )
            await rows.update(session, tenant, schedule, is_active=is_active, note=note)
            return await _get(session, tenant, schedule)

    async def _last_runs(self, tenant: str, description: ScheduleDescription) -> Sequence[LastRun]:
        actions = [each for each in reversed(description.info.recent_actions) if _execution(each)]
        async with self._database.session(tenant) as session:
            begun = await rows.runs(session, tenant, [_execution(each)[0] for each in actions])
        last = []
        for each in actions:
            workflow_id, temporal_run_id = _execution(each)
            run_id, status = begun.get((workflow_id, temporal_run_id), (None, None))
            last.append(LastRun(each.scheduled_at, each.started_at, workflow_id, run_id, status))
        return last


def schedule_config(values: Mapping[str, Any]) -> ScheduleConfig:
    """The configuration that ``values`` are. Raises ``InputInvalid``."""
    try:
        return ScheduleConfig.model_validate(dict(values))
    except ValidationError as error:
        faults = faults_of(error.errors())
        raise InputInvalid("the schedule is invalid", faults) from error


def next_times(record: ScheduleRecord, count: int = PREVIEWED) -> Sequence[datetime]:
    """When the schedule runs next, as computed here; nothing while it is paused."""
    if not (record.is_active and record.is_startable):
        return []
    return read_timing(ScheduleConfig.model_validate(record.config)).next_times(datetime.now(UTC), count)


async def _get(session: Session, tenant: str, schedule: int) -> ScheduleRecord:
    record = await rows.get(session, tenant, schedule)
    if record is None:
        raise NotFound("schedule", schedule)
    return record


async def _refuse_faulty(session: Session, tenant: str, process: str, config: ScheduleConfig) -> None:
    found = await definitions.find(session, tenant, process)
    version = None if found is None else await definitions.version(session, found.id or 0, found.digest)
    if version is None:
        raise NotFound("process", process)
    if faults := schedule_faults(config, version.body.get("input", {})):
        raise InputInvalid("the schedule is invalid", faults)


def _refuse_owned(record: ScheduleRecord, verb: str) -> None:
    if record.definition_id is not None:
        raise Conflict(
            f"schedule {record.id} belongs to the definition of {record.process}: {verb} it there and publish that, or "
            "pause the schedule"
        )


def _refuse_unstartable(record: ScheduleRecord) -> None:
    if not record.is_startable:
        raise Conflict(f"the process {record.process} is switched off or gone, so that no run of it can start")


def _due(timing: Timing, start: datetime, end: datetime) -> int:
    """How many runs were due. Raises ``InputInvalid``."""
    if end < start:
        raise _bad_range("/end", "the range ends before it starts", "exchange start and end")
    if end > datetime.now(UTC):
        raise _bad_range("/end", "the range reaches into the future", "end it now, or earlier")
    due = takewhile(lambda moment: moment <= end, timing.times(start - timedelta(seconds=1)))
    count = sum(1 for _ in islice(due, MAX_BACKFILL + 1))
    if count > MAX_BACKFILL:
        raise _bad_range("", f"more than {MAX_BACKFILL} runs were due in this range", "backfill it in shorter ranges")
    return count


def _bad_range(path: str, reason: str, remedy: str) -> InputInvalid:
    return InputInvalid("this range cannot be backfilled", [Fault(path=path, reason=reason, remedy=remedy)])


def _dump(config: ScheduleConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_none=True)


def _execution(action: ScheduleActionResult) -> tuple[str, str]:
    """The workflow id and the first run id of what was started."""
    started = action.action
    if not isinstance(started, ScheduleActionExecutionStartWorkflow):
        return "", ""
    return started.workflow_id, started.first_execution_run_id
