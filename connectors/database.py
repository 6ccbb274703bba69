"""Reading from databases that the operator has listed: ``db.query``."""

import asyncio
import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_jsonable_python

from domain.actions import Call, Connector, Effect, action
from domain.errors import ConnectorError, ErrorCode
from domain.schemas import LITERAL

MAX_ROWS: Final = 1000
DEFAULT_ROWS: Final = 100
MAX_TIMEOUT_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 5
_GRACE_SECONDS: Final = 2.0
_CURSOR: Final = "stepwell_query"


class Query(BaseModel):
    """One SELECT on a listed connection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: str = Field(description="Name of a connection from STEPWELL_QUERY_CONNECTIONS.", examples=["crm"])
    query: str = Field(
        description="One SELECT (or VALUES, or WITH … SELECT). Values come in as %(name)s from params, never as text;"
        " where there are params, write %% for a percent sign.",
        examples=["SELECT id, email FROM customers WHERE created_at > %(since)s ORDER BY id"],
        json_schema_extra={LITERAL: True},
    )
    params: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Values of the query's %(name)s. A list is an array (use = ANY(%(ids)s)), an object is jsonb.",
        examples=[{"since": "2026-01-01"}],
    )
    max_rows: int = Field(DEFAULT_ROWS, ge=1, le=MAX_ROWS, description="Rows to return at most.")
    timeout_seconds: float = Field(10.0, gt=0, le=MAX_TIMEOUT_SECONDS)


class Rows(BaseModel):
    """The rows, as objects by column name.

    Dates and times are ISO 8601, ``numeric`` is text (its digits are exact), ``bytea`` is base64, ``interval`` an
    ISO 8601 duration; NaN and infinity are the texts ``nan``, ``inf`` and ``-inf``.
    """

    model_config = ConfigDict(frozen=True)

    rows: list[dict[str, JsonValue]]
    row_count: int
    truncated: bool = Field(description="Whether there were more rows than max_rows.")


class DatabaseConnector(Connector):
    """Reads from ``connections``: Postgres URLs by name. A role that may only read is the best one to give.

    Whatever the role may do, the transaction is read-only.
    """

    def __init__(self, connections: Mapping[str, str]) -> None:
        self._connections = dict(connections)

    @action("db.query", effect=Effect.READ)
    async def query(self, request: Query, _call: Call) -> Rows:
        """Read rows from a database.

        A read-only transaction, bound parameters, at most ``max_rows`` rows, at most ``timeout_seconds``.
        """
        url = self._connections.get(request.connection)
        if url is None:
            names = ", ".join(sorted(self._connections)) or "there are none"
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID,
                f"there is no connection {request.connection!r} (listed: {names}); the operator lists connections in "
                "STEPWELL_QUERY_CONNECTIONS",
            )
        try:
            async with asyncio.timeout(request.timeout_seconds + _CONNECT_SECONDS + _GRACE_SECONDS):
                return await _read(url, request)
        except (TimeoutError, errors.QueryCanceled) as error:
            raise ConnectorError(
                ErrorCode.TIMEOUT, f"the query on {request.connection} took longer than {request.timeout_seconds:g} s"
            ) from error
        except psycopg.Error as error:
            raise _failure(request.connection, error) from error


async def _read(url: str, request: Query) -> Rows:
    milliseconds = max(1, int(request.timeout_seconds * 1000))
    connection = await psycopg.AsyncConnection.connect(
        url.replace("postgresql+psycopg://", "postgresql://", 1),
        connect_timeout=_CONNECT_SECONDS,
        application_name="stepwell db.query",
        options=f"-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c timezone=UTC",
    )
    try:
        await connection.set_read_only(True)
        # A server-side cursor: it takes one SELECT only, and no more rows are fetched than are wanted.
        async with connection.cursor(_CURSOR, row_factory=tuple_row) as cursor:
            # The text is the definition's own; values are bound.
            try:
                await cursor.execute(request.query.encode(), _bound(request.params) or None)
            except TypeError as error:  # psycopg's word for "%s" where names are bound
                raise ConnectorError(ErrorCode.INVALID_INPUT, "placeholders look like %(name)s") from error
            columns = _columns(cursor.description or [])
            found = await cursor.fetchmany(request.max_rows + 1)
    finally:
        await connection.close()
    rows = [dict(zip(columns, map(_json, row), strict=True)) for row in found[: request.max_rows]]
    return Rows(rows=rows, row_count=len(rows), truncated=len(found) > request.max_rows)


def _columns(description: Sequence[psycopg.Column]) -> list[str]:
    names = [column.name for column in description]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConnectorError(
            ErrorCode.INVALID_INPUT,
            f"two columns are named {twice[0]}; tell them apart with AS",
        )
    return names


def _bound(params: Mapping[str, JsonValue]) -> dict[str, Any]:
    return {name: Jsonb(value) if isinstance(value, dict) else value for name, value in params.items()}


def _json(value: Any) -> JsonValue:
    match value:
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
        case list():
            return [_json(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            document: JsonValue = to_jsonable_python(value, timedelta_mode="iso8601", fallback=str)
            return document


def _failure(connection: str, error: psycopg.Error) -> ConnectorError:
    """What went wrong, in the words of the database where they are about the query."""
    match error:
        case errors.ReadOnlySqlTransaction() | errors.ActiveSqlTransaction() | errors.InsufficientPrivilege():
            code = ErrorCode.FORBIDDEN
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            code = ErrorCode.AUTH_FAILED
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return ConnectorError(ErrorCode.TRANSIENT_NETWORK, f"the database {connection} cannot be reached just now")
        case _:
            code = ErrorCode.INVALID_INPUT
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return ConnectorError(
        code,
        f"the query on {connection} was refused: {text}",
        details={"connection": connection, "sqlstate": error.sqlstate},
    )
