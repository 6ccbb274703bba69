"""Secrets: how they are encrypted, and how an action gets their values."""

import re
import secrets
from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import ConnectorError, ErrorCode, Unavailable
from store.database import Database
from store.recent import Recent
from store.secrets import listing, newest
from store.tables.secrets import SecretRow

SECRET_NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"  # noqa: S105  # the names' pattern
ENVIRONMENT_PREFIXES: Final = ("STEPWELL_SECRET_", "AUTOMATE_")
"""Environment variables that hold secrets of the default tenant; the first one wins."""

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class MasterKeys:
    """The keys that encrypt secrets (AES-256-GCM). The first one encrypts, all of them decrypt."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self.primary = next(iter(keys), None)
        """Id of the key that encrypts; None: there are no keys."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The keys' ids, the one that encrypts first."""
        return tuple(self._ciphers)

    @classmethod
    def parse(cls, text: str | None) -> "MasterKeys":
        """Keys from ``kid:base64-of-32-bytes,…``. Raises ``ValueError`` that names the bad entry, never the key."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate((text or "").split(","), start=1):
            if not entry.strip():
                continue
            kid, _, encoded = entry.strip().partition(":")
            if not _KEY_ID.fullmatch(kid) or kid in keys:
                raise ValueError(f"STEPWELL_MASTER_KEYS: entry {number} needs an id of its own, as in 2026a:…")
            keys[kid] = _decoded_key(kid, encoded)
        return cls(keys)

    def seal(self, tenant: str, name: str, version: int, value: str, *, by: str = "") -> SecretRow:
        """The row that holds ``value``, encrypted. Raises ``Unavailable`` if there are no keys."""
        if self.primary is None:
            raise Unavailable("secrets cannot be stored: STEPWELL_MASTER_KEYS is not set")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self.primary].encrypt(nonce, value.encode(), _bound_to(tenant, name, version))
        return SecretRow(
            tenant_id=tenant,
            name=name,
            version=version,
            kid=self.primary,
            nonce=nonce,
            ciphertext=ciphertext,
            created_by=by,
        )

    def open(self, row: SecretRow) -> str:
        """The value in ``row``. Raises ``ConnectorError`` if no key fits, or the row is another secret's."""
        cipher = self._ciphers.get(row.kid)
        if cipher is None:
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID,
                f"secret {row.name!r} is encrypted under the key {row.kid!r}, which STEPWELL_MASTER_KEYS lacks",
            )
        try:
            plain = cipher.decrypt(row.nonce, row.ciphertext, _bound_to(row.tenant_id, row.name, row.version))
        except InvalidTag as error:
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID,
                f"secret {row.name!r} cannot be decrypted: its row or the key {row.kid!r} was changed; set it again",
            ) from error
        return plain.decode()


class SecretVault:
    """Values of secrets, for those who perform actions.

    A value may be ``lifetime_seconds`` old: so long a rotated secret may still be used. Secrets from the environment
    (``STEPWELL_SECRET_<NAME>``, ``AUTOMATE_<NAME>``) belong to the default tenant alone; the table wins over them.
    """

    def __init__(
        self,
        database: Database,
        keys: MasterKeys,
        env: Mapping[str, str],
        *,
        default_tenant: str = "tenant-1",
        lifetime_seconds: float = 3.0,
    ) -> None:
        self._database = database
        self._keys = keys
        self._default_tenant = default_tenant
        self._environment = environment_secrets(env)
        self._recent: Recent[tuple[str, str], str] = Recent(lifetime_seconds=lifetime_seconds)

    async def resolve(self, tenant: str, names: Collection[str]) -> dict[str, str]:
        """The values of these secrets of ``tenant``.

        Raises ``ConnectorError`` (``CONFIG_INVALID``) that names the first one that is not set.
        """
        found = {name: value for name in names if (value := self._recent.get((tenant, name))) is not None}
        unread = [name for name in names if name not in found]
        if unread:
            found |= await self._read(tenant, unread)
        for name in sorted(names):
            if name not in found:
                raise ConnectorError(
                    ErrorCode.CONFIG_INVALID,
                    f"secret {name!r} is not set for tenant {tenant!r}: set it with `stepwell secrets set {name}`",
                )
        return found

    async def names(self, tenant: str) -> set[str]:
        """Names of all secrets that ``tenant`` has, for checks before a run."""
        async with self._database.statements(tenant) as session:
            stored = {each.name for each in await listing(session, tenant)}
        return stored | self._of_environment(tenant).keys()

    def forget(self, tenant: str, name: str) -> None:
        """Read this secret anew the next time."""
        self._recent.forget((tenant, name))

    async def _read(self, tenant: str, names: Collection[str]) -> dict[str, str]:
        async with self._database.statements(tenant) as session:
            rows = await newest(session, tenant, names)
        environment = self._of_environment(tenant)
        found = {name: environment[name] for name in names if name in environment}
        found |= {row.name: self._keys.open(row) for row in rows}
        for name, value in found.items():
            self._recent.put((tenant, name), value)
        return found

    def _of_environment(self, tenant: str) -> Mapping[str, str]:
        return self._environment if tenant == self._default_tenant else {}


def environment_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The secrets that the environment holds, by name."""
    found: dict[str, str] = {}
    for prefix in reversed(ENVIRONMENT_PREFIXES):
        found |= {name.removeprefix(prefix): value for name, value in env.items() if name.startswith(prefix) and value}
    return found


def _bound_to(tenant: str, name: str, version: int) -> bytes:
    return f"{tenant}|{name}|{version}".encode()


def _decoded_key(kid: str, encoded: str) -> bytes:
    try:
        key = b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"STEPWELL_MASTER_KEYS: the key {kid!r} is not the base64 of {_KEY_BYTES} bytes")
    return key
