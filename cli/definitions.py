"""Commands on definitions: ``validate``, ``publish``, ``processes``, ``schema``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failures import ExitCode, print_faults
from cli.output import AsJson, console, done, print_json, print_table, when
from cli.platform import Tenant, known_actions, load_settings, tenant_of, with_platform
from composition import Platform
from config import Settings
from control.drafts import Draft, definition_files, read_files
from control.publishing import Published
from domain.definition import definition_schema
from domain.errors import Fault

app = typer.Typer()

Paths = Annotated[
    list[Path],
    typer.Argument(help="Files, or directories of them: .yaml, .yml, .json.", exists=True, readable=True),
]
"""Parameter type of the definitions that a command is about."""


@app.command(epilog="Example: stepwell validate definitions/ refund.yaml")
def validate(paths: Paths, *, as_json: AsJson = False) -> None:
    """Check definitions, without a database: whether secrets and other published processes exist is not checked.

    Definitions that are given together may start each other, and the built-in ones.
    """
    settings = load_settings()
    drafts = _read(paths)
    actions = known_actions(settings)
    faults = [fault for draft in drafts for fault in draft.check(actions, _processes(settings, drafts), None)]
    _tell_of(drafts, faults, "valid", as_json=as_json)


@app.command(epilog="Example: stepwell publish processes/ --tenant acme")
def publish(
    paths: Paths,
    *,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check everything, store nothing.")] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Publish definitions for a tenant: all of them, or none if one has a fault.

    Publishing the same again changes nothing. A change makes a new version; runs under way keep theirs.
    """
    drafts = _read(paths)

    async def check(platform: Platform) -> Sequence[Fault]:
        return await platform.publisher.check_all(await tenant_of(platform, tenant), drafts)

    async def store(platform: Platform) -> Sequence[Published]:
        return await platform.publisher.publish_all(await tenant_of(platform, tenant), drafts)

    if check_only:
        _tell_of(drafts, with_platform(check), "valid", as_json=as_json)
        return
    published = with_platform(store)
    if as_json:
        print_json({"valid": True, "published": [_document(each) for each in published]})
        return
    for each in published:
        name = f"{each.definition.name} {each.version.version} ({each.version.digest[:12]})"
        done(f"{name}: {'published' if each.changed else 'unchanged'}")


@app.command()
def processes(*, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the processes that can be started."""

    async def found(platform: Platform) -> list[dict[str, Any]]:
        rows, _ = await platform.publisher.list(await tenant_of(platform, tenant), limit=1000)
        return [
            {
                "id": row.id,
                "name": row.name,
                "description": row.description,
                "digest": row.digest,
                "is_active": row.is_active,
                "tenant_id": row.tenant_id or None,
                "updated_at": row.updated_at,
            }
            for row in rows
        ]

    rows = with_platform(found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("process", "", "changed (UTC)", "description"),
        [(row["name"], _kind(row), when(row["updated_at"]), row["description"]) for row in rows],
    )


@app.command(epilog="Example: stepwell schema > stepwell.schema.json")
def schema() -> None:
    """Print the JSON Schema of definitions, for editors."""
    print_json(definition_schema())


def _read(paths: Sequence[Path]) -> list[Draft]:
    files = [file for path in paths for file in (definition_files(path) if path.is_dir() else [path])]
    if not files:
        raise typer.BadParameter(f"there are no .yaml, .yml or .json files in {', '.join(map(str, paths))}")
    return read_files(files)


def _processes(settings: Settings, drafts: Sequence[Draft]) -> set[str]:
    builtin = read_files(definition_files(settings.definitions_dir)) if settings.definitions_dir.is_dir() else []
    return {draft.name for draft in (*builtin, *drafts) if draft.name}


def _tell_of(drafts: Sequence[Draft], faults: Sequence[Fault], verdict: str, *, as_json: bool) -> None:
    """Say what a check found; leave with 1 if that is anything."""
    if as_json:
        names = [draft.name for draft in drafts]
        print_json({"valid": not faults, "processes": names, "faults": [each.model_dump() for each in faults]})
    elif faults:
        print_faults(faults)
        console().print(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in {len(drafts)} definitions")
    else:
        for draft in drafts:
            done(f"{draft.document.file}: {draft.name} is {verdict}")
    if faults:
        raise typer.Exit(ExitCode.FAILED)


def _document(published: Published) -> dict[str, Any]:
    return {
        "id": published.definition.id,
        "name": published.definition.name,
        "version": published.version.version,
        "digest": published.version.digest,
        "created": published.created,
        "changed": published.changed,
    }


def _kind(row: dict[str, Any]) -> str:
    if not row["is_active"]:
        return "switched off"
    return "built in" if row["tenant_id"] is None else ""
