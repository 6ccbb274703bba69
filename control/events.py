"""Commands on the inbox: find events, see what was made of them, let the workers ask the triggers of dead ones again.

Taking events in, and replaying a single one, is the dispatcher's. Another tenant's event is ``NotFound``.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text

from domain.errors import Fault, InputInvalid, NotFound
from domain.events import EventStatus
from store import events as rows
from store import watches
from store.database import ALL_TENANTS, Database
from store.events import EventFilter
from store.tables import DeliveryRow, EventRow

MAX_PAGE: Final = 1000
"""Limit of a listing."""

_SIGNALS = text("SELECT count(*) FROM deliveries WHERE status = 'signalling'")


class Events:
    """Commands on the events of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, tenant: str, wanted: EventFilter, *, limit: int = 100, offset: int = 0
    ) -> tuple[Sequence[EventRow], int]:
        """The wanted events, the newest first, and how many there are in all."""
        async with self._database.statements(tenant) as session:
            return await rows.page(session, tenant, wanted, limit=min(limit, MAX_PAGE), offset=offset)

    async def get(self, tenant: str, event_id: int) -> EventRow:
        """One event. Raises ``NotFound``."""
        async with self._database.statements(tenant) as session:
            row = await rows.get(session, tenant, event_id)
        if row is None:
            raise NotFound("event", event_id)
        return row

    async def deliveries(self, tenant: str, event_id: int) -> Sequence[DeliveryRow]:
        """What the triggers have made of an event, by trigger. Raises ``NotFound``."""
        await self.get(tenant, event_id)
        async with self._database.statements(tenant) as session:
            return await rows.deliveries(session, tenant, event_id)

    async def replay_dead(self, tenant: str, *, type: str | None = None, source: str | None = None) -> int:  # noqa: A002
        """Let the workers ask the triggers of all dead events again, or of those of one type or source; how many.

        Safe to repeat: only triggers that have not succeeded are asked. Raises ``InputInvalid``.
        """
        if type is not None and "*" in type:
            reason = f"{type!r} is a pattern, and this takes one whole type"
            raise InputInvalid("the request does not fit", [Fault(path="/type", reason=reason, remedy="name the type")])
        async with self._database.session(tenant) as session:
            return await rows.ask_again(session, tenant, type=type, source=source)

    async def activity(self) -> Mapping[tuple[str, str], int]:
        """Of all tenants, by what it is and its label: what came in and what triggers made of it in the last hour."""
        async with self._database.statements(ALL_TENANTS) as session:
            return {(row.what, row.label): row.number for row in await rows.activity(session)}

    async def backlog(self) -> Mapping[str, int]:
        """What waits, of all tenants: ``pending`` and ``dead`` events, ``signalling``, ``row_changes``."""
        async with self._database.session(ALL_TENANTS) as session:
            counts = await rows.counts(session)
            signals = (await session.execute(_SIGNALS)).scalar_one()
            changes = await watches.waiting(session)
        unsettled = {status.value: 0 for status in (EventStatus.PENDING, EventStatus.DEAD)}
        return {**unsettled, **counts, "signalling": signals, "row_changes": changes}
