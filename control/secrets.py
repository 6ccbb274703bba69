"""Commands on secrets: set, rotate, list, delete, and encrypt anew under the newest key. None shows a value."""

import re
from typing import Final

from domain.errors import Fault, InputInvalid, NotFound
from store import secrets as rows
from store.database import ALL_TENANTS, Database
from store.secrets import SecretListing
from store.vault import SECRET_NAME_PATTERN, MasterKeys

MAX_VALUE_BYTES: Final = 64 * 1024

_NAME = re.compile(SECRET_NAME_PATTERN)
_BATCH: Final = 100


class Secrets:
    """The secrets of all tenants, one tenant at a time."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._keys = keys

    async def put(self, tenant: str, name: str, value: str, *, by: str = "") -> int:
        """Set a secret, and return the number of its new version. Older versions stay, encrypted and unused.

        Raises ``InputInvalid`` for a bad name or value, ``Unavailable`` without keys.
        """
        return await self._append(tenant, name, value, by, must_exist=False)

    async def rotate(self, tenant: str, name: str, value: str, *, by: str = "") -> int:
        """Replace the value of a secret that exists, and return its new version. Raises ``NotFound`` otherwise."""
        return await self._append(tenant, name, value, by, must_exist=True)

    async def list(self, tenant: str) -> list[SecretListing]:
        """What may be told of the tenant's secrets, by name."""
        async with self._database.session(tenant) as session:
            return await rows.listing(session, tenant)

    async def delete(self, tenant: str, name: str) -> None:
        """Remove a secret with all its versions. Raises ``NotFound``."""
        async with self._database.session(tenant) as session:
            if not await rows.remove(session, tenant, name):
                raise NotFound("secret", name)

    async def reencrypt(self) -> int:
        """Encrypt everything that is under an older key anew under the first one, and return how many versions.

        Afterwards the older keys may be taken out of ``STEPWELL_MASTER_KEYS``. Safe to repeat, and to interrupt.
        """
        done = 0
        while batch := await self._reencrypt_batch():
            done += batch
        return done

    async def _append(self, tenant: str, name: str, value: str, by: str, *, must_exist: bool) -> int:
        _check(name, value)
        async with self._database.session(tenant) as session:
            version = await rows.lock_version(session, tenant, name)
            if must_exist and version == 0:
                raise NotFound("secret", name)
            session.add(self._keys.seal(tenant, name, version + 1, value, by=by))
        return version + 1

    async def _reencrypt_batch(self) -> int:
        if self._keys.primary is None:
            return 0
        async with self._database.session(ALL_TENANTS) as session:
            batch = await rows.not_under(session, self._keys.primary, limit=_BATCH)
            for row in batch:
                sealed = self._keys.seal(row.tenant_id, row.name, row.version, self._keys.open(row))
                row.kid, row.nonce, row.ciphertext = sealed.kid, sealed.nonce, sealed.ciphertext
                session.add(row)
        return len(batch)


def _check(name: str, value: str) -> None:
    faults = []
    if not _NAME.fullmatch(name):
        remedy = "use letters, digits, _ . and -, a letter or _ first, at most 64"
        faults.append(Fault(path="/name", reason="this is not a secret's name", remedy=remedy))
    if not 0 < len(value.encode()) <= MAX_VALUE_BYTES:
        faults.append(Fault(path="/value", reason=f"a secret has 1 to {MAX_VALUE_BYTES} bytes"))
    if faults:
        raise InputInvalid("the secret cannot be set", faults)
