"""One event of the inbox, and what is done for each trigger that it meets."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from control.accepting import Origin, accept_run, accepted_input, check_size
from domain.errors import Conflict, ExpressionError, InputInvalid, NotFound, StepwellError, TooLarge
from domain.events import DeliveryStatus, NewEvent, Trace
from store import events
from store.session import Session
from store.triggers import Candidate
from triggers import limits
from triggers.limits import HeldBack
from triggers.matching import Match, Matcher

FAILURES: Final = (Conflict, ExpressionError, InputInvalid, NotFound, TooLarge)
"""What can be wrong between one trigger and one event; anything else is no fault of theirs, and is raised."""


@dataclass(frozen=True, slots=True)
class Asking:
    """An event whose triggers are asked, inside a transaction."""

    session: Session
    tenant: str
    task_queue: str
    event: NewEvent
    event_id: int
    seen: dict[str, Any]
    """The event as rules see it."""

    async def ask(self, candidate: Candidate, matcher: Matcher) -> tuple[Trace, str | None]:
        """Do what the trigger says: what it made of the event, and the signal that is to be sent, if any.

        Raises one of ``FAILURES``, before anything has been done.
        """
        match = matcher.match(self.tenant, self.event, self.seen)
        if not match.matches:
            return match.trace(candidate.id, candidate.process, DeliveryStatus.NO_MATCH), None
        if matcher.config.action == "signal":
            return await self._signal(candidate, match), matcher.config.signal_name
        if matcher.config.limits:
            return await self._hold_back(candidate, matcher, match), None
        origin = Origin(
            trigger_type="event",
            trigger_source=self._source,
            idempotency_key=self._run_key(candidate, match.key),
            trigger_id=candidate.id,
            event_id=self.event_id,
            correlation_key=match.key,
        )
        return await self._start(candidate, match, origin), None

    async def _start(self, candidate: Candidate, match: Match, origin: Origin) -> Trace:
        process, key = candidate.process, origin.idempotency_key or ""
        run = await accept_run(self.session, self.tenant, process, match.input, origin, task_queue=self.task_queue)
        if run is not None:
            if match.key is not None and origin.idempotency_key == self._run_key(candidate, match.key):
                await events.send_early_signals(self.session, self.tenant, process, match.key, run.id or 0)
            return match.trace(candidate.id, process, DeliveryStatus.STARTED).model_copy(update={"run_id": run.id})
        earlier = await limits.run_of_key(self.session, self.tenant, process, key)
        trace = match.trace(candidate.id, process, DeliveryStatus.DUPLICATE)
        return trace.model_copy(update={"run_id": earlier, "reason": "its key has a run already"})

    async def _hold_back(self, candidate: Candidate, matcher: Matcher, match: Match) -> Trace:
        """Start a run, but not before its debounce, throttle and limit allow."""
        config = matcher.config
        held = HeldBack(self.tenant, candidate.process, candidate.id, match.key or "")
        await held.alone(self.session)
        if config.debounce is not None:
            value = await accepted_input(self.session, self.tenant, candidate.process, match.input)
            taken = await held.take_place(self.session, value, self.event_id, config.debounce)
            if taken is not None:
                trace = match.trace(candidate.id, candidate.process, DeliveryStatus.DEBOUNCED)
                return trace.model_copy(update={"run_id": taken})
        origin = Origin(
            trigger_type="event",
            trigger_source=self._source,
            idempotency_key=self._run_key(candidate, None),
            trigger_id=candidate.id,
            event_id=self.event_id,
            correlation_key=held.key,
            not_before=await held.not_before(self.session, config),
            max_concurrent=config.max_concurrent,
        )
        return await self._start(candidate, match, origin)

    async def _signal(self, candidate: Candidate, match: Match) -> Trace:
        check_size(match.input, "the signal's payload", "send where the data is instead of the data")
        run_id = await limits.open_run(self.session, self.tenant, candidate.process, match.key or "")
        if run_id is not None:
            trace = match.trace(candidate.id, candidate.process, DeliveryStatus.SIGNALLING)
            return trace.model_copy(update={"run_id": run_id})
        trace = match.trace(candidate.id, candidate.process, DeliveryStatus.NO_RUN)
        reason = f"no run of {candidate.process} with the key {match.key!r} is under way; it waits for one for a day"
        return trace.model_copy(update={"reason": reason})

    @property
    def _source(self) -> str:
        return f"{self.event.source}: {self.event.type}"

    def _run_key(self, candidate: Candidate, key: str | None) -> str:
        """The idempotency key of the trigger's run: of its own key, or of the event, whose row may be gone one day."""
        told = (
            f"event\0{self.event.kind.value}\0{self.event.source}\0{self.event.key}" if key is None else f"key\0{key}"
        )
        return f"trigger-{candidate.id}-{sha256(told.encode()).hexdigest()}"


def failed(trigger_id: int | None, process: str, error: StepwellError) -> Trace:
    """What a trigger makes of an event when it cannot work on it."""
    return Trace(trigger_id=trigger_id, process=process, status=DeliveryStatus.FAILED, reason=str(error))
