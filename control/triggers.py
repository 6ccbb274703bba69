"""Commands on triggers: those that people make beside the ones of definitions, and the switch of either.

A definition's triggers change with the next version that is published. Another tenant's trigger is ``NotFound``.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from control.accepting import accepted_input
from control.publishing import Publisher
from domain.errors import Conflict, Fault, InputInvalid, NotFound, TooLarge
from domain.events import DeliveryStatus, Trace
from domain.ids import BUILTIN_TENANT
from domain.refusals import faults_of
from domain.triggers import EventTrigger, OnEvent, SignalTrigger, Trigger, WebhookTrigger
from store import triggers as rows
from store.database import Database
from store.tables import TriggerRow
from store.tables.base import now

_REFUSAL: Final = "the trigger does not fit"
_HERE: Final = "/triggers/0"
_ELSEWHERE: Final[Mapping[str, tuple[str, str]]] = {
    "schedule": ("schedules are not made here", "make it at /schedules, or in the process's definition"),
    "manual": ("people can start every process", "leave it out: start it by POST /workflows/execute/{name}"),
}
_TRIGGER: Final[TypeAdapter[Trigger]] = TypeAdapter(Trigger)


class Triggers:
    """Commands on the triggers of all tenants."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def list(self, tenant: str, *, process: str | None = None) -> Sequence[TriggerRow]:
        """The tenant's triggers, built-in ones included, by process."""
        async with self._database.statements(tenant) as session:
            return await rows.listing(session, tenant, process=process)

    async def get(self, tenant: str, trigger_id: int) -> TriggerRow:
        """One trigger of the tenant's, or a built-in one. Raises ``NotFound``."""
        async with self._database.statements(tenant) as session:
            row = await rows.get(session, tenant, trigger_id)
        if row is None:
            raise NotFound("trigger", trigger_id)
        return row

    async def check(self, tenant: str, process: str, type: str, config: Any) -> OnEvent:  # noqa: A002
        """The trigger, checked as publishing checks one in the definition of ``process``.

        Raises ``InputInvalid`` with every fault, and for a type that events do not meet.
        """
        if type in _ELSEWHERE:
            reason, remedy = _ELSEWHERE[type]
            raise InputInvalid(_REFUSAL, [Fault(path="/type", reason=reason, remedy=remedy)])
        document = {**await self._body(tenant, process), "triggers": [{"type": type, "config": config}]}
        definition, found = await self._publisher.check(tenant, document)
        faults = [
            fault.model_copy(update={"path": fault.path.removeprefix(_HERE)})
            for fault in found
            if fault.path == _HERE or fault.path.startswith(f"{_HERE}/")
        ]
        if faults:
            raise InputInvalid(_REFUSAL, faults)
        return _read(definition.triggers[0] if definition else document["triggers"][0])

    async def create(
        self,
        tenant: str,
        process: str,
        type: str,  # noqa: A002
        config: Any,
        *,
        is_active: bool = True,
        note: str = "",
        by: str = "",
    ) -> TriggerRow:
        """Make a trigger for ``process``; the next event meets it. Raises as ``check``."""
        trigger = await self.check(tenant, process, type, config)
        row = TriggerRow(
            tenant_id=tenant,
            process=process,
            type=trigger.type,
            pattern=rows.pattern_of(trigger),
            config=_stored(trigger),
            is_active=is_active,
            note=note,
            created_by=by,
        )
        async with self._database.session(tenant) as session:
            session.add(row)
            await session.flush()
        return row

    async def update(
        self,
        tenant: str,
        trigger_id: int,
        *,
        config: Any = None,
        is_active: bool | None = None,
        note: str | None = None,
    ) -> TriggerRow:
        """Change a trigger; None leaves a thing as it is.

        Raises ``NotFound``, ``InputInvalid``, and ``Conflict``: it is built in, a schedule, or ``config`` is for one
        that belongs to a definition.
        """
        row = _changeable(await self.get(tenant, trigger_id), tenant)
        changes: dict[str, Any] = {"is_active": is_active, "note": note}
        if config is not None:
            if row.definition_id is not None:
                raise Conflict(
                    f"trigger {trigger_id} belongs to the definition of {row.process}: publish a new version of it"
                )
            trigger = await self.check(tenant, row.process, row.type, config)
            changes |= {"config": _stored(trigger), "pattern": rows.pattern_of(trigger)}
        async with self._database.session(tenant) as session:
            present = await rows.get(session, tenant, trigger_id)
            if present is None:
                raise NotFound("trigger", trigger_id)
            for name, value in changes.items():
                if value is not None:
                    setattr(present, name, value)
            present.updated_at = now()
            session.add(present)
        return present

    async def delete(self, tenant: str, trigger_id: int) -> None:
        """Remove a trigger that people have made. Raises ``NotFound``, and ``Conflict`` for any other."""
        row = _changeable(await self.get(tenant, trigger_id), tenant)
        if row.definition_id is not None:
            raise Conflict(
                f"trigger {trigger_id} belongs to the definition of {row.process}: publish a new version without it,"
                " or switch it off"
            )
        async with self._database.session(tenant) as session:
            await rows.remove(session, tenant, trigger_id)

    async def startable(self, tenant: str, traces: Sequence[Trace]) -> Sequence[Trace]:
        """Of a dry run: the traces, ``failed`` where the process would not take the input. Starts nothing."""
        async with self._database.statements(tenant) as session:
            checked: list[Trace] = []
            for trace in traces:
                reason = None
                if trace.status is DeliveryStatus.STARTED:
                    try:
                        await accepted_input(session, tenant, trace.process, trace.input)
                    except (InputInvalid, NotFound, TooLarge) as error:
                        reason = str(error)
                update = {"status": DeliveryStatus.FAILED, "reason": reason}
                checked.append(trace if reason is None else trace.model_copy(update=update))
        return checked

    async def _body(self, tenant: str, process: str) -> Mapping[str, Any]:
        try:
            return (await self._publisher.find(tenant, process)).version.body
        except NotFound as error:
            known, _ = await self._publisher.list(tenant, limit=1000)
            close = get_close_matches(process, [row.name for row in known], n=3)
            remedy = f"did you mean {', '.join(close)}?" if close else "publish it first"
            fault = Fault(path="/process", reason=f"there is no process {process!r}", remedy=remedy)
            raise InputInvalid(_REFUSAL, [fault]) from error


def _read(trigger: Any) -> OnEvent:
    """Raises ``InputInvalid`` for what is no trigger on events."""
    try:
        read = _TRIGGER.validate_python(trigger)
    except ValidationError as error:
        raise InputInvalid(
            _REFUSAL, [each.model_copy(update={"path": ""}) for each in faults_of(error.errors())]
        ) from error
    assert isinstance(read, EventTrigger | SignalTrigger | WebhookTrigger)  # noqa: S101  # the others were refused
    return read


def _stored(trigger: OnEvent) -> dict[str, Any]:
    return trigger.config.model_dump(mode="json", exclude_none=True)


def _changeable(row: TriggerRow, tenant: str) -> TriggerRow:
    if row.tenant_id == BUILTIN_TENANT != tenant:
        raise Conflict(
            f"trigger {row.id} belongs to the built-in process {row.process} and cannot be changed; publish a process"
            " of that name to replace it for you"
        )
    if row.type == "schedule":
        raise Conflict(f"trigger {row.id} is a schedule: pause, resume or change it at /schedules")
    return row
