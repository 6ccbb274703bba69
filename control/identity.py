"""Who acts: users who log in, API keys, and the first administrator."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from control.passwords import Attempts, Passwords
from control.tokens import AccessTokens
from domain.errors import Conflict, Fault, InputInvalid, NotFound, Unauthenticated
from domain.permissions import Permission, Role, permissions_of
from store import identity as rows
from store.database import ALL_TENANTS, Database
from store.recent import Recent
from store.tables.base import now
from store.tables.identity import ApiKeyRow, UserRow

API_KEY_PREFIX: Final = "stw_"
_SHOWN_KEY_CHARACTERS: Final = 12
_KEY_BYTES: Final = 32
_PASSWORD_BYTES: Final = 18
_RECENT_SECONDS: Final = 10.0
_WINDOW: Final = timedelta(minutes=5)
_ATTEMPTS_PER_ACCOUNT_AND_ADDRESS: Final = 5
_ATTEMPTS_PER_ADDRESS: Final = 50
_ATTEMPTS_PER_ACCOUNT: Final = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, for which tenant, and what they may do."""

    subject: str
    """``user:<id>`` or ``key:<id>``."""
    tenant: str
    name: str
    """E-mail address of the user, name of the key."""
    roles: tuple[str, ...]
    permissions: frozenset[Permission]

    def may(self, permission: Permission) -> bool:
        """Whether they have this permission."""
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Token:
    """What a log-in gives."""

    access_token: str
    expires_in_seconds: int


class Identity:
    """Tenants' users and API keys. A change is in force everywhere within ten seconds, in this process at once."""

    def __init__(self, database: Database, tokens: AccessTokens, passwords: Passwords | None = None) -> None:
        self._database = database
        self._tokens = tokens
        self._passwords = passwords or Passwords()
        self._per_account_and_address = Attempts(_ATTEMPTS_PER_ACCOUNT_AND_ADDRESS, _WINDOW)
        self._per_address = Attempts(_ATTEMPTS_PER_ADDRESS, _WINDOW)
        self._per_account = Attempts(_ATTEMPTS_PER_ACCOUNT, _WINDOW)
        self._users: Recent[UUID, Principal] = Recent(lifetime_seconds=_RECENT_SECONDS)
        self._keys: Recent[str, Principal] = Recent(lifetime_seconds=_RECENT_SECONDS)

    async def log_in(self, email: str, password: str, *, address: str) -> Token:
        """A token for the user with this password. ``address`` is where the request came from.

        Raises ``Unauthenticated`` (the same for an unknown user and a wrong password), ``TooManyRequests``.
        """
        account = email.strip().lower()
        self._per_address.admit(address)
        self._per_account_and_address.admit(f"{account}|{address}")
        self._per_account.admit(account)
        async with self._database.session(ALL_TENANTS) as session:
            user = await rows.user_by_email(session, account)
        known = user if user is not None and user.is_active else None
        if not await self._passwords.matches(password, known.password_hash if known else None) or known is None:
            raise Unauthenticated("e-mail address or password is wrong")
        self._per_account_and_address.forgive(f"{account}|{address}")
        return Token(self._tokens.issue(known.id), int(self._tokens.lifetime.total_seconds()))

    async def principal_of_token(self, token: str) -> Principal:
        """Whom a token stands for. Raises ``Unauthenticated``."""
        user_id = self._tokens.verify(token)
        if principal := self._users.get(user_id):
            return principal
        async with self._database.session(ALL_TENANTS) as session:
            user = await rows.user(session, user_id)
        if user is None or not user.is_active:
            raise Unauthenticated("the token's user is not active")
        principal = _principal(f"user:{user.id}", user.tenant_id, user.email, user.roles)
        self._users.put(user_id, principal)
        return principal

    async def principal_of_key(self, key: str) -> Principal:
        """Whom an API key stands for. Raises ``Unauthenticated``."""
        key_hash = _hash_of(key)
        if principal := self._keys.get(key_hash):
            return principal
        async with self._database.session(ALL_TENANTS) as session:
            row = await rows.api_key_by_hash(session, key_hash)
        if row is None or row.revoked_at is not None:
            raise Unauthenticated("the API key is not valid")
        principal = _principal(f"key:{row.id}", row.tenant_id, row.name, row.roles)
        self._keys.put(key_hash, principal)
        return principal

    async def create_user(
        self, tenant: str, email: str, password: str, *, name: str = "", roles: Collection[str] = ()
    ) -> UserRow:
        """Make a user of ``tenant``. Raises ``InputInvalid`` for unknown roles, ``Conflict`` for a known address."""
        user = UserRow(
            tenant_id=tenant,
            email=email.strip(),
            name=name,
            password_hash=await self._passwords.hash(password),
            roles=_checked(roles),
        )
        await _add_user(self._database, user)
        return user

    async def change_user(
        self, tenant: str, user_id: UUID, *, roles: Collection[str] | None = None, is_active: bool | None = None
    ) -> UserRow:
        """Give a user other roles, or let it in no more. Raises ``NotFound``, and ``Conflict`` for the last admin."""
        async with self._database.session(tenant) as session:
            await rows.lock_users(session, tenant)
            user = await rows.user(session, user_id)
            if user is None:
                raise NotFound("user", str(user_id))
            user.roles = user.roles if roles is None else _checked(roles)
            user.is_active = user.is_active if is_active is None else is_active
            session.add(user)
            await session.flush()
            if not await rows.has_role(session, tenant, Role.ADMIN):
                raise Conflict("this is the last administrator: make another one first")
        self._users.forget(user_id)
        return user

    async def users(self, tenant: str) -> Sequence[UserRow]:
        """The tenant's users."""
        async with self._database.session(tenant) as session:
            return await rows.users(session, tenant)

    async def create_api_key(self, tenant: str, name: str, roles: Collection[str]) -> tuple[ApiKeyRow, str]:
        """Make a key. The key itself is returned this once and kept nowhere."""
        key = API_KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        row = ApiKeyRow(
            tenant_id=tenant,
            name=name,
            prefix=key[:_SHOWN_KEY_CHARACTERS],
            key_hash=_hash_of(key),
            roles=_checked(roles),
        )
        async with self._database.session(tenant) as session:
            session.add(row)
        return row, key

    async def api_keys(self, tenant: str) -> Sequence[ApiKeyRow]:
        """The tenant's keys, revoked ones included."""
        async with self._database.session(tenant) as session:
            return await rows.api_keys(session, tenant)

    async def revoke_api_key(self, tenant: str, key_id: UUID) -> None:
        """Take a key out of force. Raises ``NotFound`` if it is not in force."""
        async with self._database.session(tenant) as session:
            key_hash = await rows.revoke_api_key(session, tenant, key_id, now())
        if key_hash is None:
            raise NotFound("API key", str(key_id))
        self._keys.forget(key_hash)


async def ensure_first_admin(
    database: Database, tenant: str, *, email: str = "admin@example.com", password: str | None
) -> str | None:
    """Make the tenant, and an administrator if it has none.

    Returns the administrator's password if one was made now (generated unless given): show it, it is kept nowhere.
    Returns None if there is an administrator. Safe to repeat and to run twice at once.
    """
    made = password or secrets.token_urlsafe(_PASSWORD_BYTES)
    password_hash = await Passwords().hash(made)
    async with database.session(tenant) as session:
        await rows.ensure_tenant(session, tenant, tenant)
        await rows.lock_users(session, tenant)
        if await rows.has_role(session, tenant, Role.ADMIN):
            return None
        session.add(
            UserRow(
                tenant_id=tenant, email=email, name="Administrator", password_hash=password_hash, roles=[Role.ADMIN]
            )
        )
    return made


async def _add_user(database: Database, user: UserRow) -> None:
    try:
        async with database.session(user.tenant_id) as session:
            session.add(user)
    except IntegrityError as error:
        raise Conflict(f"there is a user with the e-mail address {user.email!r} already") from error


def _principal(subject: str, tenant: str, name: str, roles: Collection[str]) -> Principal:
    return Principal(subject, tenant, name, tuple(roles), permissions_of(roles))


def _checked(roles: Collection[str]) -> list[str]:
    known = [str(role) for role in Role]
    faults = [
        Fault(path=f"/roles/{index}", reason=f"there is no role {role!r}", remedy=f"use {', '.join(known)}")
        for index, role in enumerate(roles)
        if role not in known
    ]
    if faults:
        raise InputInvalid("the roles cannot be given", faults)
    return list(dict.fromkeys(str(role) for role in roles))


def _hash_of(key: str) -> str:
    """SHA-256 is enough: a key is 32 random bytes, nobody can guess it however fast they hash."""
    return hashlib.sha256(key.encode()).hexdigest()
