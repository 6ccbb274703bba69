"""The tables of the documentation are those of the code: settings, routes, roles."""

import re
from pathlib import Path

from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.app import create_app
from api.auth import Requires, guard_of
from api.docs import ASSETS_PATH
from api.main import assemble
from config import Settings
from tests.docs.pages import PROJECT, section


def _default(value):
    match value:
        case None | [] | SecretStr():
            return ""
        case bool():
            return str(value).lower()
        case Path() if value.is_absolute():
            return value.name
        case _:
            return str(value)


def test_the_table_of_settings_is_that_of_the_code():
    settings = {
        field.validation_alias or f"STEPWELL_{name.upper()}": _default(field.get_default(call_default_factory=True))
        for name, field in Settings.model_fields.items()
    }
    table = section(PROJECT / "docs" / "operations.md", "Settings")
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", table, re.MULTILINE)
    assert list(rows) == list(settings.items())


def _may(route):
    guard = guard_of(route)
    if guard is True:
        return "public"
    assert isinstance(guard, Requires)
    return str(guard.permission or "any")


def test_the_table_of_routes_is_that_of_the_code():
    table = section(PROJECT / "docs" / "api.md", "All routes")
    told = {
        (method, path): permission.strip("`")
        for routes, permission in re.findall(r"^\| (`.+`) \| (.+) \|$", table, re.MULTILINE)
        for method, path in re.findall(r"`(\w+) (\S+)`", routes)
    }
    app = create_app(Settings(), assemble)
    routes = {
        (method, route.path): _may(route)
        for route in iter_route_contexts(app.routes)
        if not str(route.path).startswith(("/api/", ASSETS_PATH, "/openapi"))
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert told == routes
