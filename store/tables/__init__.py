"""SQLModel tables. They stay in ``store`` and ``services``: never payloads, never responses."""

from store.tables.base import metadata
from store.tables.business import (
    CustomerRow,
    EmailTemplateRow,
    InstanceRow,
    LeadRow,
    LicenseRow,
    LicenseTemplateRow,
    MailRow,
    PlanRow,
    SubscriptionRow,
    TicketRow,
)
from store.tables.definitions import DefinitionRow, DefinitionVersionRow
from store.tables.events import DeliveryRow, EndpointRow, EventRow, TriggerRow, WatchRow
from store.tables.identity import ApiKeyRow, InstallationRow, TenantRow, UserRow
from store.tables.runs import EffectRow, RunRow
from store.tables.secrets import SecretRow

__all__ = [
    "ApiKeyRow",
    "CustomerRow",
    "DefinitionRow",
    "DefinitionVersionRow",
    "DeliveryRow",
    "EffectRow",
    "EmailTemplateRow",
    "EndpointRow",
    "EventRow",
    "InstallationRow",
    "InstanceRow",
    "LeadRow",
    "LicenseRow",
    "LicenseTemplateRow",
    "MailRow",
    "PlanRow",
    "RunRow",
    "SecretRow",
    "SubscriptionRow",
    "TenantRow",
    "TicketRow",
    "TriggerRow",
    "UserRow",
    "WatchRow",
    "metadata",
]
