"""SQLModel tables. They stay in ``store`` and ``services``: never payloads, never responses."""

from store.tables.base import metadata
from store.tables.definitions import DefinitionRow, DefinitionVersionRow
from store.tables.identity import ApiKeyRow, TenantRow, UserRow
from store.tables.runs import EffectRow, RunRow
from store.tables.secrets import SecretRow

__all__ = [
    "ApiKeyRow",
    "DefinitionRow",
    "DefinitionVersionRow",
    "EffectRow",
    "RunRow",
    "SecretRow",
    "TenantRow",
    "UserRow",
    "metadata",
]
