"""What the API takes and gives, as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from control.publishing import Published
from domain.errors import Fault
from domain.messages import ErrorInfo, StepRecord, WaitingOn
from store.secrets import SecretListing
from store.tables.identity import ApiKeyRow, UserRow

JSON = "application/json"


class Given(BaseModel):
    """Base of what the API takes: nothing more than what is declared, and of the right types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Login(Given):
    """Input of ``/auth/login``."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=1024)


class TokenResponse(BaseModel):
    """A token, to be sent as ``Authorization: Bearer``."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the type's name
    expires_in: int
    """Seconds."""


class Me(BaseModel):
    """Who a token or key stands for."""

    subject: str
    tenant_id: str
    name: str
    roles: list[str]
    permissions: list[str]


class CreateApiKey(Given):
    """Input for a new API key."""

    name: str = Field(min_length=1, max_length=100)
    roles: list[str] = Field(min_length=1)


class ApiKey(BaseModel):
    """An API key, without the key."""

    id: UUID
    name: str
    prefix: str
    """The key's first characters, to tell keys apart."""
    roles: list[str]
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKeyRow) -> "ApiKey":
        """As the row says."""
        return cls.model_validate(row, from_attributes=True)


class ApiKeyCreated(ApiKey):
    """A new API key. ``key`` is shown this once."""

    key: str


class CreateUser(Given):
    """Input for a new user."""

    email: str = Field(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    password: str = Field(min_length=12, max_length=1024)
    name: str = Field(default="", max_length=200)
    roles: list[str] = Field(min_length=1)


class ChangeUser(Given):
    """What to change of a user."""

    roles: Annotated[list[str], Field(min_length=1)] | None = None
    is_active: bool | None = None


class User(BaseModel):
    """A user."""

    id: UUID
    email: str
    name: str
    roles: list[str]
    is_active: bool
    created_at: datetime

    @classmethod
    def of(cls, row: UserRow) -> "User":
        """As the row says."""
        return cls.model_validate(row, from_attributes=True)


class SecretValue(Given):
    """The value of a secret: taken, never given."""

    value: str


class SecretVersion(BaseModel):
    """Which version of a secret was made."""

    name: str
    version: int


class Secret(BaseModel):
    """What may be told of a secret."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str

    @classmethod
    def of(cls, listing: SecretListing) -> "Secret":
        """As the listing says."""
        return cls.model_validate(listing, from_attributes=True)


class Signal(Given):
    """A signal to a run."""

    name: str = Field(min_length=1, max_length=200)
    payload: Any = None


class Resolution(Given):
    """How a parked step goes on."""

    step: str = Field(min_length=1)
    decision: Literal["retry", "done", "skip", "fail"]
    output: Any = None
    comment: str = Field(default="", max_length=2000)


class ChangeWorkflow(Given):
    """What to change of a workflow without giving it another definition; what is left out stays."""

    name: str | None = None
    """Compared, never changed: the name is the workflow's identity."""
    description: str | None = None
    version: str | None = Field(default=None, min_length=1, max_length=20)
    is_active: bool | None = None
    tags: dict[str, Any] | None = None


class Workflow(BaseModel):
    """A process that can be started."""

    id: int
    name: str
    description: str
    definition: dict[str, Any]
    is_active: bool
    version: str
    digest: str
    tags: dict[str, Any]
    tenant_id: str | None
    """None: built in."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, published: Published) -> "Workflow":
        """A process in its present version."""
        row, version = published.definition, published.version
        return cls(
            id=row.id or 0,
            name=row.name,
            description=row.description,
            definition=version.body,
            is_active=row.is_active,
            version=version.version,
            digest=version.digest,
            tags=row.tags,
            tenant_id=row.tenant_id or None,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class Workflows(BaseModel):
    """A page of workflows. ``total`` counts all pages."""

    workflows: list[Workflow]
    total: int


class Validation(BaseModel):
    """What a check of a definition found."""

    valid: bool
    faults: list[Fault]


class Execution(BaseModel):
    """A run. ``context``, ``result`` and the steps' data are null for those who may not read them."""

    id: int
    execution_id: int
    """The same as ``id``."""
    workflow_id: int | None
    workflow_name: str
    version: str
    digest: str
    status: str
    trigger_type: str
    trigger_source: str | None
    context: Any
    result: Any
    error: ErrorInfo | None
    error_message: str | None
    waiting_on: list[WaitingOn]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None = None
    """From start to end, or until now. Only with ``include_duration``."""
    steps: list[StepRecord] | None = None
    """Only with ``include_steps``."""


def answer(
    content: BaseModel | Sequence[BaseModel], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The content as JSON, without what was left unset at its top level."""
    if isinstance(content, BaseModel):
        return Response(_json_of(content), status, headers, JSON)
    return Response(f"[{','.join(map(_json_of, content))}]", status, headers, JSON)


def _json_of(item: BaseModel) -> str:
    exclude = {"duration_seconds", "steps"} - item.model_fields_set if isinstance(item, Execution) else None
    return item.model_dump_json(exclude=exclude)


def answer_json(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain values as JSON."""
    return Response(to_json(content), status, headers, JSON)
