"""``stepwell users`` and ``stepwell tenants``: who may use this deployment."""

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from sqlalchemy import text

from cli.arguments import ValueFile, private_value
from cli.output import AsJson, done, print_json, print_table, when
from cli.platform import Tenant, tenant_of, with_platform
from composition import Platform
from control.identity import Identity, ensure_first_admin
from control.tokens import AccessTokens
from domain.errors import Conflict
from domain.ids import TENANT_PATTERN
from domain.permissions import Role
from store.database import ALL_TENANTS
from store.tables.identity import UserRow

app = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="Make and list users.")
tenants = typer.Typer(no_args_is_help=True, help="Make and list tenants.")
app.add_typer(users, name="users")
app.add_typer(tenants, name="tenants")

_MIN_PASSWORD_CHARACTERS = 12
_MAX_PASSWORD_CHARACTERS = 1024
_TENANTS = text("SELECT id, name, created_at FROM tenants ORDER BY id")


def _address(given: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", given):
        raise typer.BadParameter(f"{given!r} is no e-mail address")
    return given


def _tenant_id(given: str) -> str:
    if not re.fullmatch(TENANT_PATTERN, given):
        raise typer.BadParameter(f"{given!r} is no tenant's id: use small letters, digits and -, at most 63")
    return given


Email = Annotated[str, typer.Argument(help="E-mail address: the log-in.", metavar="EMAIL", callback=_address)]


@users.command("create", epilog="Example: stepwell users create ann@example.com --role operator --role approver")
def create_user(
    email: Email,
    *,
    roles: Annotated[list[Role], typer.Option("--role", "-r", help="What they may do; may be given again.")],
    name: Annotated[str, typer.Option("--name", help="The person's name.")] = "",
    file: ValueFile = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a user. The password comes from a hidden prompt, standard input, or --value-file."""
    password = private_value(file, "Password")
    if not _MIN_PASSWORD_CHARACTERS <= len(password) <= _MAX_PASSWORD_CHARACTERS:
        limits = f"{_MIN_PASSWORD_CHARACTERS} to {_MAX_PASSWORD_CHARACTERS} characters"
        raise typer.BadParameter(f"a password has {limits}; this one has {len(password)}")

    async def made(platform: Platform) -> UserRow:
        owner = await tenant_of(platform, tenant)
        return await _identity(platform).create_user(owner, email, password, name=name, roles=roles)

    user = with_platform(made)
    if as_json:
        print_json(_document(user))
    else:
        done(f"{user.email} is a user of {user.tenant_id}: {', '.join(user.roles)}")


@users.command("list")
def list_users(*, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List a tenant's users."""

    async def found(platform: Platform) -> Sequence[UserRow]:
        return await _identity(platform).users(await tenant_of(platform, tenant))

    rows = with_platform(found)
    if as_json:
        print_json([_document(row) for row in rows])
        return
    print_table(
        ("e-mail", "name", "roles", "active", "since (UTC)"),
        [
            (row.email, row.name, ", ".join(row.roles), "yes" if row.is_active else "no", when(row.created_at))
            for row in rows
        ],
    )


@tenants.command("create", epilog="Example: stepwell tenants create acme --admin ann@acme.example")
def create_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id: small letters, digits and -.", callback=_tenant_id)],
    *,
    admin: Annotated[str, typer.Option("--admin", help="E-mail address of its administrator.", callback=_address)],
    as_json: AsJson = False,
) -> None:
    """Make a tenant with an administrator, whose generated password is shown this once."""

    async def made(platform: Platform) -> str | None:
        return await ensure_first_admin(platform.database, tenant, email=admin, password=None)

    password = with_platform(made)
    if password is None:
        raise Conflict(f"the tenant {tenant!r} has an administrator already: `stepwell users list --tenant {tenant}`")
    if as_json:
        print_json({"tenant": tenant, "admin": admin, "password": password})
    else:
        done(f"tenant {tenant}; administrator {admin} with the password {password} (it is not shown again)")


@tenants.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List all tenants."""

    async def found(platform: Platform) -> list[dict[str, Any]]:
        async with platform.database.session(ALL_TENANTS) as session:
            return list((await session.execute(_TENANTS)).mappings())

    rows = with_platform(found)
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("tenant", "name", "since (UTC)"), [(row["id"], row["name"], when(row["created_at"])) for row in rows]
        )


def _identity(platform: Platform) -> Identity:
    """Commands on users. It issues no tokens that anybody could use: the key is made up and forgotten."""
    return Identity(platform.database, AccessTokens(secrets.token_urlsafe(48), lifetime=timedelta(0)))


def _document(user: UserRow) -> dict[str, Any]:
    return user.model_dump(mode="json", exclude={"password_hash"})
