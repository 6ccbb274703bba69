"""Bring a database to the schema of this release."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from domain.errors import Unavailable
from store.database import APP_ROLE, sqlalchemy_url

_LOCK = 7_483_920_145
"""Advisory lock: two migrations at once wait for each other."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate(url: str) -> None:
    """Apply all migrations that ``url`` (the owner of the schema) lacks. Safe to repeat and to run twice at once.

    Raises ``Unavailable`` when the database cannot be reached.
    """
    engine = create_engine(sqlalchemy_url(url), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            command.upgrade(_config(connection), "head")
            connection.execute(text(f"GRANT SELECT ON alembic_version TO {APP_ROLE}"))  # for `stepwell doctor`
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
    except OperationalError as error:
        raise Unavailable(f"the database cannot be reached: {error.orig}") from error
    finally:
        engine.dispose()


def revisions(url: str) -> tuple[str | None, str | None]:
    """The revision of the schema at ``url`` (None: there is none yet), and that of this release. Changes nothing.

    Raises ``Unavailable`` when the database cannot be reached.
    """
    engine = create_engine(sqlalchemy_url(url), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        raise Unavailable(f"the database cannot be reached: {error.orig}") from error
    finally:
        engine.dispose()
    return present, ScriptDirectory.from_config(_config()).get_current_head()


def revision(message: str, url: str) -> None:
    """Write a new migration from the difference between the tables and the database at ``url``."""
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)
    engine.dispose()
