"""What a development stack keeps in its folder and puts into its database: generated keys, tenant, demonstration."""

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import ArgumentError

from composition import Platform
from config import Settings
from control.identity import ensure_first_admin
from domain.errors import Conflict, Unavailable
from services.demo import load_demo
from store.migrate import migrate

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "password"  # noqa: S105  # known to all, and only where everything else is local, too


class Keys(BaseModel):
    """Keys of one developer's stack. They protect nothing but its own data."""

    jwt_secret: str
    master_keys: str


@dataclass(frozen=True, slots=True)
class Account:
    """How the administrator logs in. ``password`` is None if somebody else has chosen it."""

    email: str
    password: str | None


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold ``data_dir`` for this process. Raises ``Conflict`` when another stack runs on it."""
    descriptor = os.open(data_dir / "dev.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 100).decode() or "unknown"
            raise Conflict(
                f"Stepwell runs on {data_dir} already (process {holder}): use that one, stop it with Ctrl-C, "
                "or set STEPWELL_DATA_DIR to another folder"
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def development_keys(data_dir: Path) -> Keys:
    """The keys of this folder, generated at first. Raises ``Conflict`` when its file was damaged."""
    file = data_dir / "keys.json"
    if file.exists():
        try:
            return Keys.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise Conflict(
                f"{file} is damaged: restore it, or remove it (secrets stored with it are lost then)"
            ) from error
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    keys = Keys(jwt_secret=secrets.token_urlsafe(48), master_keys=f"dev:{master_key}")
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(keys.model_dump(), output)
    fresh.rename(file)
    return keys


async def prepare(settings: Settings, *, embedded: bool, demo: bool) -> Account:
    """Bring the database to this release: schema, built-in processes, tenant, administrator, demonstration.

    The well-known password is used only for an ``embedded`` database; another's administrator gets a generated one.
    """
    url = settings.database_url or ""
    try:
        await asyncio.to_thread(migrate, url)
    except ArgumentError as error:
        raise Unavailable("DATABASE_URL is not a database URL; it looks like postgresql://user@host/name") from error
    async with Platform.open(settings) as platform:
        await platform.publisher.publish_directory(settings.definitions_dir)
        tenant = settings.default_tenant
        known = ADMIN_PASSWORD if embedded else None
        made = await ensure_first_admin(platform.database, tenant, email=ADMIN_EMAIL, password=known)
        if demo:
            await load_demo(platform.database, tenant)
    return Account(ADMIN_EMAIL, made or known)
