"""Checks that need no server: Python, settings, keys, disk, definitions."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cli.checks.finding import Finding, fail, ok, warn
from config import RunningStack, Settings
from control.drafts import definition_files, read_files
from domain.actions import ActionInfo
from store.vault import ENVIRONMENT_PREFIXES, MasterKeys

_MIN_PYTHON: Final = (3, 11)
_MIN_SECRET_BYTES: Final = 32
_LITTLE_BYTES: Final = 1024**3
_TOO_LITTLE_BYTES: Final = 256 * 1024**2
_PREFIX: Final = "STEPWELL_"
_NOT_SETTINGS: Final = frozenset({"STEPWELL_FAILPOINTS"})


def check_machine(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Everything about this process and its machine."""
    yield _python()
    yield _settings(environment)
    yield _stack(settings)
    yield from _keys(settings)
    yield _disk(settings.data_dir)


def check_definitions(settings: Settings, actions: Mapping[str, ActionInfo]) -> Finding:
    """Whether the built-in definitions can be published with these actions."""
    part, directory = "definitions", settings.definitions_dir
    if not directory.is_dir():
        return fail(part, f"{directory} is no directory", "set STEPWELL_DEFINITIONS_DIR to where they are")
    drafts = read_files(definition_files(directory))
    processes = {draft.name for draft in drafts if draft.name}
    faults = [fault for draft in drafts for fault in draft.check(actions, processes, None)]
    if faults:
        first = f"{faults[0].file or directory}: {faults[0].reason}"
        return fail(part, f"{len(faults)} faults, the first: {first}", f"stepwell validate {directory} shows all")
    return ok(part, f"{len(drafts)} valid in {directory}, {len(actions)} actions known")


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _MIN_PYTHON:
        return fail("python", f"Python {found}", "install Python 3.11 or later")
    return ok("python", f"Python {found}, stepwell {version('stepwell')}, temporalio {version('temporalio')}")


def _settings(environment: Mapping[str, str]) -> Finding:
    known = {
        str(field.validation_alias or f"{_PREFIX}{name}").upper(): name for name, field in Settings.model_fields.items()
    }
    strange = [
        name
        for name in environment
        if name.startswith(_PREFIX)
        and name.upper() not in known
        and name not in _NOT_SETTINGS
        and not name.startswith(ENVIRONMENT_PREFIXES)
    ]
    if strange:
        close = get_close_matches(strange[0], known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "remove it, or see config.py for what can be set"
        return warn("settings", f"nothing reads {', '.join(sorted(strange))}", remedy)
    given = sorted(name for name in environment if name.upper() in known)
    return ok("settings", f"valid; set: {', '.join(given)}" if given else "valid; all at their defaults")


def _stack(settings: Settings) -> Finding:
    stack = RunningStack.read(settings.data_dir)
    if stack is None:
        return ok("development stack", f"none runs in {settings.data_dir}")
    urls = ", ".join(f"{name} {url}" for name, url in stack.urls.items())
    return ok("development stack", f"runs in {settings.data_dir}: {urls}")


def _keys(settings: Settings) -> Iterator[Finding]:
    part, name = "log-in key", "STEPWELL_JWT_SECRET"
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
    if not secret:
        yield warn(part, f"{name} is not set: the API does not start", f"set it: {_random_key()}")
    elif len(secret.encode()) < _MIN_SECRET_BYTES:
        yield fail(part, f"{name} has {len(secret.encode())} bytes, at least 32 are needed", f"set it: {_random_key()}")
    else:
        yield ok(part, f"{name} is set")
    yield _master_keys(settings)


def _master_keys(settings: Settings) -> Finding:
    part = "secrets keys"
    try:
        keys = MasterKeys.parse(settings.master_keys.get_secret_value() if settings.master_keys else None)
    except ValueError as error:
        return fail(part, str(error), "write kid:base64-of-32-bytes, comma-separated")
    if keys.primary is None:
        return warn(part, "STEPWELL_MASTER_KEYS is not set: secrets cannot be stored", f"set it: k1:{_random_key()}")
    return ok(part, f"{keys.primary} encrypts")


def _random_key() -> str:
    return "$(head -c 32 /dev/urandom | base64)"


def _disk(data_dir: Path) -> Finding:
    part = "disk"
    place = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 1024**3:.1f} GiB free at {place}"
    remedy = "make room, or set STEPWELL_DATA_DIR to another disk"
    if free < _TOO_LITTLE_BYTES:
        return fail(part, detail, remedy)
    if not os.access(place, os.W_OK):
        return warn(part, f"{place} cannot be written", "mend its permissions, or set STEPWELL_DATA_DIR")
    return warn(part, detail, remedy) if free < _LITTLE_BYTES else ok(part, detail)
