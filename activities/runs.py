"""The run's row, kept by local activities: begun, waiting, ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from sqlmodel import select
from temporalio import activity

from activities.failures import translated
from domain import ids
from domain.actions import Catalogue, Effect
from domain.dialects import parse_definition
from domain.errors import Conflict, NotFound
from domain.inputs import accept_input
from domain.messages import BeginRun, BegunRun, FinishRun, JsonObject, LoadRun, RunKey, UpdateRun
from domain.steps import ActionStep, Step
from store import definitions, events, ledger, lifecycle, schedules
from store.database import Database
from store.session import Session
from store.tables import DefinitionVersionRow, EventRow, RunRow

_CACHED_VERSIONS = 512


@dataclass(frozen=True, slots=True)
class _Version:
    """An immutable version of a definition, with what a run must know of its actions."""

    body: JsonObject
    version: str
    input_schema: JsonObject
    slow: list[str]
    once: list[str]
    reads: list[str]


@dataclass(frozen=True, slots=True)
class Runs:
    """Begins, updates and finishes runs in the platform's database."""

    database: Database
    catalogue: Catalogue
    default_tenant: str
    _versions: dict[tuple[int, str], _Version] = field(default_factory=dict)

    @activity.defn(name=ids.BEGIN_RUN)
    async def begin(self, order: BeginRun) -> BegunRun:
        """The run's row, now ``running``, and the definition version that it is pinned to. Safe to repeat.

        A run that Stepwell did not start gets its row here. Refuses an unknown process, naming those there are, and
        an input that does not fit.
        """
        with translated(ids.BEGIN_RUN):
            if order.memo.run_id is not None:
                return await self._begin_accepted(order, order.memo.run_id)
            return await self._adopt(order)

    @activity.defn(name=ids.LOAD_RUN)
    async def load(self, order: LoadRun) -> JsonObject:
        """The pinned definition again, for a run that goes on with a fresh history."""
        with translated(ids.LOAD_RUN):
            async with self.database.session(order.tenant) as session:
                found = await session.exec(
                    select(DefinitionVersionRow.body).where(DefinitionVersionRow.digest == order.digest).limit(1)
                )
                return dict(found.one())

    @activity.defn(name=ids.EFFECTS_OF_RUN)
    async def effects(self, order: RunKey) -> list[str]:
        """The keys of the effects that the run has had, or may have had."""
        with translated(ids.EFFECTS_OF_RUN):
            async with self.database.statements(order.tenant) as session:
                return await ledger.of_run(session, order.tenant, order.run_id)

    @activity.defn(name=ids.UPDATE_RUN)
    async def update(self, order: UpdateRun) -> None:
        """Say in the row whether the run waits, and on what."""
        with translated(ids.UPDATE_RUN):
            waiting_on = [wait.model_dump(mode="json") for wait in order.waiting_on]
            async with self.database.statements(order.tenant) as session:
                await lifecycle.update(
                    session, tenant=order.tenant, run_id=order.run_id, status=order.status, waiting_on=waiting_on
                )

    @activity.defn(name=ids.FINISH_RUN)
    async def finish(self, order: FinishRun) -> None:
        """Enter how the run ended, and wake those who wait for it. Safe to repeat."""
        with translated(ids.FINISH_RUN):
            end = {
                "status": order.status,
                "result": order.result,
                "error": order.error.model_dump(mode="json") if order.error else None,
                "steps": [step.model_dump(mode="json", exclude_none=True) for step in order.steps],
                "finished_at": order.finished_at,
            }
            async with self.database.statements(order.tenant) as session:
                await lifecycle.finish(session, tenant=order.tenant, run_id=order.run_id, end=end)

    async def _begin_accepted(self, order: BeginRun, run_id: int) -> BegunRun:
        async with self.database.statements(order.memo.tenant or self.default_tenant) as session:
            row = await lifecycle.begin(
                session,
                run_id=run_id,
                workflow_id=order.workflow_id,
                temporal_run_id=order.temporal_run_id,
                started_at=order.started_at,
                accepted_at=order.memo.accepted_at,
            )
            if row is None:
                raise Conflict(f"run {run_id} cannot begin as {order.workflow_id}: it has ended, or never was accepted")
            version = await self._version(session, row.definition_id, row.digest)
            event = None if row.event_id is None else await events.get(session, row.tenant_id, row.event_id)
        return BegunRun(
            run_id=run_id,
            key=ids.run_key(run_id, row.created_at),
            tenant=row.tenant_id,
            process=order.process,
            version=version.version,
            digest=row.digest,
            definition=version.body,
            input=row.input,
            event=None if event is None else _seen(event, row.input),
            slow=version.slow,
            once=version.once,
            reads=version.reads,
        )

    async def _adopt(self, order: BeginRun) -> BegunRun:
        """Give a run that was started on Temporal directly, or by another run, its row."""
        tenant = order.memo.tenant or self.default_tenant
        async with self.database.session(tenant) as session:
            await _refuse_foreign_schedule(session, order.memo.installation)
            process = await definitions.find(session, tenant, order.process)
            if process is None or not process.is_active or process.id is None:
                raise await _unknown(session, tenant, order.process)
            digest = order.memo.digest or process.digest
            version = await self._version(session, process.id, digest)
            accepted = accept_input(version.input_schema, order.input)
            row = RunRow(
                tenant_id=tenant,
                definition_id=process.id,
                process=order.process,
                version=version.version,
                digest=digest,
                workflow_id=order.workflow_id,
                temporal_run_id=order.temporal_run_id,
                task_queue=activity.info().task_queue,
                trigger_type=order.memo.trigger_type,
                trigger_source=order.memo.trigger_source,
                parent_run_id=order.memo.parent_run_id,
                input=accepted,
                started_at=order.started_at,
            )
            adopted = await lifecycle.adopt(session, row)
        return BegunRun(
            run_id=adopted.id,
            key=ids.run_key(adopted.id, adopted.created_at),
            tenant=tenant,
            process=order.process,
            version=version.version,
            digest=digest,
            definition=version.body,
            input=accepted,
            slow=version.slow,
            once=version.once,
            reads=version.reads,
        )

    async def _version(self, session: Session, definition_id: int, digest: str) -> _Version:
        """One version; versions never change, so that each is read and understood once."""
        key = (definition_id, digest)
        if key not in self._versions:
            row = await definitions.version(session, definition_id, digest)
            if row is None:
                raise NotFound("definition version", digest)
            while len(self._versions) >= _CACHED_VERSIONS:
                del self._versions[next(iter(self._versions))]
            self._versions[key] = self._understood(row)
        return self._versions[key]

    def _understood(self, row: DefinitionVersionRow) -> _Version:
        definition = parse_definition(row.body)
        effects = {name: self.catalogue[name].info for name in _actions(definition.steps) if name in self.catalogue}
        once = [name for name, info in effects.items() if info.effect is Effect.AT_MOST_ONCE]
        slow = [name for name, info in effects.items() if info.slow]
        return _Version(
            body=row.body,
            version=row.version,
            input_schema=definition.input,
            # What is never tried twice must not be cut short by the fast lane's limit.
            slow=sorted({*slow, *once}),
            once=once,
            reads=[name for name, info in effects.items() if info.effect is Effect.READ],
        )


def _seen(row: EventRow, run_input: JsonObject) -> JsonObject:
    """The event as the run's expressions see it. A payload that is the input travels once."""
    seen = events.event_of(row).seen(row.id or 0, row.received_at)
    if seen["payload"] == run_input:
        del seen["payload"]
    return seen


def _actions(steps: list[Step]) -> Iterator[str]:
    """The names of all actions in these steps, compensations included."""
    for step in steps:
        if isinstance(step, ActionStep):
            yield step.action
        if step.compensate is not None:
            yield step.compensate.action
        for _, inner in step.blocks():
            yield from _actions(inner)


async def _refuse_foreign_schedule(session: Session, installation: str | None) -> None:
    """A database that was made anew leaves schedules behind, whose times come to whoever works on the task queue."""
    if installation is not None and installation != await schedules.installation(session):
        raise Conflict("this run's schedule belongs to another database: delete it on Temporal")


async def _unknown(session: Session, tenant: str, process: str) -> NotFound:
    names = await definitions.names(session, tenant)
    known = ", ".join(names) or "none yet"
    close = get_close_matches(process, names, n=3)
    hint = f" Did you mean {', '.join(close)}?" if close else ""
    return NotFound("process", process, message=f"there is no process {process!r}.{hint} There are: {known}")
