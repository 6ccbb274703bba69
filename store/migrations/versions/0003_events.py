"""The inbox: events, triggers and what they make of events; webhook endpoints and watched tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from store.database import APP_ROLE
from store.rls import protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("trigger_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("signal", sa.String(), nullable=True),
        sa.Column("payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("explain", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('started', 'duplicate', 'debounced', 'signalling', 'signalled', 'no_run', 'no_match',"
            " 'failed')",
            name=op.f("ck_deliveries_status"),
        ),
        sa.PrimaryKeyConstraint("event_id", "trigger_id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"], unique=False)
    op.create_index(
        "ix_deliveries_no_run",
        "deliveries",
        ["tenant_id", "process", "key"],
        unique=False,
        postgresql_where=sa.text("status = 'no_run'"),
    )
    op.create_index("ix_deliveries_run_id", "deliveries", ["run_id"], unique=False)
    op.create_index(
        "ix_deliveries_signalling",
        "deliveries",
        ["event_id"],
        unique=False,
        postgresql_where=sa.text("status = 'signalling'"),
    )
    op.create_index("ix_deliveries_trigger_id", "deliveries", ["tenant_id", "trigger_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=True),
        sa.Column("payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("headers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("trace_id", sa.String(length=128), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('event', 'webhook', 'row')", name=op.f("ck_events_kind")),
        sa.CheckConstraint("status IN ('pending', 'dispatched', 'dead')", name=op.f("ck_events_status")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_events_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("tenant_id", "kind", "source", "key", name=op.f("uq_events_tenant_id_kind_source_key")),
    )
    op.create_index("ix_events_received_at", "events", ["received_at"], unique=False)
    op.create_index("ix_events_tenant_id_id", "events", ["tenant_id", "id"], unique=False)
    op.create_index("ix_events_tenant_id_type_id", "events", ["tenant_id", "type", "id"], unique=False)
    op.create_index(
        "ix_events_unsettled",
        "events",
        ["status", "id"],
        unique=False,
        postgresql_where=sa.text("status <> 'dispatched'"),
    )
    op.create_table(
        "triggers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("definition_id", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("pattern", sa.String(length=200), nullable=False),
        sa.Column("config", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "type IN ('event', 'webhook', 'signal', 'schedule', 'manual')", name=op.f("ck_triggers_type")
        ),
        sa.ForeignKeyConstraint(
            ["definition_id"],
            ["definitions.id"],
            name=op.f("fk_triggers_definition_id_definitions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_triggers")),
        sa.UniqueConstraint("definition_id", "position", name=op.f("uq_triggers_definition_id_position")),
    )
    op.create_index("ix_triggers_tenant_id_type", "triggers", ["tenant_id", "type"], unique=False)
    op.create_table(
        "watches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("connection", sa.String(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("exclude", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_watches_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watches")),
        sa.UniqueConstraint("connection", "table_name", name=op.f("uq_watches_connection_table_name")),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(), nullable=False),
        sa.Column("config", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("secrets", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("allow_ips", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("unsigned_by", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verifier <> 'unsigned' OR unsigned_by IS NOT NULL", name=op.f("ck_webhook_endpoints_unsigned")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_endpoints_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("key", name=op.f("uq_webhook_endpoints_key")),
    )
    op.create_index(
        "uq_webhook_endpoints_default",
        "webhook_endpoints",
        ["tenant_id", "source"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.add_column("runs", sa.Column("trigger_id", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("event_id", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("correlation_key", sa.String(), nullable=True))
    op.add_column("runs", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("max_concurrent", sa.Integer(), nullable=True))
    op.create_index(
        "ix_runs_correlation_key",
        "runs",
        ["tenant_id", "process", "correlation_key", "id"],
        unique=False,
        postgresql_where=sa.text("correlation_key IS NOT NULL"),
    )
    for table in ("events", "deliveries", "webhook_endpoints", "watches"):
        protect(table)
    protect("triggers", builtin_readable=True)
    op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE}")
