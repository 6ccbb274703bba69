"""What requests to the services have in common: the tenant is the run's, and text is text."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from domain.actions import Call
from domain.errors import ConnectorError, ErrorCode

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Any text that Postgres can store."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^\x00\r\n]+$")]
"""One line that is not blank."""

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Id of something that people name themselves: a plan, a template, a team, a region."""


class Request(BaseModel):
    """Base of all requests. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: str | None = Field(default=None, description="May repeat the run's own tenant; any other is refused.")

    def check_tenant(self, call: Call) -> None:
        """Refuse a request that names another tenant than the run's (``FORBIDDEN``)."""
        if self.tenant_id is not None and self.tenant_id != call.tenant:
            raise ConnectorError(
                ErrorCode.FORBIDDEN,
                f"{call.step}: tenant_id {self.tenant_id!r} is not the run's tenant; leave tenant_id out",
            )
