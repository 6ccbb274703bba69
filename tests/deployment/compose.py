"""The Compose file as Docker Compose would read it, for an environment of one's own."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.temporal.yml"
EXAMPLE_FILE = PROJECT / ".env.example"

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


def services(environment: Mapping[str, str]) -> dict[str, Any]:
    """The services by name, their variables filled in. Raises ``KeyError`` for one that must be set and is not."""
    return _filled(yaml.safe_load(COMPOSE_FILE.read_text()), environment)["services"]


def variables() -> dict[str, bool]:
    """The variables that the file reads, and whether each must be set."""
    found = _VARIABLE.finditer(COMPOSE_FILE.read_text())
    return {each["name"]: each["kind"] == "?" for each in found if each["name"]}


def example() -> dict[str, str]:
    """What the example of ``.env`` sets."""
    lines = [line for line in EXAMPLE_FILE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _value(found, environment), value)
        case list():
            return [_filled(each, environment) for each in value]
        case dict():
            return {key: _filled(each, environment) for key, each in value.items()}
        case _:
            return value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    given = environment.get(found["name"], "")
    if found["kind"] == "?" and not given:
        raise KeyError(found["name"])
    return given or (found["rest"] if found["kind"] == "-" else "") or ""
