"""The command line on the session's servers, with a database of its own and a worker that is a real process."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from typer.testing import CliRunner

from cli.main import app
from tests.embedded import create_database, drop_database

PROGRAM = str(Path(sys.executable).with_name("stepwell"))


@dataclass
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Stepwell = Callable[..., Outcome]


def call(env: Mapping[str, str | None], *arguments: object, stdin: str = "") -> Outcome:
    """Run a command in this process, in a thread: commands run event loops of their own."""
    results = []

    def invoke() -> None:
        results.append(CliRunner().invoke(app, [str(each) for each in arguments], input=stdin, env=dict(env)))

    thread = threading.Thread(target=invoke)
    thread.start()
    thread.join()
    structlog.reset_defaults()  # commands send the log to the standard error of their time
    result = results[0]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def cli_database_url(postgres_url) -> Iterator[str]:
    name = f"cli_{uuid.uuid4().hex}"
    yield create_database(postgres_url, name)
    drop_database(postgres_url, name)


@pytest.fixture(scope="session")
def environment(cli_database_url, temporal_address, tmp_path_factory) -> dict[str, str]:
    """The environment of a deployment that is migrated and has its built-in processes."""
    env = {
        "DATABASE_URL": cli_database_url,
        "TEMPORAL_ADDRESS": temporal_address,
        "STEPWELL_TASK_QUEUE": f"cli-{uuid.uuid4().hex}",
        "STEPWELL_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "STEPWELL_JWT_SECRET": "a secret of at least thirty-two bytes",
        "STEPWELL_MASTER_KEYS": "k1:" + "A" * 43 + "=",
    }
    assert call(env, "migrate").code == 0
    with psycopg.connect(cli_database_url, autocommit=True) as owner:
        # Deployments of several test processes share one Temporal server: their runs must not meet.
        owner.execute(f"ALTER TABLE runs ALTER id RESTART WITH {uuid.uuid4().time_low * 1000 + 1}")
    return env


@pytest.fixture
def stepwell(environment) -> Stepwell:
    """Runs a command against that deployment; ``env`` overrides, None removes."""

    def run(*arguments: object, stdin: str = "", env: Mapping[str, str | None] | None = None) -> Outcome:
        return call({**environment, **(env or {})}, *arguments, stdin=stdin)

    return run


@pytest.fixture(scope="session")
def worker(environment, tmp_path_factory) -> Iterator[None]:
    """``stepwell worker`` as a process of its own, at work."""
    process = subprocess.Popen(
        [PROGRAM, "worker"], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    probe = tmp_path_factory.mktemp("probe") / "worker_works.yaml"
    probe.write_text("{name: worker_works, steps: [{name: a, type: stop}]}")
    assert call(environment, "publish", probe).code == 0
    assert "completed" in call(environment, "run", "worker_works", "--wait", 120).out
    yield
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture
def definition(tmp_path) -> Callable[..., Path]:
    """Writes a definition file."""

    def write(name: str, *lines: str, file: str | None = None) -> Path:
        path: Path = tmp_path / (file or f"{name}.yaml")
        path.write_text("\n".join([f"name: {name}", *lines, ""]))
        return path

    return write
