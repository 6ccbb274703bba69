"""Settings: every environment variable that Stepwell reads, typed, with its unit in its name.

Only entry points (``workers``, ``api``, ``cli``) read this; everything else is given what it needs. The Temporal
connection (``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, TLS, API key…) is read by the SDK's own environment
configuration, see ``control/connection.py``.
"""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.ids import TASK_QUEUE

_STACK_FILE = "stack.json"


class Settings(BaseSettings):
    """What an operator may set. Unset means what a developer's machine needs."""

    model_config = SettingsConfigDict(env_prefix="STEPWELL_", env_file=None, env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    """Postgres, ``postgresql://user:password@host/name``. The role must own the schema (migrations) and be able to
    become ``stepwell_app``, under which everything else runs."""
    smtp_url: SecretStr | None = Field(None, validation_alias="SMTP_URL")
    """``smtp://user:password@host:587?starttls=true`` or ``smtps://…``."""
    mail_from: str = "Stepwell <no-reply@stepwell.invalid>"

    environment: str = "production"
    """``development`` only where ``stepwell dev`` says so: known credentials, sandbox providers."""
    data_dir: Path = Path(".stepwell")
    """Where the embedded servers keep their data."""
    definitions_dir: Path = Path(__file__).parent / "definitions"
    default_tenant: str = "tenant-1"
    """Tenant of runs that are started on the Temporal side without one, and of secrets from the environment."""
    task_queue: str = TASK_QUEUE

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    jwt_secret: SecretStr | None = None
    """At least 32 bytes. Signs the tokens of ``/auth/login``."""
    token_lifetime_seconds: int = 12 * 3600
    master_keys: SecretStr | None = None
    """Keys of the secrets table: ``kid:base64-of-32-bytes``, comma-separated, the first one encrypts."""

    database_pool_size: int = 16
    max_body_bytes: int = 1024 * 1024
    max_output_bytes: int = 256 * 1024
    """Largest output of one step."""
    wait_seconds: float = 5.0
    """How long ``POST /workflows/execute`` waits for the result unless the caller says otherwise."""
    max_cached_workflows: int = 1000
    max_concurrent_activities: int = 100
    event_retention_days: float = Field(90.0, gt=0)
    """How long events are kept after they were received. Longer than any sender repeats a delivery."""
    starter: bool = True
    """Whether this worker starts accepted runs on Temporal."""

    http_allow_private: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """``host`` or ``host:port`` that outbound HTTP may reach although its address is private, comma-separated."""
    http_timeout_seconds: float = 30.0
    http_max_response_bytes: int = 1024 * 1024
    query_connections: dict[str, str] = Field(default_factory=dict)
    """Connections that ``db.query`` may use: JSON object of name to Postgres URL."""
    watch_connections: dict[str, str] = Field(default_factory=dict)
    """Databases whose tables may be watched, besides the platform's own: JSON object of name to Postgres URL. The role
    must own the tables."""
    provisioner_url: str | None = None
    """Endpoint of the HTTP provisioner behind ``deployment_service.provision_tenant``."""
    provisioner_token: SecretStr | None = None
    tenant_domain: str = "stepwell.localhost"
    """Domain under which provisioned tenants get their URL."""

    @field_validator("http_allow_private", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("watch_connections")
    @classmethod
    def _are_postgres(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            if not name or not re.match(r"postgres(ql)?(\+psycopg)?://[^/?]*([/?]|$)", url) or not _port_is_one(url):
                raise ValueError(
                    f"{name!r} is no name with the URL of a Postgres, postgresql://user:password@host/name"
                )
        return value

    @classmethod
    def load(cls) -> "Settings":
        """The settings of a command that may belong to the development stack of this folder.

        While ``stepwell dev`` runs, its ``RunningStack`` fills in what the environment leaves out, so that commands in
        another terminal find its servers and keys. An environment that names another database is left alone.
        """
        stack = RunningStack.read(cls().data_dir)
        own = os.environ.get("DATABASE_URL")
        if stack is not None and own in (None, stack.environment.get("DATABASE_URL")):
            for name, value in stack.environment.items():
                os.environ.setdefault(name, value)
        return cls()


def _port_is_one(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


class RunningStack(BaseModel):
    """What ``stepwell dev`` tells other commands while it runs: ``stack.json`` in the data directory."""

    model_config = ConfigDict(frozen=True)

    environment: dict[str, str]
    """The environment that its own worker and API run in: ``DATABASE_URL``, ``TEMPORAL_ADDRESS``, keys…"""
    urls: dict[str, str] = Field(default_factory=dict)
    """Where people find things, by what they are called: ``api``, ``temporal_ui``…"""

    @classmethod
    def read(cls, data_dir: Path) -> "RunningStack | None":
        """The stack of ``data_dir``; None when there is none."""
        try:
            return cls.model_validate_json((data_dir / _STACK_FILE).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, data_dir: Path) -> None:
        """Tell of this stack, for the owner's eyes only: it holds keys."""
        draft = data_dir / f"{_STACK_FILE}.new"
        draft.touch(mode=0o600)
        draft.write_text(self.model_dump_json(indent=2))
        draft.replace(data_dir / _STACK_FILE)

    @staticmethod
    def forget(data_dir: Path) -> None:
        """The stack has ended."""
        (data_dir / _STACK_FILE).unlink(missing_ok=True)
