"""A secret's value is nowhere but in the request that needs it, though the other side gives it back in many forms."""

import json
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import Running
from tests.e2e.echo import EchoServer, forms
from tests.e2e.platform import TENANT

pytestmark = pytest.mark.xdist_group("onboarding")

CANARY = 'c4nary+/7=& q3e?k~9"z'
"""Written differently in each encoding."""


def definition(echo: EchoServer, name: str, path: str, lane: str) -> dict[str, Any]:
    step = {
        "name": "send",
        "action": "http.post",
        "lane": lane,
        "retry": {"max_retries": 1, "initial_interval": "100ms"},
        "config": {
            "url": f"{echo.url}{path}",
            "headers": {"Authorization": "Bearer {{$secret.CANARY}}", "X-Token": "{{$secret.CANARY}}"},
            "params": {"key": "{{$secret.CANARY}}"},
            "json": {"token": "{{$secret.CANARY}}", "text": "key={{$secret.CANARY}};"},
        },
    }
    return {"name": name, "steps": [step]}


async def everything_kept(running: Running, run_id: int) -> dict[str, bytes]:
    """All that is kept of a run anywhere, by where it is kept."""
    run = await running.installation.run(run_id)
    history = await running.history(run)
    kept = {
        "history": b"\n".join(event.SerializeToString() for event in history.events),
        "history as JSON": history.to_json().encode(),
    }
    for path in (f"/workflows/executions/{run_id}", "/workflows/executions", "/workflows", "/secrets", "/metrics"):
        answer = await running.client.get(path, params={"include_steps": "true"})
        assert answer.status_code == 200, answer.text
        kept[path] = answer.content + str(dict(answer.headers)).encode()
    kept |= {f"table {name}": content for name, content in await tables(running.installation.database_url)}
    kept |= {f"log {path.name}": path.read_bytes() for path in running.installation.directory.glob("*.log")}
    return kept


async def tables(database_url: str) -> list[tuple[str, bytes]]:
    """Every table's rows as text."""
    async with await psycopg.AsyncConnection.connect(database_url) as owner:
        found = await owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [row[0] for row in await found.fetchall()]
        dumped = []
        for name in names:
            rows = await (await owner.execute(f"SELECT t::text FROM {name} AS t")).fetchall()  # noqa: S608
            dumped.append((name, "\n".join(row[0] for row in rows).encode()))
    assert {"runs", "effects", "secrets"} <= set(names)
    return dumped


def leaks(kept: dict[str, bytes]) -> list[str]:
    traces = {**forms(CANARY), "twice in JSON": json.dumps(json.dumps(CANARY))[3:-3]}
    return [
        f"{form} in {place}"
        for place, content in kept.items()
        for form, text in traces.items()
        if text.encode() in content
    ]


@pytest.mark.parametrize("lane", ["fast", "regular"])
@pytest.mark.parametrize(
    ("path", "status"), [("/echo", "completed"), ("/refuse", "failed"), ("/fail", "failed"), ("/broken", "failed")]
)
async def test_a_secret_that_is_echoed_in_many_forms_is_kept_nowhere(running, echo, path, status, lane):
    answer = await running.client.put("/secrets/CANARY", json={"value": CANARY})
    assert answer.status_code == 200, answer.text
    name = f"canary_{path[1:]}_{lane}"
    answer = await running.client.post("/workflows", json=definition(echo, name, path, lane))
    assert answer.status_code == 201, answer.text
    run = (await running.execute(name, {})).json()
    assert run["status"] == status, run
    assert {CANARY, f"Bearer {CANARY}"} <= set(echo.received), "the secret has reached the other side"
    kept = await everything_kept(running, run["id"])
    assert leaks(kept) == []
    assert TENANT.encode() in kept["history"], "the scan sees what the history says"
