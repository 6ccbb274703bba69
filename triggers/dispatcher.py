"""The inbox: what comes in becomes an event, meets the triggers, and starts or signals runs, in one transaction.

An event is told by (tenant, kind, source, key). A second delivery finds the first one and does nothing. A trigger that
fails on an event does not keep the others from it: the event is dead, says why, and can be replayed once the cause is
mended; a replay asks only the triggers that have not succeeded.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from domain.errors import ExpressionError, NotFound, StepwellError, TooLarge
from domain.events import MAX_PAYLOAD_BYTES, DeliveryStatus, EventStatus, Ingested, NewEvent, Trace
from domain.triggers import OnEvent
from store import events, triggers
from store.database import Database
from store.events import Delivery
from store.recent import Recent
from store.session import Session
from store.tables import EventRow
from store.triggers import Candidate
from triggers.asking import FAILURES, Asking, failed
from triggers.matching import Matcher, trigger_on_event

MATCHERS_KEPT_SECONDS = 3600.0


class Dispatcher:
    """Takes events in for all tenants. Runs that it starts are for ``task_queue``."""

    def __init__(self, database: Database, task_queue: str) -> None:
        self._database = database
        self._task_queue = task_queue
        self._matchers: Recent[tuple[int, datetime], Matcher] = Recent(lifetime_seconds=MATCHERS_KEPT_SECONDS)

    async def ingest(self, tenant: str, event: NewEvent) -> Ingested:
        """Keep the event and do what its triggers say; all of it has been committed when this returns.

        Safe to repeat. Raises ``TooLarge``, ``NotFound`` (no such tenant), ``Unavailable``.
        """
        async with self._database.session(tenant) as session:
            return await self.ingest_in(session, tenant, event)

    async def ingest_in(self, session: Session, tenant: str, event: NewEvent) -> Ingested:
        """Likewise in the caller's transaction."""
        [done] = await self.ingest_all(session, tenant, [event])
        return done

    async def ingest_all(self, session: Session, tenant: str, new: Sequence[NewEvent]) -> list[Ingested]:
        """Likewise for several events, in their order. Costs hardly more than one, unless they start runs."""
        for event in new:
            _check_size(event)
        entered = {(row.kind, row.source, row.key): row for row in await events.insert(session, tenant, new)}
        candidates: dict[tuple[str, ...], list[Candidate]] = {}
        deliveries: list[Delivery] = []
        done = []
        for event in new:
            row = entered.pop((event.kind.value, event.source, event.key), None)
            if row is None:
                done.append(await _known(session, tenant, event))
                continue
            alike = (event.kind, event.source, event.type, triggers.model_of(event))
            if alike not in candidates:
                candidates[alike] = await triggers.for_event(session, tenant, event)
            seen = event.seen(row.id, row.received_at)
            asking = Asking(session, tenant, self._task_queue, event, row.id, seen)
            made = [await self._ask(asking, candidate) for candidate in candidates[alike]]
            deliveries += made
            done.append(_ingested(asking, made))
            if done[-1].status is EventStatus.DEAD:
                await events.settle(session, row.id, EventStatus.DEAD, _why_dead(made))
        await events.deliver(session, tenant, deliveries)
        return done

    async def replay(self, tenant: str, event_id: int) -> Ingested:
        """Ask the triggers that have not succeeded on the event again. Raises ``NotFound``."""
        async with self._database.session(tenant) as session:
            row = await events.get(session, tenant, event_id, lock=True)
            if row is None:
                raise NotFound("event", event_id)
            return await self.replay_in(session, row)

    async def replay_in(self, session: Session, row: EventRow) -> Ingested:
        """Likewise for a locked row, in the caller's transaction."""
        event, event_id = events.event_of(row), row.id or 0
        done = await events.done_triggers(session, event_id)
        seen = event.seen(event_id, row.received_at)
        asking = Asking(session, row.tenant_id, self._task_queue, event, event_id, seen)
        candidates = await triggers.for_event(session, row.tenant_id, event)
        made = [await self._ask(asking, candidate) for candidate in candidates if candidate.id not in done]
        await events.deliver(session, row.tenant_id, made)
        ingested = _ingested(asking, made)
        await events.settle(session, event_id, ingested.status, _why_dead(made), again=True)
        return ingested

    async def try_out(
        self, tenant: str, event: NewEvent, trigger: OnEvent | None = None, process: str = "", *, event_id: int = 0
    ) -> list[Trace]:
        """What the tenant's triggers, or ``trigger`` alone, would make of the event. Nothing is kept or started."""
        seen = event.seen(event_id, datetime.now(UTC))
        if trigger is not None:
            return [_tried(tenant, event, seen, _readable(trigger), None, process)]
        async with self._database.statements(tenant) as session:
            candidates = await triggers.for_event(session, tenant, event)
        return [
            _tried(tenant, event, seen, _readable(trigger_on_event(each.type, each.config)), each.id, each.process)
            for each in candidates
        ]

    async def _ask(self, asking: Asking, candidate: Candidate) -> Delivery:
        try:
            trace, signal = await asking.ask(candidate, self._matcher(candidate))
        except FAILURES as error:
            trace, signal = failed(candidate.id, candidate.process, error), None
        return Delivery(asking.event_id, trace, signal)

    def _matcher(self, candidate: Candidate) -> Matcher:
        key = (candidate.id, candidate.updated_at)
        known = self._matchers.get(key)
        if known is None:
            known = Matcher(trigger_on_event(candidate.type, candidate.config))
            self._matchers.put(key, known)
        return known


def _check_size(event: NewEvent) -> None:
    size = len(to_json(event.payload))
    if size > MAX_PAYLOAD_BYTES:
        remedy = "send where the data is instead of the data"
        raise TooLarge("the event's payload", size=size, limit=MAX_PAYLOAD_BYTES, remedy=remedy)


async def _known(session: Session, tenant: str, event: NewEvent) -> Ingested:
    known = await events.known(session, tenant, event)
    return Ingested(
        event_id=known.id,
        trace_id=known.trace_id,
        created=False,
        status=EventStatus(known.status),
        run_ids=known.run_ids,
    )


def _ingested(asking: Asking, made: Sequence[Delivery]) -> Ingested:
    traces = [each.trace for each in made]
    broken = any(trace.status is DeliveryStatus.FAILED for trace in traces)
    return Ingested(
        event_id=asking.event_id,
        trace_id=asking.event.trace_id,
        created=True,
        status=EventStatus.DEAD if broken else EventStatus.DISPATCHED,
        run_ids=[trace.run_id for trace in traces if trace.run_id and trace.status is not DeliveryStatus.DUPLICATE],
    )


def _why_dead(made: Sequence[Delivery]) -> str | None:
    broken = [each.trace for each in made if each.trace.status is DeliveryStatus.FAILED]
    return "; ".join(f"{trace.process}: {trace.reason}" for trace in broken) or None


def _tried(  # noqa: PLR0917
    tenant: str,
    event: NewEvent,
    seen: dict[str, Any],
    trigger: Matcher | StepwellError,
    trigger_id: int | None,
    process: str,
) -> Trace:
    if isinstance(trigger, StepwellError):
        return failed(trigger_id, process, trigger)
    try:
        match = trigger.match(tenant, event, seen, explain=True)
    except FAILURES as error:
        return failed(trigger_id, process, error)
    status = DeliveryStatus.SIGNALLING if trigger.config.action == "signal" else DeliveryStatus.STARTED
    return match.trace(trigger_id, process, status)


def _readable(trigger: OnEvent) -> Matcher | StepwellError:
    try:
        return Matcher(trigger)
    except ExpressionError as error:
        return error
