"""Wake-ups: they come, to those who asked for them, also after the connection broke."""

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


@pytest.fixture
async def listening(database_url):
    """``Notifications`` whose connection stands: the rings that a fresh one gives to everyone are over."""
    notifications = Notifications(database_url)
    with notifications.listen(CHANNEL_RUN_ENDED) as connected:
        await notifications.start()
        assert await connected.wait(10)
    yield notifications
    await notifications.close()


async def test_a_listener_is_woken_by_its_channel_and_payload_only(database, listening):
    with (
        listening.listen(CHANNEL_RUN_ENDED, 7) as seven,
        listening.listen(CHANNEL_RUN_ENDED) as any_run,
        listening.listen(CHANNEL_RUN_PENDING) as pending,
    ):
        await send(database, CHANNEL_RUN_ENDED, 8)
        assert await any_run.wait(10)
        assert not await seven.wait(0)
        await send(database, CHANNEL_RUN_ENDED, 7)
        assert await seven.wait(10)
        assert not await pending.wait(0)


async def test_a_ring_before_the_wait_is_not_lost(database, listening):
    with listening.listen(CHANNEL_RUN_ENDED, 1) as first, listening.listen(CHANNEL_RUN_ENDED, 1) as second:
        await send(database, CHANNEL_RUN_ENDED, 1)
        assert await second.wait(10)
        assert await first.wait(0)


async def test_a_broken_connection_is_made_anew_and_wakes_everyone(database, listening, database_url):
    with listening.listen(CHANNEL_RUN_ENDED, 1) as wake_up:
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


async def test_listeners_of_one_payload_come_and_go_independently(database, listening):
    with listening.listen(CHANNEL_RUN_ENDED, 5) as stays:
        with listening.listen(CHANNEL_RUN_ENDED, 5):
            pass
        await send(database, CHANNEL_RUN_ENDED, 5)
        assert await stays.wait(10)
