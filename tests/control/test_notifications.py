"""Wake-ups: they come, to those who asked for them, also after the connection broke."""

import asyncio

import psycopg
import pytest

from control.notifications import Notifications
from domain.ids import CHANNEL_RUN_ENDED, CHANNEL_RUN_PENDING
from store.database import ALL_TENANTS, notify

_KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'stepwell-notifications' AND datname = current_database()"
)


async def send(database, channel, payload=""):
    async with database.session(ALL_TENANTS) as session:
        await session.execute(notify(channel, payload))


async def quiet(wake_up):
    """Let the rings that a fresh connection gives to everyone pass."""
    while await wake_up.wait(0.2):
        pass


async def test_a_listener_is_woken_by_its_channel_and_payload_only(database, notifications):
    with (
        notifications.listen(CHANNEL_RUN_ENDED, 7) as seven,
        notifications.listen(CHANNEL_RUN_ENDED) as any_run,
        notifications.listen(CHANNEL_RUN_PENDING) as pending,
    ):
        await quiet(seven)
        await quiet(any_run)
        await quiet(pending)
        await send(database, CHANNEL_RUN_ENDED, 8)
        assert await any_run.wait(10)
        assert not await seven.wait(0)
        await send(database, CHANNEL_RUN_ENDED, 7)
        assert await seven.wait(10)
        assert not await pending.wait(0)


async def test_a_ring_before_the_wait_is_not_lost(database, notifications):
    with notifications.listen(CHANNEL_RUN_ENDED, 1) as first, notifications.listen(CHANNEL_RUN_ENDED, 1) as second:
        await quiet(first)
        await quiet(second)
        await send(database, CHANNEL_RUN_ENDED, 1)
        assert await second.wait(10)
        assert await first.wait(0)


async def test_a_broken_connection_is_made_anew_and_wakes_everyone(database, notifications, database_url):
    with notifications.listen(CHANNEL_RUN_ENDED, 1) as wake_up:
        await quiet(wake_up)
        with psycopg.connect(database_url, autocommit=True) as owner:
            assert owner.execute(_KILL).fetchall()
        assert await wake_up.wait(10)
        await send(database, CHANNEL_RUN_ENDED, 1)
        assert await wake_up.wait(10)


async def test_it_starts_while_the_database_is_down_and_stops(tmp_path):
    notifications = Notifications(f"postgresql://nobody@/nothing?host={tmp_path}")
    await notifications.start()
    with notifications.listen(CHANNEL_RUN_ENDED) as wake_up:
        assert not await wake_up.wait(0.1)
    await notifications.close()


async def test_a_channel_that_nobody_listens_to_is_a_mistake(database_url):
    notifications = Notifications(database_url, [CHANNEL_RUN_ENDED])

    with pytest.raises(KeyError), notifications.listen(CHANNEL_RUN_PENDING):
        pass


async def test_listeners_of_one_payload_come_and_go_independently(database, notifications):
    with notifications.listen(CHANNEL_RUN_ENDED, 5) as stays:
        await quiet(stays)
        with notifications.listen(CHANNEL_RUN_ENDED, 5):
            pass
        await asyncio.gather(send(database, CHANNEL_RUN_ENDED, 5))
        assert await stays.wait(10)
