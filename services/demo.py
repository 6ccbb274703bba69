"""What a development stack begins with: leads to onboard, plans, licence templates. All people are invented."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from store.database import Database
from store.tables.business import LeadRow, LicenseTemplateRow, PlanRow

DEMO_LEAD: Final = UUID("550e8400-e29b-41d4-a716-446655440000")
"""The qualified lead that the first run onboards."""

_LEADS: Final = (
    (DEMO_LEAD, "Ada Lovelace", "ada.lovelace@example.com", "qualified", "website"),
    (UUID("0b6f6d1c-5d0e-4c8e-9a55-6f0f3f0f4a01"), "Grace Hopper", "grace.hopper@example.com", "qualified", "fair"),
    (UUID("0b6f6d1c-5d0e-4c8e-9a55-6f0f3f0f4a02"), "Alan Turing", "alan.turing@example.com", "contacted", "referral"),
    (UUID("0b6f6d1c-5d0e-4c8e-9a55-6f0f3f0f4a03"), "Zoë Müller", "zoe.mueller@example.com", "new", "website"),
    (UUID("0b6f6d1c-5d0e-4c8e-9a55-6f0f3f0f4a04"), "Charles Babbage", "charles.babbage@example.com", "lost", "fair"),
)
_PLANS: Final = (
    ("basic-plan", "Basic", 29_00, 1, 14, None),
    ("professional-plan", "Professional", 99_00, 1, 14, None),
    ("annual-plan", "Professional, yearly", 990_00, 12, 0, 12),
)
_LICENSE_TEMPLATES: Final = (
    ("standard-license", "Standard", 365, 5),
    ("trial-license", "Trial", 30, 1),
    ("perpetual-license", "Perpetual", None, 25),
)


async def load_demo(database: Database, tenant: str) -> None:
    """Give ``tenant`` the demonstration's leads, plans and licence templates. What is there already stays as it is."""
    leads = [
        LeadRow(tenant_id=tenant, id=id_, name=name, email=email, status=status, source=source)
        for id_, name, email, status, source in _LEADS
    ]
    plans = [
        PlanRow(
            tenant_id=tenant,
            id=id_,
            name=name,
            amount_cents=cents,
            interval_months=months,
            trial_days=trial,
            term_months=term,
        )
        for id_, name, cents, months, trial, term in _PLANS
    ]
    templates = [
        LicenseTemplateRow(tenant_id=tenant, id=id_, name=name, validity_days=days, max_activations=activations)
        for id_, name, days, activations in _LICENSE_TEMPLATES
    ]
    async with database.session(tenant) as session:
        for rows in (leads, plans, templates):
            await session.execute(_insert_missing(rows))


def _insert_missing(rows: list[Any]) -> Any:
    table: type[SQLModel] = type(rows[0])
    return insert(table).values([row.model_dump() for row in rows]).on_conflict_do_nothing()
