"""A session on Postgres: statements as text go straight to the driver, models by way of SQLModel.

Nearly all that a run costs in Postgres are statements as text, and the way through SQLAlchemy's engine takes several
times what the statement itself does. SQLAlchemy's pool, its parameter types and its ORM stay in use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar, overload

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import set_json_dumps
from pydantic_core import to_json
from sqlalchemy import Connection, Executable, PoolProxiedConnection, ScalarResult, TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.engine.result import TupleResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.ext.asyncio import AsyncSession as SQLAlchemySession
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select, SelectOfScalar

_T = TypeVar("_T")
_M = TypeVar("_M", bound=SQLModel)

# NaN stays NaN, which Postgres refuses, instead of quietly becoming null.
set_json_dumps(partial(to_json, inf_nan_mode="constants"))

_DIALECT = PGDialectAsync_psycopg()  # type: ignore[no-untyped-call]


class Rows(list[Any]):
    """The rows of a result; their columns are attributes."""

    def all(self) -> "Rows":
        """All rows."""
        return self

    def mappings(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [row._asdict() for row in self]

    def first(self) -> Any:
        """The first row; None if there is none."""
        return self[0] if self else None

    def one_or_none(self) -> Any:
        """The only row; None if there is none. Raises ``ValueError`` for several."""
        if len(self) > 1:
            raise ValueError(f"{len(self)} rows instead of one")
        return self.first()

    def one(self) -> Any:
        """The only row. Raises ``ValueError`` if it is not the only one, or there is none."""
        (row,) = self
        return row

    def scalar_one_or_none(self) -> Any:
        """The first column of the only row; None if there is no row."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The first column of the only row."""
        return self.one()[0]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement as the driver takes it: parameters in its own style, and what makes values fit their types."""

    query: str
    defaults: Mapping[str, Any]
    processors: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, statement: TextClause) -> "_Compiled":
        compiled = statement.compile(dialect=_DIALECT)
        processors = [
            (name, processor)
            for name, bind in compiled.binds.items()
            if (processor := bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) is not None
        ]
        defaults = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        return cls(str(compiled), defaults, tuple(processors))

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        values = {**self.defaults, **given}
        for name, processor in self.processors:
            values[name] = processor(values[name])
        return values


_compiled: dict[TextClause, _Compiled] = {}
"""The compiled statements: constants of their modules, for the most part."""

_MOST = 1000


def _compile(statement: TextClause) -> _Compiled:
    known = _compiled.get(statement)
    if known is None:
        if len(_compiled) >= _MOST:
            _compiled.clear()
        known = _compiled[statement] = _Compiled.of(statement)
    return known


class _Models(AsyncSession):
    """SQLModel's session. ``execute`` is SQLAlchemy's own, for statements that are not of one model."""

    execute = SQLAlchemySession.execute  # SQLModel's warns at each call


class Session:
    """One connection for a while. Made by ``Database.session`` and ``Database.statements``, which commit or roll back.

    Statements as text raise ``psycopg.Error``; models and SQLAlchemy's constructs raise SQLAlchemy's errors.
    """

    def __init__(self, engine: AsyncEngine, pooled: PoolProxiedConnection) -> None:
        self._engine = engine
        self._pooled = pooled
        self._driver: psycopg.AsyncConnection[Any] = pooled.driver_connection  # type: ignore[assignment]

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The result of a statement: ``Rows`` for text, SQLAlchemy's result for anything else."""
        if not isinstance(statement, TextClause):
            return await self.models.execute(statement, values)
        compiled = _compile(statement)
        cursor = self._driver.cursor(row_factory=namedtuple_row)
        await cursor.execute(compiled.query.encode(), compiled.values(values or {}))
        return Rows(await cursor.fetchall()) if cursor.description else Rows()

    @cached_property
    def models(self) -> _Models:
        """SQLModel's session on this connection, in the same transaction."""
        connection = AsyncConnection(self._engine, Connection(self._engine.sync_engine, self._pooled))
        return _Models(connection, expire_on_commit=False)

    @overload
    async def exec(self, query: SelectOfScalar[_T]) -> ScalarResult[_T]: ...
    @overload
    async def exec(self, query: Select[_T]) -> TupleResult[_T]: ...
    async def exec(self, query: Any) -> Any:
        """The result of a query for models or their columns."""
        return await self.models.exec(query)

    async def get(self, model: type[_M], key: object) -> _M | None:
        """The model with that primary key; None if there is none."""
        return await self.models.get(model, key)

    def add(self, row: SQLModel) -> None:
        """Enter a new row, at ``flush`` or at the end."""
        self.models.add(row)

    def add_all(self, rows: Sequence[SQLModel]) -> None:
        """Enter new rows, at ``flush`` or at the end."""
        self.models.add_all(rows)

    async def flush(self) -> None:
        """Send what was added or changed to Postgres, inside the transaction."""
        await self.models.flush()

    async def commit(self) -> None:
        """Commit everything."""
        if "models" in self.__dict__:
            await self.models.commit()
        if not self._driver.autocommit:
            await self._driver.commit()

    async def rollback(self) -> None:
        """Undo everything since the last commit."""
        if "models" in self.__dict__:
            await self.models.rollback()
        await self._driver.rollback()
