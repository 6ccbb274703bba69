"""The image: what its file promises, and its very build commands, run in a fresh environment on this machine."""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deployment.compose import PROJECT

DOCKERFILE = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = [f"FROM {stage}" for stage in DOCKERFILE.split("FROM ")[1:]]


def _instructions(stage, name):
    return re.findall(rf"^{name}\s+(.+)$", stage, re.MULTILINE)


def _allowed():
    """What .dockerignore lets into the build, which names it line by line."""
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}


def test_both_stages_begin_with_the_same_exact_release_of_python():
    bases = [_instructions(stage, "FROM")[0].split()[0] for stage in STAGES]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_the_image_runs_as_nobody_in_particular_and_ends_on_sigterm():
    final = STAGES[-1]
    uid, gid = _instructions(final, "USER")[0].split(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert _instructions(final, "STOPSIGNAL") == ["SIGTERM"]
    assert _instructions(final, "ENTRYPOINT") == ['["stepwell"]']
    assert len(_instructions(final, "HEALTHCHECK")) == 1


def test_everything_is_installed_by_its_hash():
    installs = [run for run in _instructions(STAGES[0], "RUN") if " install " in run]
    assert all("--require-hashes" in run or "--no-index" in run for run in installs)


def test_the_build_is_given_all_that_the_package_needs_and_no_secrets():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    packages = {pattern.rstrip("*") for pattern in setuptools["packages"]["find"]["include"]}
    modules = {f"{module}.py" for module in setuptools["py-modules"]}
    locks = {"requirements.lock", "requirements-runtime.lock"}
    assert _allowed() == packages | modules | locks | {"pyproject.toml", project["project"]["readme"]}


def _build_context(directory: Path) -> None:
    for name in _allowed():
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The environment that the image gets, built by the commands of the Dockerfile."""
    place = tmp_path_factory.mktemp("image")
    context, tools, made = place / "build", place / "tools", place / "stepwell"
    context.mkdir()
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip = [tools / "bin" / "pip", "--disable-pip-version-check", "--quiet", "--retries=1", "--timeout=10"]
    probe = [*pip, "download", "--no-deps", "--dest", place / "probe", "typing-extensions"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no package index can be reached")
    _build_context(context)
    env = os.environ | {"PATH": f"{tools / 'bin'}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for command in _instructions(STAGES[0], "RUN"):
        here = command.replace("/opt/stepwell", shlex.quote(str(made)))
        ran = subprocess.run(["sh", "-euc", here], cwd=context, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    shutil.rmtree(context)
    return made


def _stepwell(image, *arguments, **variables):
    """Run ``stepwell`` of the image outside the source tree, with nothing of this environment."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [image / "bin" / "stepwell", *arguments]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=False)


def test_the_image_has_everything_that_its_commands_need(image, fresh_database_url):
    shown = _stepwell(image, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "worker" in shown.stdout
    migrated = _stepwell(image, "migrate", DATABASE_URL=fresh_database_url)
    assert migrated.returncode == 0, migrated.stderr
    assert "lead_to_customer_onboarding" in migrated.stdout
    listed = _stepwell(image, "processes", DATABASE_URL=fresh_database_url)
    assert "built in" in listed.stdout


def test_the_image_has_what_the_package_has_and_nothing_of_its_development(image):
    site = next(image.glob("lib/python*/site-packages"))
    for name in ("definitions/schema.json", "store/migrations/script.py.mako", "config.py", "composition.py"):
        assert (site / name).is_file(), name
    installed = {path.name for path in site.iterdir()}
    assert not installed & {"tests", "benchmarks", "pytest", "mypy", "pip", "setuptools"}
    assert not fnmatch.filter(installed, "pixeltable*")


def test_the_health_check_of_the_image_fails_while_no_api_answers(image):
    command = _instructions(STAGES[-1], "HEALTHCHECK")[0].partition("CMD ")[2]
    code = re.search(r'"-c", "(.+)"\]$', command)
    assert code is not None
    checked = subprocess.run(
        [image / "bin" / "python", "-c", code[1]], env={"STEPWELL_API_PORT": "1"}, capture_output=True, check=False
    )
    assert checked.returncode == 1
