"""The platform as it runs in production: processes of ``stepwell worker`` and ``stepwell api`` on real servers."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from composition import describe_actions
from config import Settings
from control.identity import ensure_first_admin
from control.notifications import Notifications
from control.publishing import Publisher
from control.runs import Runs
from services.demo import load_demo
from store.database import ALL_TENANTS, Database
from store.tables.business import LeadRow
from tests.e2e.nursery import Nursery
from workers.embedded.ports import LOOPBACK, free_port
from workers.embedded.processes import clean_environment

TENANT = "tenant-1"
ADMIN = "admin@example.com"
PASSWORD = "correct horse battery staple"
PATIENCE_SECONDS = 90.0
ENDED = frozenset({"completed", "failed", "cancelled"})

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
    """The first result of ``look`` that is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (result := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"it never came to this: {what}; last seen: {result!r}"
        await asyncio.sleep(0.1)
    return result


class Process:
    """A command of ``stepwell`` as a process of its own, which may be killed and started again."""

    def __init__(self, name: str, *arguments: str, nursery: Nursery, directory: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        self.deaths: list[int] = []
        """What its processes so far have died of, as exit codes."""
        self._arguments = arguments
        self._nursery = nursery
        self._env = env
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        assert self._pid is not None, f"{self.name} was not started"
        return self._pid

    def start(self) -> None:
        self._pid = self._nursery.start(*self._arguments, env=self._env, log_file=self.log_file)

    async def kill(self) -> None:
        """End it without a word, as the kernel does when memory is short."""
        if self._pid is not None and not self.has_died():
            os.kill(self._pid, signal.SIGKILL)
            await self.end()

    async def end(self) -> int:
        """Wait for its end, and give the exit code."""
        while (code := self._nursery.exit_code(self.pid)) is None:
            await asyncio.sleep(0.02)
        return code

    def has_died(self) -> bool:
        return self._nursery.exit_code(self.pid) is not None

    async def start_again(self) -> None:
        """After its death."""
        self.deaths.append(await self.end())
        self.start()


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    said: str


@dataclass
class Installation:
    """A database, a task queue, and the processes that are started on them."""

    nursery: Nursery
    directory: Path
    database_url: str
    temporal_address: str
    task_queue: str
    extra: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    api_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}"

    def environment(self, **more: str) -> dict[str, str]:
        """What every process of the installation is given; nothing of a developer's own."""
        return {
            **clean_environment("PG", "STEPWELL_", "TEMPORAL_", "AUTOMATE_", "DATABASE_URL", "SMTP_URL"),
            "DATABASE_URL": self.database_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "STEPWELL_TASK_QUEUE": self.task_queue,
            "STEPWELL_DATA_DIR": str(self.directory / "no-stack"),
            "STEPWELL_API_PORT": str(self.api_port),
            "STEPWELL_JWT_SECRET": "a secret for tests that has at least 32 bytes",
            "STEPWELL_MASTER_KEYS": "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            **self.extra,
            **more,
        }

    def process(self, name: str, *arguments: str, **env: str) -> Process:
        """A process, not started yet. It ends with the installation at the latest."""
        process = Process(name, *arguments, nursery=self.nursery, directory=self.directory, env=self.environment(**env))
        self.processes.append(process)
        return process

    def worker(self, name: str = "worker", *, failpoints: str = "", task_queue: str = "", **env: str) -> Process:
        """A worker, started. ``failpoints``: see ``activities/failpoints.py``."""
        queue = task_queue or self.task_queue
        worker = self.process(name, "worker", STEPWELL_FAILPOINTS=failpoints, STEPWELL_TASK_QUEUE=queue, **env)
        worker.start()
        return worker

    async def api(self, name: str = "api", **env: str) -> Process:
        """An API that answers."""
        api = self.process(name, "api", **env)
        api.start()
        await self.api_answers(api)
        return api

    async def api_answers(self, api: Process) -> None:
        async def answers() -> bool:
            assert not api.has_died(), f"the API ended: {tail(api.log_file)}"
            try:
                return (await client.get("/healthz")).is_success
            except httpx2.TransportError:
                return False

        async with httpx2.AsyncClient(base_url=self.api_url, trust_env=False) as client:
            await until(answers, "the API answers")

    async def worker_polls(self, worker: Process, client: Client) -> None:
        """Wait until Temporal knows the worker as a poller of the task queue."""
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=self.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )

        async def polls() -> bool:
            assert not worker.has_died(), f"the worker ended: {tail(worker.log_file)}"
            described = await client.workflow_service.describe_task_queue(request)
            return any(poller.identity.startswith(f"{worker.pid}@") for poller in described.pollers)

        await until(polls, "the worker polls its task queue")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """The administrator, logged in over HTTP."""
        async with httpx2.AsyncClient(base_url=self.api_url, timeout=60, trust_env=False) as client:
            answer = await client.post("/auth/login", json={"email": ADMIN, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    async def command(self, *arguments: str) -> Outcome:
        """How a ``stepwell`` command ends."""
        command = self.process(f"command-{len(self.processes)}", *arguments)
        command.start()
        code = await command.end()
        return Outcome(code, command.log_file.read_text())

    async def furnish(self) -> None:
        """Tenant, administrator, demonstration data and built-in processes, by the product's own functions."""
        await ensure_first_admin(self.database, TENANT, email=ADMIN, password=PASSWORD)
        await load_demo(self.database, TENANT)
        await self.publisher.publish_directory(Settings().definitions_dir)
        async with await psycopg.AsyncConnection.connect(self.database_url) as owner:
            # Installations share a Temporal server, and workflow ids are made of the numbers of runs.
            await owner.execute(f"ALTER TABLE runs ALTER id RESTART WITH {uuid.uuid4().time_low * 1000 + 1}")

    @property
    def publisher(self) -> Publisher:
        settings = Settings(DATABASE_URL=self.database_url, query_connections={"own": self.database_url})
        return Publisher(self.database, describe_actions(settings))

    def runs(self, temporal: Client, task_queue: str = "") -> Runs:
        """Commands on runs as the API has them, for another task queue than the installation's."""
        return Runs(self.database, temporal, Notifications(self.database_url), task_queue or self.task_queue)

    async def add_lead(self, number: int) -> tuple[str, str]:
        """A qualified lead of its own for a run: its id and its e-mail address."""
        lead = LeadRow(tenant_id=TENANT, name=f"Lead {number}", email=f"lead.{number}@example.com", status="qualified")
        async with self.database.session(TENANT) as session:
            session.add(lead)
        return str(lead.id), lead.email or ""

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of any tenant."""
        async with self.database.session(ALL_TENANTS) as session:
            return list((await session.execute(text(query), values)).mappings())

    async def row(self, query: str, **values: Any) -> Any:
        """The only row."""
        (row,) = await self.rows(query, **values)
        return row

    async def run(self, run_id: int) -> Any:
        return await self.row("SELECT * FROM runs WHERE id = :run", run=run_id)

    async def ended(self, run_id: int) -> Any:
        """The row of the run once it has ended."""

        async def look() -> Any:
            run = await self.run(run_id)
            return run if run["status"] in ENDED else None

        return await until(look, f"run {run_id} ends")

    async def close(self) -> None:
        for process in self.processes:
            await process.kill()
        await self.database.close()

    def logs(self) -> dict[str, str]:
        return {process.name: tail(process.log_file) for process in self.processes}


def tail(log_file: Path, lines: int = 60) -> str:
    """The end of a log."""
    content = log_file.read_text(errors="replace") if log_file.exists() else "(no log)"
    return "\n".join(content.splitlines()[-lines:])


async def outcome_of(program: str, *arguments: str, env: dict[str, str]) -> Outcome:
    """How a program that is not ours ends, and what it says."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, said.decode())


@asynccontextmanager
async def installed(
    nursery: Nursery, directory: Path, database_url: str, temporal_address: str, task_queue: str, **env: str
) -> AsyncIterator[Installation]:
    """A furnished installation without processes; all that it starts is gone at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        installation = Installation(nursery, directory, database_url, temporal_address, task_queue, env)
        stack.push_async_callback(installation.close)
        await installation.furnish()
        yield installation
