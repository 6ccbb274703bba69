"""The load generator: starts runs of one process, waits for their ends, and measures. A process of its own.

Run as ``python -m benchmarks.load JOB RESULT``: two files of JSON, see ``Job`` and ``Measured``.
"""

import asyncio
import itertools
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import uvloop
from pydantic import BaseModel, Field

from benchmarks.usage import cpu_seconds, resident_mb
from composition import Platform
from config import Settings
from control.connection import connect
from domain import ids
from domain.messages import RunStatus
from store.database import Database
from store.tables.business import LeadRow

PATIENCE_SECONDS = 60.0

SAMPLED = 5
"""Runs of which the history is looked at."""

Start = Callable[[Any], Awaitable[str]]
"""Does one run to its end; its workflow id."""


class Job(BaseModel):
    """What to run, how often, and the processes whose cost to measure."""

    process: str
    task_queue: str
    by_hand: bool
    tenant: str
    feed: Literal["lead", "url", "nothing"]
    input: dict[str, Any] = Field(default_factory=dict)
    runs: int
    warm_up: int = 0
    concurrency: int
    pids: dict[str, int]


class Measured(BaseModel):
    """What it took. Latencies in seconds, one for each run."""

    seconds: float
    latencies: list[float]
    cpu_seconds: dict[str, float]
    resident_mb: dict[str, float]
    history_events: float
    history_bytes: float


async def measure(job: Job) -> Measured:
    """Do the job. Raises ``RuntimeError`` when a run does not complete."""
    settings = Settings().model_copy(update={"task_queue": job.task_queue})
    async with Platform.open(settings) as platform:
        inputs = await _inputs(job, platform.database)
        async with _starter(job, platform) as start:
            await _in_flight(start, inputs[: job.warm_up], job.concurrency)
            before, own = cpu_seconds(job.pids), time.process_time()
            began = time.perf_counter()
            latencies, done = await _in_flight(start, inputs[job.warm_up :], job.concurrency)
            seconds = time.perf_counter() - began
            after = cpu_seconds(job.pids)
            cpu = {name: after[name] - before[name] for name in job.pids} | {"load": time.process_time() - own}
            events, size = await _histories(done[-SAMPLED:])
    return Measured(
        seconds=seconds,
        latencies=latencies,
        cpu_seconds=cpu,
        resident_mb={name: resident_mb(pid) for name, pid in job.pids.items()},
        history_events=events,
        history_bytes=size,
    )


async def _in_flight(start: Start, inputs: list[Any], concurrency: int) -> tuple[list[float], list[str]]:
    """Run all inputs, ``concurrency`` at a time: how long each took, and their workflow ids."""
    latencies: list[float] = []
    done: list[str] = []
    left = iter(inputs)

    async def one_after_another() -> None:
        for each in left:
            began = time.perf_counter()
            workflow_id = await start(each)
            latencies.append(time.perf_counter() - began)
            done.append(workflow_id)

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    return latencies, done


@asynccontextmanager
async def _starter(job: Job, platform: Platform) -> AsyncIterator[Start]:
    if job.by_hand:
        client = await connect(lazy=False)
        numbers = itertools.count()
        prefix = uuid.uuid4().hex

        async def by_hand(run_input: Any) -> str:
            workflow_id = f"{prefix}-{next(numbers)}"
            await client.execute_workflow(job.process, run_input, id=workflow_id, task_queue=job.task_queue)
            return workflow_id

        yield by_hand
        return

    async def through_stepwell(run_input: Any) -> str:
        accepted = await platform.runs.accept(job.tenant, job.process, run_input)
        run_id = accepted.run.id or 0
        row = await platform.runs.wait(job.tenant, run_id, PATIENCE_SECONDS)
        if row.status != RunStatus.COMPLETED:
            raise RuntimeError(f"run {run_id} of {job.process} is {row.status}: {row.error}")
        return ids.workflow_id(job.process, job.tenant, run_id)

    yield through_stepwell


async def _inputs(job: Job, database: Database) -> list[Any]:
    count = job.warm_up + job.runs
    if job.feed != "lead":
        return [job.input] * count
    leads = [
        LeadRow(
            tenant_id=job.tenant, id=uuid.uuid4(), name="Ada", email=f"{uuid.uuid4().hex}@example.com", status="new"
        )
        for _ in range(count)
    ]
    async with database.session(job.tenant) as session:
        session.add_all(leads)
    return [{"lead_id": str(lead.id)} for lead in leads]


async def _histories(workflow_ids: list[str]) -> tuple[float, float]:
    """Average number of history events, and bytes."""
    client = await connect(lazy=False)
    seen = [await client.get_workflow_handle(workflow_id).describe() for workflow_id in workflow_ids]
    infos = [each.raw_description.workflow_execution_info for each in seen]
    return (
        sum(info.history_length for info in infos) / len(infos),
        sum(info.history_size_bytes for info in infos) / len(infos),
    )


def main(job_file: str, result_file: str) -> None:
    """Do the job in ``job_file``; the measurements go to ``result_file``."""
    job = Job.model_validate_json(Path(job_file).read_bytes())
    Path(result_file).write_text(uvloop.run(measure(job)).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
