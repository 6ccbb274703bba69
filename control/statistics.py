"""How often each process ran, how it ended, and how long it took."""

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from domain.errors import NotFound
from store.database import Database

_TOTALS = text(
    "SELECT d.id AS workflow_id, count(r.id) AS total_executions,"
    " count(r.id) FILTER (WHERE r.status = 'completed') AS successful_executions,"
    " count(r.id) FILTER (WHERE r.status = 'failed') AS failed_executions,"
    " extract(epoch FROM avg(r.finished_at - r.started_at))::float AS average_duration_seconds,"
    " coalesce(count(r.id) FILTER (WHERE r.status = 'completed')::float"
    " / nullif(count(r.id) FILTER (WHERE r.status IN ('completed', 'failed')), 0), 0) AS success_rate"
    " FROM definitions d LEFT JOIN runs r ON r.definition_id = d.id AND r.tenant_id = :tenant"
    " WHERE d.tenant_id IN (:tenant, '') AND d.deleted_at IS NULL"
    " AND d.id = coalesce(CAST(:definition_id AS integer), d.id)"
    " GROUP BY d.id ORDER BY d.id"
)


class Totals(BaseModel):
    """The runs of one process, of one tenant."""

    model_config = ConfigDict(frozen=True)

    workflow_id: int
    """The process's id."""
    total_executions: int
    successful_executions: int
    failed_executions: int
    average_duration_seconds: float | None
    """Of the runs that have begun and ended; None when there are none."""
    success_rate: float
    """Completed ones among those that completed or failed, 0 to 1; 0 when there are none."""


class Statistics:
    """Totals of the runs that the database knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, tenant: str, definition_id: int) -> Totals:
        """The totals of one process. Raises ``NotFound``."""
        totals = await self._totals(tenant, definition_id)
        if not totals:
            raise NotFound("process", definition_id)
        return totals[0]

    async def all(self, tenant: str) -> list[Totals]:
        """The totals of every process that the tenant sees."""
        return await self._totals(tenant, None)

    async def _totals(self, tenant: str, definition_id: int | None) -> list[Totals]:
        async with self._database.session(tenant) as session:
            rows = await session.execute(_TOTALS, {"tenant": tenant, "definition_id": definition_id})
            return [Totals(**row) for row in rows.mappings()]
