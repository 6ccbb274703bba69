"""``stepwell webhooks``: the addresses that others send webhooks to, and what proves who sends."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from cli.arguments import HOW_JSON, json_argument
from cli.output import AsJson, console, done, print_json, print_table
from cli.platform import Tenant, operator_name, tenant_of, with_platform
from composition import Platform
from control.endpoints import Endpoints, WebhookEndpoint
from domain.errors import InputInvalid
from domain.refusals import faults_of
from domain.webhooks import EndpointChange, NewEndpoint, Verifier
from store.tables.events import EndpointRow

app = typer.Typer()
webhooks = typer.Typer(
    no_args_is_help=True,
    help="Webhook endpoints of a tenant: where others send, and what proves who they are.",
    epilog="Example: stepwell webhooks create stripe --secret STRIPE_WEBHOOK_SECRET",
)
app.add_typer(webhooks, name="webhooks")

_OFFERED: Final = ", ".join(Verifier)

EndpointId = Annotated[int, typer.Argument(help="The endpoint's number.", metavar="ENDPOINT")]
How = Annotated[
    str | None, typer.Option("--verifier", "-v", help=f"What proves a request: {_OFFERED}.", metavar="VERIFIER")
]
SecretNames = Annotated[
    list[str] | None,
    typer.Option("--secret", "-s", help="Name of a secret that is accepted; may be given again.", metavar="NAME"),
]
Configuration = Annotated[
    str | None, typer.Option("--config", "-c", help=f"What the verifier must know: {HOW_JSON}", metavar="JSON")
]
AllowedIps = Annotated[
    list[str] | None,
    typer.Option("--allow-ip", help="Address or network that may send; may be given again.", metavar="ADDRESS"),
]


@webhooks.command("create", epilog="Example: stepwell webhooks create github --secret GITHUB_WEBHOOK_SECRET")
def create_endpoint(
    source: Annotated[str, typer.Argument(help="Who sends: stripe, github, warehouse…", metavar="SOURCE")],
    *,
    verifier: How = None,
    secrets: SecretNames = None,
    config: Configuration = None,
    allow_ips: AllowedIps = None,
    is_default: Annotated[
        bool, typer.Option("--default", help="Answer at the address without a key too (default tenant only).")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint and print its address. Without --verifier, the source's name says how.

    The secrets may be set before or after: stepwell secrets set NAME. With --verifier unsigned everybody's requests
    are taken, and your name stands beside it.
    """
    given = {
        "source": source,
        "verifier": verifier or source,
        "secrets": secrets or [],
        "config": json_argument(config, "--config") if config is not None else {},
        "allow_ips": allow_ips or [],
        "is_default": is_default,
    }
    if verifier is None and source not in list(Verifier):
        raise typer.BadParameter(f"say how {source!r} proves itself: {_OFFERED}", param_hint="--verifier")
    new = _fitting(lambda: NewEndpoint.model_validate(given))

    async def made(endpoints: Endpoints, owner: str) -> EndpointRow:
        return await endpoints.create(owner, new, by=operator_name(), administrator=operator_name())

    _tell(_with_one(tenant, made), as_json=as_json)


@webhooks.command("list")
def list_endpoints(
    *,
    source: Annotated[str | None, typer.Option("--source", help="Only those of this source.", metavar="SOURCE")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the endpoints with their addresses, below the API's."""

    async def found(platform: Platform) -> list[WebhookEndpoint]:
        owner, endpoints = await tenant_of(platform, tenant), _endpoints(platform)
        return [*await endpoints.shown(owner, await endpoints.list(owner, source=source))]

    rows = with_platform(found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("endpoint", "address", "verifier", "state"),
        [(str(each.id), each.default_path or each.path, each.verifier, _state(each)) for each in rows],
    )


@webhooks.command("show")
def show_endpoint(endpoint: EndpointId, *, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show an endpoint: its address, what proves a request, which secrets are not set yet."""

    async def found(endpoints: Endpoints, owner: str) -> EndpointRow:
        return await endpoints.get(owner, endpoint)

    _tell(_with_one(tenant, found), as_json=as_json)


@webhooks.command("update", epilog="Example: stepwell webhooks update 3 --secret NEW_SECRET --secret OLD_SECRET")
def update_endpoint(
    endpoint: EndpointId,
    *,
    verifier: How = None,
    secrets: SecretNames = None,
    no_secrets: Annotated[bool, typer.Option("--no-secrets", help="Accept none of the secrets any more.")] = False,
    config: Configuration = None,
    allow_ips: AllowedIps = None,
    any_ip: Annotated[bool, typer.Option("--any-ip", help="Let requests come from any address.")] = False,
    is_default: Annotated[
        bool | None, typer.Option("--default/--no-default", help="Answer at the address without a key too.")
    ] = None,
    is_active: Annotated[bool | None, typer.Option("--on/--off", help="Take requests, or answer 404.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Give it another address; the old one is gone.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint; what is not given stays. The secrets that are given replace all that it had."""
    given = {
        "verifier": verifier,
        "secrets": [] if no_secrets else secrets or None,
        "config": json_argument(config, "--config") if config is not None else None,
        "allow_ips": [] if any_ip else allow_ips or None,
        "is_default": is_default,
        "is_active": is_active,
    }
    change = _fitting(lambda: EndpointChange.model_validate(given))

    async def changed(endpoints: Endpoints, owner: str) -> EndpointRow:
        row = await endpoints.update(owner, endpoint, change, administrator=operator_name())
        return await endpoints.rotate_key(owner, endpoint) if new_key else row

    _tell(_with_one(tenant, changed), as_json=as_json)


@webhooks.command("delete")
def delete_endpoint(
    endpoint: EndpointId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Delete an endpoint: what is sent there is answered 404. Its events stay."""
    if not yes:
        typer.confirm(f"Delete the webhook endpoint {endpoint}?", abort=True, err=True)

    async def removed(platform: Platform) -> None:
        await _endpoints(platform).delete(await tenant_of(platform, tenant), endpoint)

    with_platform(removed)
    if as_json:
        print_json({"id": endpoint, "deleted": True})
    else:
        done(f"deleted webhook endpoint {endpoint}")


def _fitting(read: Callable[[], Any]) -> Any:
    """What ``read`` makes of the arguments. Raises ``InputInvalid``, without their values."""
    try:
        return read()
    except ValidationError as error:
        faults = faults_of(error.errors())
        raise InputInvalid("the webhook endpoint does not fit", faults) from error


def _with_one(tenant: str | None, work: Callable[[Endpoints, str], Awaitable[EndpointRow]]) -> WebhookEndpoint:
    async def opened(platform: Platform) -> WebhookEndpoint:
        owner, endpoints = await tenant_of(platform, tenant), _endpoints(platform)
        [shown] = await endpoints.shown(owner, [await work(endpoints, owner)])
        return shown

    return with_platform(opened)


def _tell(endpoint: WebhookEndpoint, *, as_json: bool) -> None:
    if as_json:
        print_json(endpoint)
        return
    lines = {
        "endpoint": str(endpoint.id),
        "source": endpoint.source,
        "address": endpoint.path,
        "also": endpoint.default_path,
        "verifier": endpoint.verifier + (f", chosen by {endpoint.unsigned_by}" if endpoint.unsigned_by else ""),
        "config": ", ".join(f"{name}: {value}" for name, value in endpoint.config.items()),
        "secrets": ", ".join(endpoint.secrets),
        "may send": ", ".join(endpoint.allow_ips) or "any address",
        "state": _state(endpoint),
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        if value:
            console().print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)


def _state(endpoint: WebhookEndpoint) -> str:
    if not endpoint.is_active:
        return "off"
    if not endpoint.missing_secrets:
        return "on"
    unset = ", ".join(f"{name} is not set" for name in endpoint.missing_secrets)
    return f"refuses all: {unset}" if endpoint.missing_secrets == endpoint.secrets else f"on; {unset}"


def _endpoints(platform: Platform) -> Endpoints:
    return Endpoints(platform.database, platform.vault, default_tenant=platform.settings.default_tenant)
