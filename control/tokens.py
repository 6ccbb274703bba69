"""The tokens of ``/auth/login``: issued and verified in this one place."""

import hmac
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import jwt

from domain.errors import Unauthenticated

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "stepwell"
_AUDIENCE: Final = "stepwell-api"
_TYPE: Final = "at+jwt"
_MIN_SECRET_BYTES: Final = 32
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")


class AccessTokens:
    """Signed tokens (JWT, HS256) that name a user, and nothing else about it.

    The signing key is derived from the secret for this kind of token alone, so that no token of another kind that is
    signed with the same secret is ever taken for one of these.
    """

    def __init__(self, secret: str, *, lifetime: timedelta) -> None:
        if len(secret.encode()) < _MIN_SECRET_BYTES:
            raise ValueError(f"STEPWELL_JWT_SECRET must have at least {_MIN_SECRET_BYTES} bytes")
        self._key = hmac.digest(secret.encode(), b"stepwell access token", "sha256")
        self._decoder = jwt.PyJWT({"enforce_minimum_key_length": True, "strict_aud": True, "require": list(_REQUIRED)})
        self.lifetime = lifetime
        """How long a token is good."""

    def issue(self, user_id: UUID) -> str:
        """A token for this user, good from now on for ``lifetime``."""
        now = datetime.now(UTC)
        claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": str(user_id), "iat": now, "exp": now + self.lifetime}
        return self._decoder.encode(claims, self._key, _ALGORITHM, headers={"typ": _TYPE})

    def verify(self, token: str) -> UUID:
        """The user whom a token names. Raises ``Unauthenticated``."""
        try:
            decoded = self._decoder.decode_complete(
                token, self._key, algorithms=[_ALGORITHM], audience=_AUDIENCE, issuer=_ISSUER
            )
            if decoded["header"].get("typ") != _TYPE:
                raise Unauthenticated("the token is not valid")
            return UUID(decoded["payload"]["sub"])
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired: log in again") from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthenticated("the token is not valid") from error
