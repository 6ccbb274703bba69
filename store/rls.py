"""Row-level security: the second wall between tenants, raised by migrations."""

from alembic import op

from store.database import APP_ROLE

_TENANT = "NULLIF(current_setting('stepwell.tenant', true), '')"


def protect(table: str, *, column: str = "tenant_id", builtin_readable: bool = False) -> None:
    """Keep the rows of ``table`` to the tenant that ``column`` names, the table's owner included.

    A session that has named no tenant sees nothing. ``builtin_readable``: rows of the empty tenant are read by all,
    and written by the platform only.
    """
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    same = f"{_TENANT} IN ({column}, '*')"
    op.execute(f'CREATE POLICY tenant ON "{table}" USING ({same}) WITH CHECK ({same})')
    if builtin_readable:
        op.execute(f"CREATE POLICY builtin ON \"{table}\" FOR SELECT USING ({column} = '')")
    grant(table)


def grant(table: str) -> None:
    """Let the application role read and write ``table``."""
    op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO {APP_ROLE}')
