"""What was measured, beside the goals: as tables for people, as one JSON object for programs."""

from collections.abc import Callable, Iterable
from statistics import median, quantiles
from typing import Literal

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from benchmarks.extremes import Memory, StepCost
from benchmarks.load import Measured
from benchmarks.processes import SCENARIOS, Scenario
from benchmarks.trials import Trial, Trials

FIXED_EVENTS = 7
"""Events of any run: started, workflow task (3), begun, finished, completed."""


class Summary(BaseModel):
    """One scenario. CPU in ms per run, under load, by process."""

    key: str
    title: str
    runs_per_second: float
    alone_p50_ms: float
    alone_p99_ms: float
    history_events: float
    history_bytes: float
    cpu_ms: dict[str, float]
    worker_mb: float

    @classmethod
    def of(cls, scenario: Scenario, trials: list[Trial]) -> "Summary":
        """The medians of all rounds; latencies over all runs."""
        alone = sorted(latency * 1000 for trial in trials for latency in trial.alone.latencies)
        last = trials[-1].loaded
        roles = list(last.cpu_seconds)
        return cls(
            key=scenario.key,
            title=scenario.title,
            runs_per_second=median(runs_per_second(trial) for trial in trials),
            alone_p50_ms=median(alone),
            alone_p99_ms=quantiles(alone, n=100, method="inclusive")[98] if len(alone) > 1 else alone[0],
            history_events=last.history_events,
            history_bytes=last.history_bytes,
            cpu_ms={role: median(_cpu_ms(trial.loaded, role) for trial in trials) for role in roles},
            worker_mb=max(trial.loaded.resident_mb["worker"] for trial in trials),
        )


class Verdict(BaseModel):
    """A goal, and what was reached. Ratios are medians over the rounds."""

    what: str
    goal: float
    bound: Literal["at least", "at most"]
    value: float

    @property
    def is_met(self) -> bool:
        """Whether it was reached."""
        return self.value >= self.goal if self.bound == "at least" else self.value <= self.goal


class Report(BaseModel):
    """Everything that was measured."""

    scenarios: list[Summary]
    steps: list[StepCost]
    memory: Memory | None
    verdicts: list[Verdict]


def report(trials: Trials, steps: list[StepCost], memory: Memory | None) -> Report:
    """What ``trials`` and the others come to."""
    summaries = [Summary.of(scenario, trials[scenario.key]) for scenario in SCENARIOS if trials.get(scenario.key)]
    return Report(scenarios=summaries, steps=steps, memory=memory, verdicts=[*_verdicts(trials, steps, memory)])


def runs_per_second(trial: Trial) -> float:
    """Throughput under load."""
    return len(trial.loaded.latencies) / trial.loaded.seconds


def alone_seconds(trial: Trial) -> float:
    """Median latency of a run that is alone."""
    return median(trial.alone.latencies)


def _cpu_ms(measured: Measured, role: str) -> float:
    return measured.cpu_seconds[role] / len(measured.latencies) * 1000


def _verdicts(trials: Trials, steps: list[StepCost], memory: Memory | None) -> Iterable[Verdict]:
    ratios: tuple[tuple[str, str, float, Literal["at least", "at most"], Callable[[Trial], float], str], ...] = (
        ("b", "a", 2.5, "at least", runs_per_second, "runs/s"),
        ("b", "a-free", 2.5, "at least", runs_per_second, "runs/s"),
        ("c", "a2", 2.0, "at least", runs_per_second, "runs/s"),
        ("c", "a2", 0.6, "at most", alone_seconds, "latency alone"),
        ("c", "a", 2.0, "at least", runs_per_second, "runs/s"),
    )
    for one, other, goal, bound, figure, what in ratios:
        if trials.get(one) and trials.get(other):
            pairs = zip(trials[one], trials[other], strict=True)
            value = median(figure(mine) / figure(theirs) for mine, theirs in pairs)
            yield Verdict(what=f"({one}) / ({other}), {what}", goal=goal, bound=bound, value=value)
    for scenario in SCENARIOS:
        if trials.get(scenario.key) and not scenario.by_hand:
            events = trials[scenario.key][-1].loaded.history_events - FIXED_EVENTS
            value = events / scenario.actions
            yield Verdict(what=f"({scenario.key}) history events per fast step", goal=1, bound="at most", value=value)
    for cost in steps:
        if cost.what != "fast action":
            what = f"worker CPU ms per {cost.what}, {cost.steps:,} steps"
            yield Verdict(what=what, goal=1, bound="at most", value=cost.worker_cpu_ms_per_step)
    if memory is not None:
        what = f"worker MB with {memory.cached_runs:,} cached runs"
        yield Verdict(what=what, goal=200, bound="at most", value=memory.after_mb)


def show(console: Console, found: Report) -> None:
    """Print the tables."""
    if found.scenarios:
        console.print(_scenario_table(found.scenarios))
        console.print(_cost_table(found.scenarios))
    if found.steps:
        console.print(_step_table(found.steps))
    if found.memory:
        it = found.memory
        console.print(f"Worker memory: {it.before_mb:.0f} MB fresh, {it.after_mb:.0f} MB with {it.cached_runs:,} runs")
    console.print(_verdict_table(found.verdicts))


def _scenario_table(summaries: list[Summary]) -> Table:
    table = _table("Processes: runs/s under load, latencies alone", "", "runs/s", "p50 ms", "p99 ms", "events", "bytes")
    for it in summaries:
        figures = (it.runs_per_second, it.alone_p50_ms, it.alone_p99_ms)
        history = (f"{it.history_events:.0f}", f"{it.history_bytes:.0f}")
        table.add_row(f"({it.key}) {it.title}", *(f"{figure:.1f}" for figure in figures), *history)
    return table


def _cost_table(summaries: list[Summary]) -> Table:
    roles = ("worker", "server", "Postgres", "load")
    table = _table("CPU ms per run under load", "", "all", *roles, "worker MB")
    for it in summaries:
        shares = (sum(it.cpu_ms.values()), *(it.cpu_ms[role] for role in roles))
        table.add_row(f"({it.key})", *(f"{share:.1f}" for share in shares), f"{it.worker_mb:.0f}")
    return table


def _step_table(costs: list[StepCost]) -> Table:
    table = _table("Long processes", "step", "steps", "worker CPU ms per step", "events", "bytes")
    for it in costs:
        cost = f"{it.worker_cpu_ms_per_step:.3f}"
        table.add_row(it.what, f"{it.steps:,}", cost, f"{it.history_events:.0f}", f"{it.history_bytes:.0f}")
    return table


def _verdict_table(verdicts: list[Verdict]) -> Table:
    table = _table("Goals", "", "goal", "reached")
    for it in verdicts:
        sign = "≥" if it.bound == "at least" else "≤"
        colour = "green" if it.is_met else "red"
        table.add_row(it.what, f"{sign} {it.goal:g}", f"[{colour}]{it.value:.2f}[/]")
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table
