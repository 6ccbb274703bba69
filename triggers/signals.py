"""Sends the signals that events have for runs: the second half of an outbox whose first half is ``deliveries``."""

from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from control.notifications import Notifications
from control.rpc import CALL_TIMEOUT, temporal_call
from domain import ids
from domain.errors import NotFound, Unavailable
from domain.events import DeliveryStatus
from store import events
from store.database import ALL_TENANTS, Database

CLAIM_SECONDS: Final = 10.0
"""After that long, a signal that was taken up and not sent is taken up again; the run counts it once."""

BATCH: Final = 50
POLL_SECONDS: Final = 1.0

_log = structlog.get_logger("signals")


class SignalSender:
    """Sends the signals for runs of one task queue."""

    def __init__(self, database: Database, temporal: Client, notifications: Notifications, task_queue: str) -> None:
        self._database = database
        self._temporal = temporal
        self._notifications = notifications
        self._task_queue = task_queue

    async def run_forever(self) -> None:
        """Send what is to be sent, now and whenever an event has a signal. Ends by cancellation only."""
        with self._notifications.listen(ids.CHANNEL_SIGNAL) as wake_up:
            while True:
                try:
                    while await self.send_some() == BATCH:
                        pass
                except Unavailable as error:
                    _log.warning("cannot send signals", error=str(error))
                await wake_up.wait(POLL_SECONDS)

    async def send_some(self) -> int:
        """Send a batch; how many there were."""
        async with self._database.statements(ALL_TENANTS) as session:
            due = await events.claim_signals(
                session, task_queue=self._task_queue, claim_seconds=CLAIM_SECONDS, batch=BATCH
            )
        for each in sorted(due, key=lambda each: (int(each.event_id), int(each.trigger_id))):
            await self._send(each)
        return len(due)

    async def _send(self, due: Any) -> None:
        delivery = {ids.DELIVERY: f"{due.event_id}/{due.trigger_id}"}
        status, reason = DeliveryStatus.SIGNALLED, ""
        try:
            with temporal_call(due.workflow_id):
                handle = self._temporal.get_workflow_handle(due.workflow_id)
                await handle.signal(due.signal, args=[due.payload, delivery], rpc_timeout=CALL_TIMEOUT)
        except NotFound:
            status, reason = DeliveryStatus.NO_RUN, f"run {due.run_id} had ended"
        except RPCError as error:
            status, reason = DeliveryStatus.FAILED, f"Temporal refuses the signal: {error.message}"
        async with self._database.statements(ALL_TENANTS) as session:
            await events.signalled(session, due.event_id, due.trigger_id, status, reason)
