"""``python -m benchmarks.inbox``: what comes in from outside: webhooks taken, runs begun, rows relayed.

One API, one worker, embedded servers, all on this machine, as is the sender: figures of the whole, not of a part.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import httpx2
import psycopg
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.processes import TENANT
from benchmarks.stage import Stage, staged
from composition import Platform
from control.endpoints import Endpoints
from domain.webhooks import NewEndpoint
from triggers.relay import Relay
from triggers.watches import Watches
from workers.embedded.ports import LOOPBACK, free_port

SECRET = "whsec_benchmark"  # noqa: S105  # of a server that lives for a minute
RATE = 100
"""Webhooks a second at which answers are timed."""

STARTS_RATE = 20
"""Webhooks a second at which starts of runs are timed: what a worker beside it all can begin at once."""

_ENDED = text("SELECT count(*) FILTER (WHERE started_at IS NULL) AS open FROM runs WHERE process = 'bench_hook'")
_WAITS = text(
    "SELECT CAST(extract(epoch FROM r.started_at - e.received_at) AS float) AS waited FROM runs r"
    " JOIN events e ON e.id = r.event_id WHERE e.type = :type"
)


@dataclass
class Sender:
    """Sends webhooks as Stripe does."""

    http: httpx2.AsyncClient
    numbers: "itertools.count[int]"

    async def send(self, kind: str) -> float:
        """Send one; how long the answer took, in seconds."""
        number = next(self.numbers)
        body = json.dumps({"id": f"evt_{number}", "type": kind, "data": {"object": {"amount": number}}}).encode()
        at = int(time.time())
        digest = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        began = time.perf_counter()
        headers = {"Stripe-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}
        answer = await self.http.post("/api/automate/webhooks/stripe/", content=body, headers=headers)
        if answer.status_code != 202:
            raise RuntimeError(f"a webhook was answered with {answer.status_code}: {answer.text}")
        return time.perf_counter() - began

    async def at_rate(self, kind: str, rate: float, seconds: float) -> list[float]:
        """Send so many a second, whether the answers come or not; how long each took."""
        began = time.perf_counter()
        sent = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            sent.append(asyncio.create_task(self.send(kind)))
        return list(await asyncio.gather(*sent))

    async def as_fast_as_possible(self, kind: str, count: int, concurrency: int) -> float:
        """Send so many, ``concurrency`` at a time; events per second."""
        left = itertools.repeat(None, count)

        async def one_after_another() -> None:
            for _ in left:
                await self.send(kind)

        began = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
        return count / (time.perf_counter() - began)


def bench(
    *,
    events: Annotated[int, typer.Option(min=100, help="Webhooks to be taken as fast as possible.")] = 3000,
    seconds: Annotated[int, typer.Option(min=2, help="How long to send at a steady rate.")] = 10,
    rows: Annotated[int, typer.Option(min=1000, help="Rows to be written to a watched table.")] = 100_000,
) -> None:
    """Measure what comes in from outside."""
    console = Console(highlight=False)
    table = Table("measured", "value", title="Inbox")
    for name, value in asyncio.run(_measure(events, seconds, rows)):
        table.add_row(name, value)
    console.print(table)


async def _measure(events: int, seconds: int, rows: int) -> list[tuple[str, str]]:
    async with staged() as stage, Platform.open(stage.settings) as platform:
        url = f"http://{LOOPBACK}:{free_port()}"
        await _furnish(stage, platform)
        await stage.start(
            "api",
            [str(Path(sys.executable).with_name("stepwell")), "api"],
            STEPWELL_API_PORT=url.rpartition(":")[2],
            STEPWELL_SECRET_STRIPE=SECRET,
            STEPWELL_JWT_SECRET="x" * 32,
        )
        async with _sender(url) as sender:
            rate = await sender.as_fast_as_possible("ignored", events, 50)
            answers = await sender.at_rate("ignored", RATE, seconds)
            await sender.at_rate("hook", STARTS_RATE, seconds)
            await _until(lambda: _all_begun(platform))
        async with platform.database.session(TENANT) as session:
            waits = [row.waited for row in await session.execute(_WAITS, {"type": "hook"})]
        return [
            ("webhooks taken per second, 50 at a time", f"{rate:.0f}"),
            (f"answer at {RATE} a second, p50 / p99 ms", _percentiles(answers)),
            (f"event to run begun at {STARTS_RATE} a second, p50 / p99 ms", _percentiles(waits)),
            *await _rows(platform, rows),
        ]


async def _furnish(stage: Stage, platform: Platform) -> None:
    await stage.publish(
        {
            "name": "bench_hook",
            "triggers": [{"type": "webhook", "config": {"path": "stripe", "rule": {"==": [{"var": "type"}, "hook"]}}}],
            "steps": [{"name": "note", "type": "transform", "set": {"amount": "{{event.data.object.amount}}"}}],
        }
    )
    endpoints = Endpoints(platform.database, platform.vault, default_tenant=TENANT)
    wanted = NewEndpoint(source="stripe", verifier="stripe", secrets=["STRIPE"], is_default=True)
    await endpoints.create(TENANT, wanted, by="benchmark", administrator=None)


async def _rows(platform: Platform, count: int) -> list[tuple[str, str]]:
    """What a watch costs the application's own statements, and how fast its rows are relayed."""
    relay = Relay(platform.database, platform.dispatcher, {})
    async with await psycopg.AsyncConnection.connect(platform.database.url, autocommit=True) as owner:
        await owner.execute(
            "CREATE TABLE bench_rows (id bigint PRIMARY KEY, name text, amount numeric, at timestamptz)"
        )
        bare = await _insert(owner, 0, count)
        await Watches(platform.database, {}, relay).watch(TENANT, "bench_rows", "bench.Row")
        watched = await _insert(owner, count, count)
        began = time.perf_counter()
        await _until(lambda: _relayed(platform, count))
        relayed = count / (time.perf_counter() - began + watched)
    return [
        (f"a statement that inserts {count:,} rows, µs per row", f"{bare / count * 1e6:.1f}"),
        ("the same on a watched table, µs per row", f"{watched / count * 1e6:.1f}"),
        ("rows relayed per second, from the statement on", f"{relayed:.0f}"),
    ]


async def _insert(owner: psycopg.AsyncConnection[Any], first: int, count: int) -> float:
    began = time.perf_counter()
    await owner.execute(
        "INSERT INTO bench_rows SELECT n, 'name ' || n, n * 1.5, now() FROM generate_series(%s::int, %s::int) n",
        (first + 1, first + count),
    )
    return time.perf_counter() - began


async def _relayed(platform: Platform, count: int) -> bool:
    async with platform.database.session(TENANT) as session:
        known = await session.execute(text("SELECT count(*) AS events FROM events WHERE kind = 'row'"))
        return bool(known.one().events >= count)


async def _all_begun(platform: Platform) -> bool:
    async with platform.database.session(TENANT) as session:
        return bool((await session.execute(_ENDED)).one().open == 0)


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(300):
        while not await look():  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _sender(url: str) -> Any:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        async with asyncio.timeout(60):
            while True:
                try:
                    await http.get("/healthz")
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
                else:
                    break
        yield Sender(http, itertools.count(1))


def _percentiles(values: list[float]) -> str:
    cuts = quantiles(values, n=100)
    return f"{cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f}"


if __name__ == "__main__":
    typer.run(bench)
