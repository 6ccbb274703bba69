"""``stepwell dev``: the whole platform on one machine, from nothing, until Ctrl-C.

What the environment names is used (``DATABASE_URL``, ``TEMPORAL_ADDRESS``, ``SMTP_URL``); the rest is embedded, with
its data in ``.stepwell/``. The worker and the API are ordinary child processes, as they would be in production.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
from rich.console import Console
from rich.markup import escape
from temporalio.envconfig import ClientConfig

from config import RunningStack, Settings
from control.connection import connect
from domain.errors import StepwellError, Unavailable
from workers.demonstration import PROCESS, demonstrate
from workers.development import Account, development_keys, only_one, prepare
from workers.embedded.ports import LOOPBACK, is_free, reserved_port
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.processes import make_directory, require_space
from workers.embedded.temporal import NAMESPACE, EmbeddedTemporal, register_search_attributes
from workers.supervision import Part, Program, kept_up

_TEMPORAL_PORT = 7233
_TEMPORAL_UI_PORT = 8233
_SMTP_PORT = 1025
_MAIL_PAGE_PORT = 8025
_READY_SECONDS = 60


async def run_dev(*, demo: bool = True) -> int:
    """Start everything that the environment does not provide, onboard a lead (``demo``), and stay up until Ctrl-C.

    Returns the exit code: 0 after Ctrl-C or SIGTERM, 1 with a message when something could not start. Raises
    ``ValidationError`` when a setting is wrong.
    """
    console = Console(highlight=False)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # for the type checker
    with _stopping_on_signals(task, console):
        try:
            settings = Settings()
            async with AsyncExitStack() as parts:
                await _Stack(settings, console, parts).run(demo=demo)
        except asyncio.CancelledError:
            task.uncancel()
            console.print("Stopped. The data is kept; start again any time.")
            return 0
        except StepwellError as error:
            console.print(f"[red]Stepwell could not start:[/] {escape(str(error))}", soft_wrap=True)
        except OSError as error:
            console.print(f"[red]Stepwell could not start:[/] {escape(str(error))}: make room or mend permissions")
    return 1


@contextlib.contextmanager
def _stopping_on_signals(task: asyncio.Task[object], console: Console) -> Iterator[None]:
    """The first signal ends the stack in order; a second one at once, leaving the rest to the next start."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked:
            console.print("Stopping at once; the next start clears up what is left.")
            os._exit(130)
        asked = True
        console.print("\nStopping…")
        task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to clean up


@dataclass
class _Urls:
    api: str = ""
    temporal: str = ""
    temporal_ui: str | None = None
    mail: str | None = None


class _Stack:
    """One development stack: its parts in the order of their start, and the environment of its programs."""

    def __init__(self, settings: Settings, console: Console, parts: AsyncExitStack) -> None:
        self._data = settings.data_dir.absolute()
        self._logs = self._data / "logs"
        self._settings = settings.model_copy(update={"data_dir": self._data, "environment": "development"})
        self._console = console
        self._parts = parts
        self._urls = _Urls()
        self._env = dict(os.environ)

    async def run(self, *, demo: bool) -> None:
        """Start all parts, show a first run, and wait to be cancelled."""
        make_directory(self._data)
        require_space(self._data)
        make_directory(self._logs)
        self._parts.enter_context(only_one(self._data))
        RunningStack.forget(self._data)
        self._set_keys()
        self._check_api_port()
        await self._start_postgres()
        await self._start_temporal()
        await self._start_mail()
        account = await self._prepare(demo=demo)
        await self._start_programs()
        self._tell_others()
        if demo and account.password is not None:
            await demonstrate(self._console, self._urls.api, account, self._settings.default_tenant)
        self._print_urls(account)
        await asyncio.Event().wait()

    async def _start_postgres(self) -> None:
        if self._settings.database_url:
            self._tell("Postgres: yours, as DATABASE_URL says")
            return
        postgres = EmbeddedPostgres(self._data / "postgres", log_file=self._logs / "postgres.log")
        await self._start("Postgres", postgres)
        self._set("DATABASE_URL", postgres.url())
        self._settings = self._settings.model_copy(update={"database_url": postgres.url()})

    async def _start_temporal(self) -> None:
        if external := _external_temporal():
            self._tell(f"Temporal: yours, at {external}")
            try:
                await register_search_attributes(await connect(lazy=False))
            except RuntimeError as error:  # what the SDK raises when it cannot connect
                raise Unavailable(f"Temporal at {external} cannot be reached: {error}") from error
            self._urls.temporal = external
            return
        port, ui_port = self._port(_TEMPORAL_PORT, "Temporal"), self._port(_TEMPORAL_UI_PORT, "the Temporal UI")
        temporal = EmbeddedTemporal(
            self._data / "temporal", port=port, ui_port=ui_port, log_file=self._logs / "temporal.log"
        )
        self._env = {name: value for name, value in self._env.items() if not name.startswith("TEMPORAL_")}
        await self._start("Temporal", temporal)
        self._set("TEMPORAL_ADDRESS", temporal.address)
        self._set("TEMPORAL_NAMESPACE", NAMESPACE)
        self._set("TEMPORAL_CONFIG_FILE", os.devnull)
        self._urls.temporal, self._urls.temporal_ui = temporal.address, temporal.ui_url

    async def _start_mail(self) -> None:
        if self._settings.smtp_url:
            self._tell("Mail: yours, as SMTP_URL says; mails are really sent")
            return
        smtp, page = self._port(_SMTP_PORT, "the mail sandbox"), self._port(_MAIL_PAGE_PORT, "the mail page")
        command = [sys.executable, "-m", "sandbox.mail_page", "--directory", str(self._data / "mail")]
        command += ["--smtp-port", str(smtp), "--page-port", str(page)]
        program = Program("mail", command, directory=self._logs, env=self._env)
        await self._start("Mail sandbox", program)
        self._set("SMTP_URL", f"smtp://{LOOPBACK}:{smtp}")
        self._urls.mail = f"http://{LOOPBACK}:{page}"
        await _until_answers(self._urls.mail, program)

    async def _prepare(self, *, demo: bool) -> Account:
        with self._console.status("Preparing the database…"):
            embedded = "DATABASE_URL" not in os.environ
            account = await prepare(self._settings, embedded=embedded, demo=demo)
        self._tell("Database: schema, built-in processes and demonstration data are there")
        return account

    async def _start_programs(self) -> None:
        port = self._settings.api_port
        if "api_port" not in self._settings.model_fields_set:
            port = self._port(port, "the API")
        self._set("STEPWELL_API_PORT", str(port))
        self._urls.api = f"http://{LOOPBACK}:{port}"
        stepwell = str(Path(sys.executable).with_name("stepwell"))
        for name in ("worker", "api"):
            program = Program(name, [stepwell, name], directory=self._logs, env=self._env)
            await self._start(name.title() if name != "api" else "API", program)
        with self._console.status("Waiting for the API…"):
            await _until_answers(f"{self._urls.api}/readyz", program)

    async def _start(self, name: str, part: Part) -> None:
        with self._console.status(f"Starting {name}…"):
            await self._parts.enter_async_context(kept_up(name, part, self._warn))
        self._tell(f"{name} runs")

    def _tell_others(self) -> None:
        """Let commands in other terminals find this stack."""
        names = ("DATABASE_URL", "SMTP_URL", "STEPWELL_", "TEMPORAL_")
        environment = {name: value for name, value in self._env.items() if name.startswith(names)}
        urls = {name: value for name, value in asdict(self._urls).items() if value}
        RunningStack(environment=environment, urls=urls).write(self._data)
        self._parts.callback(RunningStack.forget, self._data)

    def _set_keys(self) -> None:
        keys = development_keys(self._data)
        self._set("STEPWELL_ENVIRONMENT", "development")
        self._set("STEPWELL_DATA_DIR", str(self._data))
        self._env.setdefault("STEPWELL_JWT_SECRET", keys.jwt_secret)
        self._env.setdefault("STEPWELL_MASTER_KEYS", keys.master_keys)

    def _check_api_port(self) -> None:
        port = self._settings.api_port
        if "api_port" in self._settings.model_fields_set and not is_free(port):
            raise Unavailable(f"STEPWELL_API_PORT {port} is busy: stop what listens there, or leave the choice to us")

    def _port(self, preferred: int, what: str) -> int:
        port = self._parts.enter_context(reserved_port(preferred))
        if port != preferred:
            self._warn(f"port {preferred} is busy: {what} uses {port}")
        return port

    def _set(self, name: str, value: str) -> None:
        self._env[name] = value

    def _tell(self, text: str) -> None:
        self._console.print(f"[green]✓[/] {escape(text)}")

    def _warn(self, text: str) -> None:
        self._console.print(f"[yellow]![/] {escape(text)}")

    def _print_urls(self, account: Account) -> None:
        lines = {
            "API": f"{self._urls.api}/docs",
            "Temporal UI": self._urls.temporal_ui,
            "Mails": self._urls.mail,
            "Temporal": self._urls.temporal,
            "Logs": str(self._logs),
            "Log in": f"{account.email} / {account.password or '(the password that you chose)'}",
        }
        self._console.print()
        for name, value in lines.items():
            if value is not None:
                self._console.print(f"  [bold]{name:12}[/]{escape(value)}", soft_wrap=True)
        self._console.print(f"\nStart another run: [bold]stepwell run {PROCESS} --help[/]\nCtrl-C stops everything.")


def _external_temporal() -> str | None:
    """The server that the environment names, by address or by a profile; a profile nobody asked for does not count."""
    if not any(os.environ.get(name) for name in ("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")):
        return None
    return ClientConfig.load_client_connect_config().get("target_host")


async def _until_answers(url: str, program: Program) -> None:
    """Wait until ``program`` answers at ``url``. Raises ``Unavailable`` with its log when it ends or takes too long."""
    child = program.child
    async with httpx2.AsyncClient(timeout=2, trust_env=False) as client:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await _answers(client, url):
                    if child.exit_code is not None:
                        raise Unavailable(f"the {child.name} ended at once; its log ends with:\n{child.log_tail()}")
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise Unavailable(f"the {child.name} does not answer; its log ends with:\n{child.log_tail()}") from error


async def _answers(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx2.TransportError:
        return False
