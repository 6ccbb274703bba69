"""``stepwell doctor``: checks every part and says what to do."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

import typer
from rich.text import Text

from cli.checks.finding import Finding, Verdict, fail
from cli.checks.machine import check_definitions, check_machine
from cli.checks.mail import check_mail
from cli.checks.postgres import check_postgres
from cli.checks.temporal import check_temporal
from cli.failures import ExitCode, SettingError
from cli.output import AsJson, console, print_json
from cli.platform import known_actions, load_settings
from config import Settings

app = typer.Typer()

_MARKS = {Verdict.OK: ("✓", "green"), Verdict.WARN: ("!", "yellow"), Verdict.FAIL: ("✗", "red")}


@app.callback()
def _group() -> None:
    """Keeps the command's name: an application of one command would have none."""


@app.command(epilog="Example: stepwell doctor --json | jq '.findings[] | select(.verdict != \"ok\")'")
def doctor(*, as_json: AsJson = False) -> None:
    """Check every part and say what to do. Exit code 1 when something cannot work."""
    findings = asyncio.run(_examine(load_settings()))
    sound = all(finding.verdict is not Verdict.FAIL for finding in findings)
    if as_json:
        print_json({"ok": sound, "findings": findings})
    else:
        for finding in findings:
            _show(finding)
    if not sound:
        raise typer.Exit(ExitCode.FAILED)


async def _examine(settings: Settings) -> Sequence[Finding]:
    """All findings, in the order in which things depend on each other; servers are asked at the same time."""
    try:
        definitions = check_definitions(settings, known_actions(settings))
    except SettingError as error:
        definitions = fail("actions", str(error), "correct that variable")
    postgres, temporal, mail = await asyncio.gather(
        _all(check_postgres(settings)), _all(check_temporal(settings.task_queue)), check_mail(settings)
    )
    return [*check_machine(settings, os.environ), definitions, *postgres, *temporal, mail]


async def _all(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    screen = console()
    screen.print(Text.assemble((f"{mark} ", colour), (f"{finding.part}  ", "bold"), finding.detail), soft_wrap=True)
    if finding.remedy:
        screen.print(Text(f"    → {finding.remedy}", style=colour), soft_wrap=True)
