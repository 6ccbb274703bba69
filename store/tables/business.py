"""The business's own records: leads, customers, plans, subscriptions, licences, instances, mail, tickets.

Every key begins with the tenant, so that no foreign key can point across the wall between tenants.
"""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlmodel import Field, SQLModel

from store.tables.base import Json, Timestamp, now

LIVE_SUBSCRIPTION: Final = "status IN ('trialing', 'active', 'past_due')"
"""A customer has at most one subscription to a plan for which this holds."""


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _reference(column: str, table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"])


class LeadRow(SQLModel, table=True):
    """Somebody who may become a customer; once ``converted``, ``customer_id`` says which."""

    __tablename__ = "leads"
    __table_args__ = (
        _one_of("status", "new", "contacted", "qualified", "converted", "lost"),
        CheckConstraint("(status = 'converted') = (customer_id IS NOT NULL)", name="converted"),
        _reference("customer_id", "customers"),
        Index("ix_leads_tenant_id_status", "tenant_id", "status"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str
    email: str | None = None
    phone: str | None = None
    status: str = "new"
    source: str = ""
    notes: str = ""
    customer_id: UUID | None = None
    converted_at: datetime | None = Field(default=None, sa_type=Timestamp)
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class CustomerRow(SQLModel, table=True):
    """A customer of the tenant: one for each e-mail address, in whatever letter case."""

    __tablename__ = "customers"
    __table_args__ = (
        _one_of("status", "active", "suspended", "closed"),
        UniqueConstraint("tenant_id", "customer_number"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    customer_number: str
    name: str
    email: str
    phone: str | None = None
    status: str = "active"
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


Index("uq_customers_email", CustomerRow.tenant_id, func.lower(CustomerRow.email), unique=True)


class PlanRow(SQLModel, table=True):
    """What a customer may subscribe to, at ``amount_cents`` every ``interval_months`` calendar months.

    A subscription ends after ``term_months``; None: when it is cancelled.
    """

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("amount_cents >= 0", name="amount_cents"),
        CheckConstraint("interval_months BETWEEN 1 AND 120", name="interval_months"),
        CheckConstraint("trial_days >= 0", name="trial_days"),
        CheckConstraint("term_months BETWEEN 1 AND 120", name="term_months"),
    )

    tenant_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True, max_length=64)
    name: str
    amount_cents: int
    currency: str = Field(default="USD", max_length=3)
    interval_months: int = 1
    trial_days: int = 0
    term_months: int | None = None
    is_active: bool = True
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class SubscriptionRow(SQLModel, table=True):
    """A customer's subscription to a plan, at the price of the day it began.

    ``billing_anchor`` is the day from which whole periods are counted, so that a month end stays a month end.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        _one_of("status", "trialing", "active", "past_due", "cancelled", "expired"),
        _reference("customer_id", "customers"),
        _reference("plan_id", "plans"),
        Index(
            "uq_subscriptions_live",
            "tenant_id",
            "customer_id",
            "plan_id",
            unique=True,
            postgresql_where=text(LIVE_SUBSCRIPTION),
        ),
        Index("ix_subscriptions_tenant_id_next_billing_date", "tenant_id", "next_billing_date"),
        Index("ix_subscriptions_ends_on", "tenant_id", "ends_on", "id", postgresql_where=text("ends_on IS NOT NULL")),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    customer_id: UUID
    plan_id: str = Field(max_length=64)
    status: str
    amount_cents: int
    currency: str = Field(max_length=3)
    interval_months: int
    started_on: date
    billing_anchor: date
    trial_end: date | None = None
    next_billing_date: date
    ends_on: date | None = None
    """The day on which it ends unless it is renewed; None: it goes on until it is cancelled."""
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class LicenseTemplateRow(SQLModel, table=True):
    """The terms under which licences are issued. ``validity_days`` None: they do not expire."""

    __tablename__ = "license_templates"
    __table_args__ = (
        CheckConstraint("validity_days > 0", name="validity_days"),
        CheckConstraint("max_activations > 0", name="max_activations"),
    )

    tenant_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True, max_length=64)
    name: str
    validity_days: int | None = None
    max_activations: int = 1
    is_active: bool = True
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class LicenseRow(SQLModel, table=True):
    """A licence that a customer holds."""

    __tablename__ = "licenses"
    __table_args__ = (
        _one_of("status", "active", "suspended", "revoked", "expired"),
        _reference("customer_id", "customers"),
        _reference("license_template_id", "license_templates"),
        Index("ix_licenses_tenant_id_customer_id", "tenant_id", "customer_id"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    customer_id: UUID
    license_template_id: str = Field(max_length=64)
    license_key: str = Field(unique=True)
    status: str = "active"
    max_activations: int
    expires_at: datetime | None = Field(default=None, sa_type=Timestamp)
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class InstanceRow(SQLModel, table=True):
    """A customer's own deployment: the work order, and what became of it. ``slug`` is its host name, unique in all."""

    __tablename__ = "instances"
    __table_args__ = (
        _one_of("status", "pending_manual", "provisioning", "active", "failed", "decommissioned"),
        _reference("customer_id", "customers"),
        _reference("license_id", "licenses"),
        UniqueConstraint("tenant_id", "effect_key"),
        Index("ix_instances_tenant_id_customer_id", "tenant_id", "customer_id"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    effect_key: str
    """Idempotency key of the call that ordered it."""
    customer_id: UUID
    license_id: UUID
    deployment_type: str
    environment: str
    region: str | None = None
    config: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    slug: str = Field(unique=True, max_length=63)
    tenant_url: str
    status: str
    endpoints: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    failure: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class EmailTemplateRow(SQLModel, table=True):
    """A mail with ``{{name}}`` placeholders.

    Rows of the empty tenant are the platform's own, used where a tenant has none of that id.
    """

    __tablename__ = "email_templates"

    tenant_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True, max_length=64)
    subject: str
    body_text: str
    body_html: str | None = None
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)


class MailRow(SQLModel, table=True):
    """A mail that went out or was about to: ``sending`` until its outcome is known."""

    __tablename__ = "mails"
    __table_args__ = (
        _one_of("status", "sending", "sent", "failed"),
        UniqueConstraint("tenant_id", "effect_key"),
        Index("ix_mails_tenant_id_recipient", "tenant_id", "recipient"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    effect_key: str
    """Idempotency key of the call that sends it."""
    template: str
    recipient: str
    subject: str
    status: str = "sending"
    provider_message_id: str | None = None
    failure: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    sent_at: datetime | None = Field(default=None, sa_type=Timestamp)


class TicketRow(SQLModel, table=True):
    """A piece of work for a team, due by ``sla_due_date``."""

    __tablename__ = "tickets"
    __table_args__ = (
        _one_of("priority", "low", "normal", "high", "urgent"),
        _one_of("status", "open", "in_progress", "waiting", "resolved", "closed"),
        _reference("customer_id", "customers"),
        UniqueConstraint("tenant_id", "ticket_number"),
        Index("ix_tickets_tenant_id_customer_id", "tenant_id", "customer_id"),
    )

    tenant_id: str = Field(primary_key=True)
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    ticket_number: str
    customer_id: UUID
    title: str
    description: str
    ticket_type: str
    priority: str
    status: str = "open"
    assigned_team: str | None = None
    sla_due_date: datetime = Field(sa_type=Timestamp)
    created_at: datetime = Field(default_factory=now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=now, sa_type=Timestamp)
