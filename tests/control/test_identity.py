"""Tokens that are forged, passwords that are guessed, and the first administrator."""

import asyncio
import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pwdlib.hashers.argon2 import Argon2Hasher

from control.identity import Identity, ensure_first_admin
from control.passwords import Attempts, Passwords
from control.tokens import AccessTokens
from domain.errors import TooManyRequests, Unauthenticated
from domain.permissions import Permission, permissions_of

SECRET = "a secret for tests that has at least 32 bytes"
USER = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def tokens() -> AccessTokens:
    return AccessTokens(SECRET, lifetime=timedelta(hours=1))


def forged(tokens, *, key=None, algorithm="HS256", header=None, **claims):
    now = datetime.now(UTC)
    good = {
        "iss": "stepwell",
        "aud": "stepwell-api",
        "sub": str(USER),
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    body = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(body, tokens._key if key is None else key, algorithm, headers={"typ": "at+jwt", **(header or {})})


def test_a_token_names_its_user(tokens):
    assert tokens.verify(tokens.issue(USER)) == USER
    assert tokens.verify(forged(tokens)) == USER


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # the forger's, not ours
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"iss": None},
        {"aud": "stepwell-approval"},
        {"aud": ["stepwell-api", "other"]},
        {"aud": None},
        {"exp": None},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"iat": None},
        {"iat": datetime(2100, 1, 1, tzinfo=UTC)},
        {"nbf": datetime(2100, 1, 1, tzinfo=UTC)},
        {"sub": None},
        {"sub": "admin"},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"crit": ["b64"], "b64": False}},
        {"key": SECRET.encode()},
        {"key": b"\0" * 32},
        {"algorithm": "HS512"},
    ],
    ids=str,
)
def test_a_token_with_one_wrong_part_is_refused(tokens, claims):
    with pytest.raises(Unauthenticated):
        tokens.verify(forged(tokens, **claims))


def test_tokens_without_signature_or_with_another_kind_of_key_are_refused(tokens):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body, signature = tokens.issue(USER).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).decode().rstrip("=")
    for token in (
        forged(tokens, key=private, algorithm="RS256"),
        jwt.encode({"sub": str(USER)}, public[:64], "HS256", headers={"kid": "../../dev/null"}),
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}",
        "",
        "...",
        "\0",
        "ü",
    ):
        with pytest.raises(Unauthenticated):
            tokens.verify(token)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        AccessTokens("short", lifetime=timedelta(hours=1))


def test_a_token_of_another_secret_is_refused(tokens):
    with pytest.raises(Unauthenticated):
        tokens.verify(AccessTokens(SECRET + "!", lifetime=timedelta(hours=1)).issue(USER))


def test_attempts_are_admitted_again_when_the_window_has_passed():
    now = [0.0]
    attempts = Attempts(2, timedelta(seconds=10), clock=lambda: now[0])
    attempts.admit("a")
    now[0] = 4.0
    attempts.admit("a")
    attempts.admit("b")
    with pytest.raises(TooManyRequests) as refused:
        attempts.admit("a")
    assert refused.value.retry_after == timedelta(seconds=6)
    now[0] = 10.0
    attempts.admit("a")
    with pytest.raises(TooManyRequests):
        attempts.admit("a")
    attempts.forgive("a")
    attempts.admit("a")


def test_attempts_keep_a_bounded_number_of_keys():
    attempts = Attempts(1, timedelta(seconds=10), max_keys=3)
    for key in "abcd":
        attempts.admit(key)
    attempts.admit("a")
    with pytest.raises(TooManyRequests):
        attempts.admit("d")


async def test_passwords_are_argon2id_and_nobodys_password_matches_nothing():
    passwords = Passwords()
    kept = await passwords.hash("secret")
    assert kept.startswith("$argon2id$")
    assert await passwords.matches("secret", kept)
    assert not await passwords.matches("Secret", kept)
    assert not await passwords.matches("nobody's password", None)


async def test_a_crowd_that_logs_in_at_once_is_turned_away_rather_than_kept_waiting():
    passwords = Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))
    kept = await passwords.hash("secret")
    answers = await asyncio.gather(*(passwords.matches("secret", kept) for _ in range(30)), return_exceptions=True)
    assert answers.count(True) == 20
    assert sum(isinstance(answer, TooManyRequests) for answer in answers) == 10


async def test_the_first_administrator_is_made_once_however_often_it_is_tried(database):
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    email = f"admin@{tenant}.example"
    made = await asyncio.gather(*(ensure_first_admin(database, tenant, email=email, password=None) for _ in range(3)))
    [password] = [each for each in made if each is not None]
    identity = Identity(database, AccessTokens(SECRET, lifetime=timedelta(hours=1)))
    token = await identity.log_in(email, password, address="198.51.100.1")
    principal = await identity.principal_of_token(token.access_token)
    assert (principal.tenant, principal.permissions) == (tenant, frozenset(Permission))


async def test_a_known_password_is_taken_only_when_it_is_given(database):
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    assert await ensure_first_admin(database, tenant, email=f"a@{tenant}.example", password="password") == "password"
    assert await ensure_first_admin(database, tenant, email=f"b@{tenant}.example", password="password") is None


def test_a_role_that_is_not_known_grants_nothing():
    assert permissions_of(["king", ""]) == frozenset()
    assert permissions_of(["king", "viewer"]) == {Permission.VIEW}
