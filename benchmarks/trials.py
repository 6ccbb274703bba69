"""The comparison: every scenario under load and alone, by turns, so that all share the machine's good and bad times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load import Job, Measured
from benchmarks.processes import TENANT, Scenario
from benchmarks.stage import Stage

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: runs in all of each scenario under load and alone, spread over rounds."""

    runs: int
    alone: int
    rounds: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One round of one scenario."""

    loaded: Measured
    alone: Measured


Trials = dict[str, list[Trial]]
"""By scenario, a trial for each round."""


async def compare(stage: Stage, scenarios: Sequence[Scenario], effort: Effort, tell: Tell) -> Trials:
    """Measure all scenarios, round after round."""
    trials: Trials = {scenario.key: [] for scenario in scenarios}
    for number in range(1, effort.rounds + 1):
        for scenario in scenarios:
            tell(f"round {number} of {effort.rounds}: {scenario.title}")
            trials[scenario.key].append(await _trial(stage, scenario, effort))
    return trials


async def _trial(stage: Stage, scenario: Scenario, effort: Effort) -> Trial:
    job = Job(
        process=scenario.process,
        task_queue=scenario.task_queue,
        by_hand=scenario.by_hand,
        tenant=TENANT,
        feed=scenario.feed,
        input={"url": stage.receiver_url} if scenario.feed == "url" else {},
        runs=-(-effort.runs // effort.rounds),
        warm_up=effort.concurrency,
        concurrency=effort.concurrency,
        pids=stage.measured_pids(scenario.task_queue),
    )
    alone = job.model_copy(update={"runs": -(-effort.alone // effort.rounds), "warm_up": 5, "concurrency": 1})
    return Trial(loaded=await stage.run(job), alone=await stage.run(alone))
