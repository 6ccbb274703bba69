"""Alembic's environment: always on a connection that ``store.migrate`` gives."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql import sqltypes

from store.tables import metadata


def _render(kind: str, value: Any, _: AutogenContext) -> str | Literal[False]:
    if kind == "type" and isinstance(value, sqltypes.AutoString):
        return f"sa.String(length={value.length})" if value.length else "sa.String()"
    return False


connection: sa.Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_item=_render, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
