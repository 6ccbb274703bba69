"""Events keep coming while every part is killed in turn: none is lost, none counts twice."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx2
from temporalio.client import Client

from store.migrate import migrate
from tests.e2e.platform import TENANT, Installation, Process, until
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal

EVENTS = 5000
STARTING = 10
"""Every so manieth event starts a run."""

SENDERS = 40

RULE = {"==": [{"%": [{"var": "number"}, STARTING]}, 0]}

DEFINITION = {
    "name": "count_visits",
    "input": {"type": "object", "properties": {"number": {"type": "integer"}}},
    "triggers": [{"type": "event", "config": {"event": "shop.visited", "rule": RULE}}],
    "steps": [{"name": "note", "action": "core.log", "config": {"message": "visit {{event.number}}"}}],
}


class Senders:
    """Send all events, each until it is taken, as a webhook's sender does."""

    def __init__(self, at: Installation, headers: httpx2.Headers) -> None:
        self._at = at
        self._headers = headers
        self._left = iter(range(EVENTS))
        self.taken = 0
        self.answers: Counter[int] = Counter()

    async def send_all(self) -> None:
        async with asyncio.TaskGroup() as senders:
            for _ in range(SENDERS):
                senders.create_task(self._send_some())

    async def _send_some(self) -> None:
        async with httpx2.AsyncClient(
            base_url=self._at.api_url, headers=self._headers, timeout=10, trust_env=False
        ) as client:
            for number in self._left:
                while not await self._send(client, number):
                    await asyncio.sleep(0.2)
                self.taken += 1

    async def _send(self, client: httpx2.AsyncClient, number: int) -> bool:
        event = {"event_type": "shop.visited", "idempotency_key": f"visit-{number}", "payload": {"number": number}}
        try:
            answer = await client.post("/events", json=event)
        except httpx2.TransportError:
            return False
        self.answers[answer.status_code] += 1
        assert answer.status_code in {200, 202, 503}, answer.text
        return answer.is_success

    async def reached(self, share: float) -> None:
        """Wait until that share of the events is taken."""

        async def taken() -> bool:
            return self.taken >= EVENTS * share

        await until(taken, f"{share:.0%} of the events are taken")


async def test_no_event_is_lost_or_doubled_whatever_is_killed_meanwhile(install, tmp_path):
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    temporal = EmbeddedTemporal(tmp_path / "temporal", ui=False)
    url = await postgres.start()
    await temporal.start()
    try:
        await asyncio.to_thread(migrate, url)
        async with install(url, temporal=temporal.address) as at:
            await at.publisher.publish(TENANT, DEFINITION)
            worker, api = at.worker(), await at.api()
            async with at.client() as client:
                senders = Senders(at, client.headers)
                sending = asyncio.create_task(senders.send_all())
                kills: list[Callable[[], Awaitable[None]]] = [
                    lambda: _killed(worker),
                    lambda: _killed(api),
                    lambda: _restarted(postgres, signal.SIGQUIT),
                    lambda: _restarted(temporal, signal.SIGKILL),
                ]
                for number, kill in enumerate(kills, 1):
                    await senders.reached(number / (len(kills) + 1))
                    await kill()
                await sending
            await at.database.engine.dispose()
            await _assert_each_once(at, await Client.connect(temporal.address))
    finally:
        await temporal.stop()
        await postgres.stop()


async def _killed(process: Process) -> None:
    await process.kill()
    await process.start_again()


async def _restarted(server: EmbeddedPostgres | EmbeddedTemporal, how: signal.Signals) -> None:
    os.kill(server.pid or 0, how)
    await server.wait()
    await server.start()


async def _assert_each_once(at: Installation, temporal: Client) -> None:
    async def ended() -> bool:
        open_ones = await at.row("SELECT count(*) AS runs FROM runs WHERE status NOT IN ('completed', 'failed')")
        return bool(open_ones["runs"] == 0)

    await until(ended, "all runs have ended", seconds=180)
    events = await at.row("SELECT count(*) AS events, count(DISTINCT key) AS keys FROM events")
    assert events == {"events": EVENTS, "keys": EVENTS}
    runs = await at.row(
        "SELECT count(*) AS runs, count(DISTINCT event_id) AS events FROM runs WHERE status = 'completed'"
    )
    assert runs == {"runs": EVENTS // STARTING, "events": EVENTS // STARTING}

    async def counted() -> bool:
        return (await temporal.count_workflows("WorkflowType = 'count_visits'")).count == EVENTS // STARTING

    await until(counted, "Temporal has seen as many")
