"""``make bench``: Stepwell beside the same processes written by hand, on servers of their own, in one go."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.extremes import memory, step_costs
from benchmarks.processes import SCENARIOS
from benchmarks.report import Report, report, show
from benchmarks.stage import staged
from benchmarks.trials import Effort, compare
from domain.errors import StepwellError

KEYS = (*(scenario.key for scenario in SCENARIOS), "steps", "memory")


def bench(
    *,
    only: Annotated[str, typer.Option(help=f"Some of {', '.join(KEYS)}, comma-separated.")] = ",".join(KEYS),
    runs: Annotated[int, typer.Option(min=1, help="Runs of each process under load.")] = 300,
    alone: Annotated[int, typer.Option(min=1, help="Runs of each process one at a time.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that these are spread over.")] = 3,
    concurrency: Annotated[int, typer.Option(min=1, help="Runs at the same time under load.")] = 50,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file, too.")] = None,
) -> None:
    """Measure Stepwell beside the same processes written by hand."""
    wanted = [key.strip() for key in only.split(",")]
    unknown = [key for key in wanted if key not in KEYS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(KEYS)}")
    console = Console(highlight=False)
    effort = Effort(runs=runs, alone=alone, rounds=rounds, concurrency=concurrency)
    try:
        found = asyncio.run(_measure(console, wanted, effort))
    except asyncio.CancelledError:
        console.print("Stopped.")
        raise typer.Exit(130) from None
    except StepwellError as error:
        console.print(f"[red]Not measured:[/] {error}", soft_wrap=True)
        raise typer.Exit(1) from None
    show(console, found)
    if json_file is not None:
        json_file.write_text(found.model_dump_json(indent=2))


async def _measure(console: Console, wanted: list[str], effort: Effort) -> Report:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  # for the type checker
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with console.status("Starting servers and workers…") as status:
        async with staged() as stage:
            scenarios = [scenario for scenario in SCENARIOS if scenario.key in wanted]
            trials = await compare(stage, scenarios, effort, status.update) if scenarios else {}
            steps = await step_costs(stage, status.update) if "steps" in wanted else []
            held = await memory(stage, status.update) if "memory" in wanted else None
            status.update("Stopping…")
    return report(trials, steps, held)


if __name__ == "__main__":
    typer.run(bench)
