"""What the deployment service asks of whoever sets instances up."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class ProvisionOrder(BaseModel):
    """One instance to set up. The same order may come again, under the same key."""

    model_config = ConfigDict(frozen=True)

    instance_id: str
    tenant: str
    customer_id: str
    deployment_type: str
    """``kubernetes``, ``awx``, ``docker`` or ``terraform``."""
    environment: str
    region: str | None = None
    config: Mapping[str, JsonValue] = Field(default_factory=dict)
    tenant_url: str
    license_key: str = Field(repr=False)


class Provisioned(BaseModel):
    """What was set up. ``url``: where it answers, if that is not the ordered ``tenant_url``."""

    model_config = ConfigDict(frozen=True)

    status: Literal["active"] = "active"
    endpoints: dict[str, str] = Field(default_factory=dict)
    url: str | None = None


class Provisioner(Protocol):
    """Sets instances up."""

    async def provision(self, order: ProvisionOrder, *, key: str, heartbeat: Callable[..., Any]) -> Provisioned:
        """Set the instance up and return when it is ready. Once for each ``key``, however often it is asked.

        Raises ``ConnectorError``.
        """
        ...
