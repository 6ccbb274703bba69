"""Schedules: the database's own name on Temporal, and who is woken by changes. Subscriptions that end."""

import sqlalchemy as sa
from alembic import op

from store.database import APP_ROLE

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TELL = """
CREATE FUNCTION tell_of_schedules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stepwell_schedules', '');
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.execute("INSERT INTO installation SELECT substr(replace(gen_random_uuid()::text, '-', ''), 1, 12)")
    op.execute(f"GRANT SELECT ON installation TO {APP_ROLE}")
    op.execute(_TELL)
    for table in ("triggers", "definitions", "tenants"):
        op.execute(
            f"CREATE TRIGGER tell_of_schedules AFTER INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tell_of_schedules()"
        )
    op.add_column("plans", sa.Column("term_months", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_plans_term_months"), "plans", "term_months BETWEEN 1 AND 120")
    op.add_column("subscriptions", sa.Column("ends_on", sa.Date(), nullable=True))
    op.create_index(
        "ix_subscriptions_ends_on",
        "subscriptions",
        ["tenant_id", "ends_on", "id"],
        postgresql_where=sa.text("ends_on IS NOT NULL"),
    )
