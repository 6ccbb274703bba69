"""Schedules on Temporal: what a schedule's row says, as a Temporal Schedule, put there and compared.

The row is right: what somebody changed, paused or deleted in the Temporal UI is put back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
)
from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from control.rpc import CALL_TIMEOUT, temporal_call
from domain import ids
from domain.cron import Cron
from domain.errors import NotFound
from domain.messages import StartMemo
from domain.schedules import Overlap, Timing, read_timing
from domain.triggers import ScheduleConfig
from store.schedules import ScheduleRecord

OVERLAPS: Final[Mapping[Overlap, ScheduleOverlapPolicy]] = {
    "skip": ScheduleOverlapPolicy.SKIP,
    "buffer_one": ScheduleOverlapPolicy.BUFFER_ONE,
    "buffer_all": ScheduleOverlapPolicy.BUFFER_ALL,
    "cancel_other": ScheduleOverlapPolicy.CANCEL_OTHER,
    "allow_all": ScheduleOverlapPolicy.ALLOW_ALL,
}

MAX_NOTE: Final = 500
"""Characters of a note that Temporal is given."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schedule as Temporal is to have it."""

    id: str
    schedule: Schedule
    search_attributes: TypedSearchAttributes

    @classmethod
    def of(cls, record: ScheduleRecord, installation: str, task_queue: str) -> "Wanted":
        """What ``record`` says. Raises ``InputInvalid`` for a configuration that Temporal cannot be given."""
        config = ScheduleConfig.model_validate(record.config)
        timing = read_timing(config)
        attributes = _search_attributes(record.tenant)
        schedule = Schedule(
            action=ScheduleActionStartWorkflow(
                record.process,
                {} if config.input is None else config.input,
                id=ids.scheduled_workflow_id(record.process, record.tenant, record.id, installation),
                task_queue=task_queue,
                memo={ids.MEMO_RUN: _memo(record, installation)},
                typed_search_attributes=attributes,
                static_summary=f"Schedule {record.id} of {record.tenant}",
                priority=Priority(fairness_key=record.tenant),
            ),
            spec=_spec(timing),
            policy=SchedulePolicy(overlap=OVERLAPS[timing.overlap], catchup_window=timing.catchup_window),
            state=_state(record),
        )
        return cls(ids.schedule_id(installation, record.tenant, record.id), schedule, attributes)


class TemporalSchedules:
    """Puts schedules on a Temporal server. All methods raise ``Unavailable``, and ``RPCError`` for what it refuses."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    def handle(self, schedule_id: str) -> ScheduleHandle:
        """The handle of a schedule, be it there or not."""
        return self._temporal.get_schedule_handle(schedule_id)

    async def describe(self, schedule_id: str) -> ScheduleDescription:
        """The schedule as Temporal has it. Raises ``NotFound``."""
        with temporal_call(schedule_id):
            return await self.handle(schedule_id).describe(rpc_timeout=CALL_TIMEOUT)

    async def ids(self, prefix: str) -> set[str]:
        """The ids of the schedules that begin with ``prefix``. The list lags behind by a moment."""
        query = f"ScheduleId STARTS_WITH '{prefix}'"
        with temporal_call(prefix):
            found = await self._temporal.list_schedules(query, page_size=1000, rpc_timeout=CALL_TIMEOUT)
            return {entry.id async for entry in found if entry.id.startswith(prefix)}

    async def put(self, wanted: Wanted) -> bool:
        """Let Temporal have ``wanted``; whether anything had to be done. Safe to repeat, and from several places."""
        try:
            present = await self.describe(wanted.id)
        except NotFound:
            return await self._create(wanted)
        if await self._same(wanted.schedule, present.schedule):
            return False
        with temporal_call(wanted.id):
            update = ScheduleUpdate(wanted.schedule, search_attributes=wanted.search_attributes)
            await self.handle(wanted.id).update(lambda _: update, rpc_timeout=CALL_TIMEOUT)
        return True

    async def remove(self, schedule_id: str) -> bool:
        """Delete a schedule; whether there was one. The runs that it has started go on."""
        try:
            with temporal_call(schedule_id):
                await self.handle(schedule_id).delete(rpc_timeout=CALL_TIMEOUT)
        except NotFound:
            return False
        return True

    async def _create(self, wanted: Wanted) -> bool:
        try:
            with temporal_call(wanted.id):
                await self._temporal.create_schedule(
                    wanted.id,
                    wanted.schedule,
                    search_attributes=wanted.search_attributes,
                    rpc_timeout=CALL_TIMEOUT,
                )
        except ScheduleAlreadyRunningError:  # another worker was faster
            return False
        return True

    async def _same(self, wanted: Schedule, present: Schedule) -> bool:
        if (wanted.spec, wanted.policy, wanted.state) != (present.spec, present.policy, present.state):
            return False
        return bool(await self._action(wanted.action) == await self._action(present.action))

    async def _action(self, action: Any) -> Any:
        """What an action does, comparable: payloads are read, since an encrypted one is never twice the same."""
        if not isinstance(action, ScheduleActionStartWorkflow):
            return None
        converter = self._temporal.data_converter
        raw = {"args": list(action.args), "memo": [(action.memo or {}).get(ids.MEMO_RUN)]}
        raw["summary"] = [action.static_summary]
        read: dict[str, Any] = {}
        for name, values in raw.items():
            payloads = [
                value if hasattr(value, "metadata") else (await converter.encode([value]))[0] for value in values
            ]
            read[name] = await converter.decode(payloads)
        attributes = {pair.key.name: pair.value for pair in action.typed_search_attributes}
        limits = (action.execution_timeout, action.run_timeout, action.task_timeout, action.retry_policy)
        return action.workflow, action.id, action.task_queue, action.priority, attributes, limits, read


def _memo(record: ScheduleRecord, installation: str) -> StartMemo:
    return StartMemo(
        tenant=record.tenant,
        trigger_type="scheduled",
        trigger_source=f"schedule {record.id}",
        installation=installation,
    )


def _search_attributes(tenant: str) -> TypedSearchAttributes:
    pairs = ((ids.SEARCH_TENANT, tenant), (ids.SEARCH_TRIGGER, "scheduled"))
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in pairs]
    )


def _state(record: ScheduleRecord) -> ScheduleState:
    note = record.note
    if not record.is_startable:
        note = f"the process {record.process} is switched off or gone"
    paused = not (record.is_active and record.is_startable)
    return ScheduleState(note=note[:MAX_NOTE] or None, paused=paused)


def _spec(timing: Timing) -> ScheduleSpec:
    spec = ScheduleSpec(jitter=timing.jitter or None)
    if timing.every is not None:
        spec.intervals = [ScheduleIntervalSpec(timing.every)]
    if timing.cron is not None:
        spec.calendars = [_calendar(timing.cron)]
        spec.time_zone_name = timing.zone.key
    return spec


def _calendar(cron: Cron) -> ScheduleCalendarSpec:
    """The values of each field spelt out, so that nothing is left for the server to read in its own way."""
    return ScheduleCalendarSpec(
        minute=_ranges(cron.minutes),
        hour=_ranges(cron.hours),
        day_of_month=_ranges(cron.days),
        month=_ranges(cron.months),
        day_of_week=_ranges(cron.weekdays),
        comment=cron.text,
    )


def _ranges(values: Iterable[int]) -> tuple[ScheduleRange, ...]:
    """The values as few ranges: one with a step if they are evenly spaced, else those that follow each other."""
    ordered = sorted(values)
    steps = {after - before for before, after in pairwise(ordered)}
    if len(steps) == 1:
        return (ScheduleRange(ordered[0], ordered[-1], steps.pop()),)
    ranges: list[ScheduleRange] = []
    for value in ordered:
        if ranges and value == ranges[-1].end + 1:
            ranges[-1] = ScheduleRange(ranges[-1].start, value, 1)
        else:
            ranges.append(ScheduleRange(value, value, 1))
    return tuple(ranges)
