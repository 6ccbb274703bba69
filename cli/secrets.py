"""``stepwell secrets``: set, list, rotate, delete. No command shows a value, none takes one on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments import ValueFile, private_value
from cli.output import AsJson, done, print_json, print_table, when
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from composition import Platform
from control.secrets import Secrets
from store.secrets import SecretListing
from store.vault import MasterKeys

app = typer.Typer()
secrets = typer.Typer(
    no_args_is_help=True,
    help="Secrets of a tenant. Steps use them as {{$secret.NAME}}; nobody can read them back.",
    epilog="Example: pass show stripe | stepwell secrets set STRIPE_KEY",
)
app.add_typer(secrets, name="secrets")

Name = Annotated[str, typer.Argument(help="The secret's name.", metavar="NAME")]


@secrets.command("set")
def set_secret(name: Name, *, file: ValueFile = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Set a secret, new or not. Its value comes from a hidden prompt, standard input, or --value-file."""
    _store(name, file, tenant, as_json=as_json, must_exist=False)


@secrets.command()
def rotate(name: Name, *, file: ValueFile = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Replace the value of a secret that exists. Actions use the new one within a few seconds."""
    _store(name, file, tenant, as_json=as_json, must_exist=True)


@secrets.command("list")
def list_secrets(*, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the names, versions and dates of secrets."""

    async def found(platform: Platform) -> list[SecretListing]:
        return await _secrets(platform).list(await tenant_of(platform, tenant))

    rows = with_platform(found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("secret", "version", "set (UTC)", "by"),
        [(row.name, str(row.version), when(row.updated_at), row.updated_by) for row in rows],
    )


@secrets.command()
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Delete a secret with all its versions. Steps that use it fail from then on."""
    if not yes:
        typer.confirm(f"Delete the secret {name}?", abort=True, err=True)

    async def removed(platform: Platform) -> None:
        await _secrets(platform).delete(await tenant_of(platform, tenant), name)

    with_platform(removed)
    if as_json:
        print_json({"name": name, "deleted": True})
    else:
        done(f"deleted {name}")


@secrets.command()
def reencrypt(*, as_json: AsJson = False) -> None:
    """Encrypt all secrets of all tenants anew under the first of STEPWELL_MASTER_KEYS.

    Afterwards the older keys may be taken out of it. Safe to repeat and to interrupt.
    """

    async def encrypted(platform: Platform) -> int:
        return await _secrets(platform).reencrypt()

    count = with_platform(encrypted)
    if as_json:
        print_json({"reencrypted": count})
    else:
        done(f"encrypted {count} versions anew")


def _store(name: str, file: Path | None, tenant: str | None, *, as_json: bool, must_exist: bool) -> None:
    value = private_value(file, f"Value of {name}")

    async def stored(platform: Platform) -> int:
        commands, owner = _secrets(platform), await tenant_of(platform, tenant)
        put = commands.rotate if must_exist else commands.put
        return await put(owner, name, value, by=operator_name())

    version = with_platform(stored)
    if as_json:
        print_json({"name": name, "version": version})
    else:
        done(f"{name} is set (version {version})")


def _secrets(platform: Platform) -> Secrets:
    keys = platform.settings.master_keys
    return Secrets(platform.database, MasterKeys.parse(keys.get_secret_value() if keys else None))
