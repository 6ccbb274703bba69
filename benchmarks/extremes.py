"""What long processes cost per step, and what a worker keeps in memory."""

import asyncio
from typing import Any

from pydantic import BaseModel

import benchmarks.processes as measured
from benchmarks.load import Job
from benchmarks.processes import TENANT, Document
from benchmarks.stage import STEPWELL_WORKER, Stage
from benchmarks.trials import Tell
from benchmarks.usage import resident_mb
from composition import Platform
from domain import ids
from store.runs import RunFilter

LENGTHS = {10: 40, 100: 20, 1000: 4, 5000: 2}
"""Steps of a process, and how many runs of it are measured."""

ITEMS = 10_000
CACHED_RUNS = 1_000
_MEMORY_QUEUE = "bench-memory"
_SETTLE_SECONDS = 3.0
_PATIENCE_SECONDS = 300


class StepCost(BaseModel):
    """CPU time of the worker per step, beyond that of a run of one step."""

    what: str
    steps: int
    worker_cpu_ms_per_step: float
    history_events: float
    history_bytes: float


class Memory(BaseModel):
    """RAM of a fresh worker, and of the same one with so many runs that wait."""

    cached_runs: int
    before_mb: float
    after_mb: float


async def step_costs(stage: Stage, tell: Tell) -> list[StepCost]:
    """Measure processes of ever more transforms, of ever more tiny actions, and a long loop."""
    costs = []
    for what, only in (("transform", {"actions": False}), ("fast action", {"transforms": False})):
        name = f"bench_{what.replace(' ', '_')}"
        base = await _cost(stage, measured.tiny(f"{name}_1", 1, **only), 40)
        for steps, runs in LENGTHS.items():
            tell(f"{steps} steps: {what}")
            one = await _cost(stage, measured.tiny(f"{name}_{steps}", steps, **only), runs)
            costs.append(_per_step(what, steps, one, base))
    tell(f"a foreach over {ITEMS} items")
    each = measured.loop("bench_each")
    base = await _cost(stage, each, 20, {"items": [1]})
    one = await _cost(stage, each, 2, {"items": list(range(ITEMS))})
    costs.append(_per_step("foreach item", ITEMS, one, base))
    return costs


_Cost = tuple[float, float, float]
"""Worker CPU seconds, history events and bytes of a run."""


async def _cost(stage: Stage, document: Document, runs: int, run_input: dict[str, Any] | None = None) -> _Cost:
    await stage.publish(document)
    job = Job(
        process=document["name"],
        task_queue=ids.TASK_QUEUE,
        by_hand=False,
        tenant=TENANT,
        feed="nothing",
        input=run_input or {},
        runs=runs,
        warm_up=1,
        concurrency=1,
        pids=stage.measured_pids(ids.TASK_QUEUE),
    )
    done = await stage.run(job)
    return done.cpu_seconds["worker"] / runs, done.history_events, done.history_bytes


def _per_step(what: str, steps: int, cost: _Cost, base: _Cost) -> StepCost:
    seconds, events, size = cost
    per_step = (seconds - base[0]) / (steps - 1) * 1000
    return StepCost(what=what, steps=steps, worker_cpu_ms_per_step=per_step, history_events=events, history_bytes=size)


async def memory(stage: Stage, tell: Tell) -> Memory:
    """Let a worker of its own hold many waiting runs."""
    tell(f"{CACHED_RUNS} waiting runs")
    await stage.publish(measured.waiting())
    pid = await stage.start(_MEMORY_QUEUE, STEPWELL_WORKER, STEPWELL_TASK_QUEUE=_MEMORY_QUEUE)
    settings = stage.settings.model_copy(update={"task_queue": _MEMORY_QUEUE})
    async with Platform.open(settings) as platform, asyncio.timeout(_PATIENCE_SECONDS):
        await _hold(platform, 1)
        await asyncio.sleep(_SETTLE_SECONDS)
        before = resident_mb(pid)
        await _hold(platform, CACHED_RUNS)
        await asyncio.sleep(_SETTLE_SECONDS)
    return Memory(cached_runs=CACHED_RUNS, before_mb=before, after_mb=resident_mb(pid))


async def _hold(platform: Platform, count: int) -> None:
    """Accept runs until ``count`` of them wait."""
    wanted = RunFilter(process="bench_waiting")
    _, there = await platform.runs.list(TENANT, wanted, limit=1)
    for _ in range(there, count):
        await platform.runs.accept(TENANT, "bench_waiting", {})
    waiting = RunFilter(process="bench_waiting", status="waiting")
    while (await platform.runs.list(TENANT, waiting, limit=1))[1] < count:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0.2)
