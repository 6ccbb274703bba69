"""The stage of a benchmark: embedded servers on data of their own, workers and receiver, each in its own process."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx2

import benchmarks.processes as measured
from benchmarks.by_hand import BY_HAND, BY_HAND_UNSANDBOXED
from benchmarks.load import Job, Measured
from benchmarks.processes import TENANT, Document
from composition import Platform
from config import Settings
from domain import ids
from domain.errors import Unavailable
from workers.development import prepare
from workers.embedded.ports import LOOPBACK, free_port
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.processes import ChildProcess, clean_environment
from workers.embedded.temporal import EmbeddedTemporal

ROOT = Path(__file__).parent.parent

STEPWELL_WORKER = [str(Path(sys.executable).with_name("stepwell")), "worker"]
_FOREIGN = ("DATABASE_URL", "PG", "SMTP_URL", "STEPWELL_", "TEMPORAL_")


@dataclass
class Stage:
    """Where everything is. ``pids``: process ids of the servers by name, and of the workers by task queue."""

    directory: Path
    environment: dict[str, str]
    settings: Settings
    receiver_url: str
    pids: dict[str, int]
    parts: AsyncExitStack
    _numbers: "count[int]" = field(default_factory=count)

    async def run(self, job: Job) -> Measured:
        """Do a job in a load process of its own."""
        name = f"load-{next(self._numbers)}"
        job_file, result = self.directory / f"{name}.json", self.directory / f"{name}.result.json"
        job_file.write_text(job.model_dump_json())
        child = self._start(name, python("benchmarks.load", str(job_file), str(result)))
        try:
            if await child.wait() != 0:
                raise Unavailable(f"{job.process} could not be measured:\n{child.log_tail()}\n{self._workers_say()}")
        finally:
            await child.stop()
        return Measured.model_validate_json(result.read_bytes())

    def _workers_say(self) -> str:
        """The ends of the workers' logs, for an error message."""
        logs = sorted(log for log in self.directory.rglob("*.log") if not log.name.startswith("load"))
        return "\n".join(f"{log.name}: {log.read_text()[-3000:]}" for log in logs)

    def measured_pids(self, task_queue: str) -> dict[str, int]:
        """The processes that do the work of that task queue, by what they are."""
        return {"worker": self.pids[task_queue], "server": self.pids["server"], "Postgres": self.pids["Postgres"]}

    async def publish(self, document: Document) -> None:
        """Publish a definition for the benchmark's tenant."""
        async with Platform.open(self.settings) as platform:
            await platform.publisher.publish(TENANT, document)

    async def start(self, role: str, command: list[str], **environment: str) -> int:
        """Start a process that lives until the end; its process id."""
        child = self._start(role, command, **environment)
        self.parts.push_async_callback(child.stop)
        return child.pid or 0

    def _start(self, name: str, command: list[str], **environment: str) -> ChildProcess:
        child = ChildProcess(
            name, run_dir=self.directory, log_file=self.directory / f"{name}.log", stop_signal=signal.SIGTERM
        )
        child.start(command, env=self.environment | environment, cwd=ROOT)
        return child


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Everything started and prepared; at the end all is stopped and removed."""
    async with AsyncExitStack() as parts:
        directory = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-bench-")))
        postgres = EmbeddedPostgres(directory / "postgres")
        parts.push_async_callback(postgres.stop)
        await postgres.start()
        temporal = EmbeddedTemporal(directory / "temporal", ui=False)
        parts.push_async_callback(temporal.stop)
        await temporal.start()
        port = free_port()
        environment = clean_environment(*_FOREIGN) | {
            "DATABASE_URL": postgres.url(),
            "TEMPORAL_ADDRESS": temporal.address,
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "STEPWELL_HTTP_ALLOW_PRIVATE": f"{LOOPBACK}:{port}",
            "STEPWELL_DEFAULT_TENANT": TENANT,
            "STEPWELL_DATA_DIR": str(directory),
        }
        settings = Settings().model_copy(
            update={"database_url": postgres.url(), "default_tenant": TENANT, "data_dir": directory}
        )
        pids = {"server": temporal.pid or 0, "Postgres": postgres.pid or 0}
        stage = Stage(directory, environment, settings, f"http://{LOOPBACK}:{port}/", pids, parts)
        await _prepare(stage)
        await stage.start("receiver", python("benchmarks.receiver", str(port)))
        await _until_answers(stage.receiver_url)
        stage.pids[ids.TASK_QUEUE] = await stage.start("worker", STEPWELL_WORKER)
        stage.pids[BY_HAND] = await stage.start(BY_HAND, python("benchmarks.by_hand_worker"))
        stage.pids[BY_HAND_UNSANDBOXED] = await stage.start(
            BY_HAND_UNSANDBOXED, python("benchmarks.by_hand_worker", "--unsandboxed")
        )
        yield stage


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


async def _prepare(stage: Stage) -> None:
    await prepare(stage.settings, embedded=True, demo=True)
    for document in (measured.onboarding(), measured.posts(), measured.tiny()):
        await stage.publish(document)


async def _until_answers(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
        while True:
            try:
                await http.get(url)
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
