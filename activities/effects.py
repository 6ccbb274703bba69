"""Performing an action as an effect: the only place where one happens.

Every try of a step comes by here under the same key, in whichever lane and after whatever crash. What is promised
depends on the action's effect class (``domain.actions.Effect``); the ledger tells what has happened already.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json, to_jsonable_python
from sqlalchemy.exc import DBAPIError
from temporalio import activity
from temporalio.common import RawValue

from activities.failpoints import AFTER_CALL, AFTER_LEDGER, BEFORE_CALL, Failpoints
from activities.failures import invalid_input, translated
from activities.secrets import Secrets
from domain.actions import Action, Call, Catalogue, Effect
from domain.errors import ConnectorError, ErrorCode, StepwellError
from domain.messages import ActionOutcome, OnUnknown, PerformAction
from store import ledger
from store.database import Database, Transaction
from store.vault import SecretVault

HEARTBEAT_SECONDS = 3.0


Entered = Mapping[str, ledger.Entry | None]
"""What the ledger knows of effects, by key; None: nothing."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Performs the actions of a catalogue. ``max_output_bytes`` limits the output of a step, as JSON."""

    database: Database
    catalogue: Catalogue
    vault: SecretVault
    max_output_bytes: int
    failpoints: Failpoints

    @activity.defn(dynamic=True)
    async def perform(self, args: Sequence[RawValue]) -> ActionOutcome:
        """Perform the action that is this activity's type, unless the ledger knows its outcome."""
        order: PerformAction = activity.payload_converter().from_payload(args[0].payload, PerformAction)
        with translated(order.action):
            async with _heartbeats():
                return await self.attempt(order)

    async def entered(self, tenant: str, keys: Mapping[str, str]) -> Entered:
        """What the ledger knows of the keyed effects among these (key: name of the action), in one round trip."""
        keyed = [key for key, name in keys.items() if name in self.catalogue and _asks_only(self.catalogue[name])]
        if not keyed:
            return {}
        async with self.database.statements(tenant) as session:
            found = await ledger.find_all(session, tenant, keyed)
        return {key: found.get(key) for key in keyed}

    async def attempt(self, order: PerformAction, entered: Entered | None = None) -> ActionOutcome:
        """One try of the action, inside an activity. Raises ``StepwellError``.

        ``entered``: the ledger's answers, where it has just been asked.
        """
        outcome = await self._attempt(order, entered or {})
        self.failpoints.hit(AFTER_LEDGER, order.step)
        return outcome

    async def _attempt(self, order: PerformAction, entered: Entered) -> ActionOutcome:
        action = self.catalogue[order.action]
        if order.secrets and not action.info.takes_secrets:
            message = f"{action.name} takes no secrets: people read what it is given"
            raise ConnectorError(ErrorCode.INVALID_INPUT, message)
        secrets = await Secrets.resolve(self.vault, order)
        try:
            request = action.input_model.model_validate(secrets.filled_in(order.input))
        except ValidationError as error:
            raise secrets.scrubbed(invalid_input(action.name, error)) from None
        info = activity.info()
        call = Call(
            tenant=order.tenant,
            run_id=order.run_id,
            step=order.step,
            key=order.key,
            process=order.process,
            attempt=info.attempt,
            heartbeat=_silent if info.is_local else activity.heartbeat,
        )
        performance = _Performance(self, action, request, call, secrets, order.on_unknown)
        match _effect(action, order.on_unknown):
            case Effect.READ:
                return performance.outcome(await performance.do())
            case Effect.TRANSACTIONAL:
                return await performance.in_transaction()
            case Effect.KEYED:
                return await performance.by_key(entered)
            case Effect.RECONCILABLE:
                return await performance.reconciled()
            case Effect.AT_MOST_ONCE:
                return await performance.at_most_once()


def _asks_only(action: Action) -> bool:
    """Whether the action begins by asking the ledger, and enters nothing yet."""
    return action.info.effect is Effect.KEYED and action.key_lifetime is None


def _effect(action: Action, on_unknown: OnUnknown | None) -> Effect:
    """The class that holds: a step may ask for more care than a provider's idempotency key gives."""
    if action.info.effect is Effect.KEYED and on_unknown in {OnUnknown.PARK, OnUnknown.SKIP}:
        return Effect.AT_MOST_ONCE
    return action.info.effect


@dataclass(frozen=True, slots=True)
class _Performance:
    """One try of one effect."""

    at: Effects
    action: Action
    request: BaseModel
    call: Call
    secrets: Secrets
    on_unknown: OnUnknown | None

    async def do(self, call: Call | None = None) -> Any:
        """Call the action; its output as JSON, free of secrets."""
        self.at.failpoints.hit(BEFORE_CALL, self.call.step)
        try:
            output = await self.action.handler(self.request, call or self.call)
        except ConnectorError as error:
            raise self.secrets.scrubbed(error) from None
        self.at.failpoints.hit(AFTER_CALL, self.call.step)
        return self.secrets.without(to_jsonable_python(output))

    def outcome(self, output: Any, *, replayed: bool = False) -> ActionOutcome:
        """The output as the run gets it. Raises when it is too large to be kept in a history."""
        size = len(to_json(output))
        limit = self.at.max_output_bytes
        if size > limit:
            raise ConnectorError(
                ErrorCode.OUTPUT_TOO_LARGE,
                f"the output of {self.action.name} is {size} bytes, the limit is {limit}: ask for less, or keep it "
                "where it is and pass on a reference (the operator may raise STEPWELL_MAX_OUTPUT_BYTES)",
                details={"size": size, "limit": limit},
            )
        return ActionOutcome(output=output, size=size, replayed=replayed)

    async def in_transaction(self) -> ActionOutcome:
        """Exactly once: the change and its entry commit together, so that a second try of either undoes both.

        The ledger is asked only when something is amiss, since what it would say is seldom anything but "not yet".
        That a second try is refused, by the service or by a constraint of the database, is such a case.
        """
        try:
            async with self.at.database.session(self.call.tenant) as session:
                outcome = self.outcome(await self.do(Transaction.within(self.call, session)))
                if await ledger.settle(session, self.call, self.action.name, status="done", outcome=outcome.output):
                    return outcome
                await session.rollback()
        except (StepwellError, psycopg.Error, DBAPIError):
            known = await self._known()
            if known is None:
                raise
            return known
        return await self._known() or self.outcome(None)

    async def by_key(self, entered: Entered) -> ActionOutcome:
        """Once, by the provider's memory of the key; beyond its lifetime by looking it up."""
        lifetime = self.action.key_lifetime
        if self.call.key in entered:
            known = entered[self.call.key]
        else:
            async with self.at.database.statements(self.call.tenant) as session:
                known = await ledger.find(session, self.call)
                if known is None and lifetime is not None:
                    await ledger.intend(session, self.call, self.action.name)
        if known is not None and known.status == "done":
            return self.outcome(known.outcome, replayed=True)
        if known is not None and lifetime is not None and datetime.now(UTC) - known.intended_at > lifetime:
            return await self._looked_up()
        return await self._settled(await self.do())

    async def reconciled(self) -> ActionOutcome:
        """Once, by looking an effect up that may have happened."""
        known = await self._intend()
        if known is None:
            return await self._settled(await self.do())
        if known.status == "done":
            return self.outcome(known.outcome, replayed=True)
        return await self._looked_up()

    async def at_most_once(self) -> ActionOutcome:
        """Never twice: when nobody can tell whether it happened, the step's ``on_unknown`` decides."""
        known = await self._intend(again=self.on_unknown is OnUnknown.RETRY)
        if known is not None and known.status == "done":
            return self.outcome(known.outcome, replayed=True)
        if known is not None:
            return await self._unknown()
        try:
            output = await self.do()
        except ConnectorError as error:
            if error.ambiguous and self.on_unknown is not OnUnknown.RETRY:
                return await self._unknown(error)
            if not error.ambiguous:
                await self._enter("failed")
            raise
        return await self._settled(output)

    async def _intend(self, *, again: bool = False) -> ledger.Entry | None:
        """Enter the intent. None: this try is the one that acts; else what another one has entered."""
        async with self.at.database.statements(self.call.tenant) as session:
            if await ledger.intend(session, self.call, self.action.name, again=again):
                return None
            return await ledger.find(session, self.call)

    async def _looked_up(self) -> ActionOutcome:
        if self.action.lookup is None:
            return await self._unknown()
        try:
            found = await self.action.lookup(self.request, self.call)
        except ConnectorError as error:
            raise self.secrets.scrubbed(error) from None
        output = await self.do() if found is None else self.secrets.without(to_jsonable_python(found))
        return await self._settled(output)

    async def _settled(self, output: Any) -> ActionOutcome:
        """Enter that it happened, at once; an output too large to keep is an error after that."""
        too_large = len(to_json(output)) > self.at.max_output_bytes
        await self._enter("done", None if too_large else output)
        return self.outcome(output)

    async def _enter(self, status: str, output: Any = None) -> None:
        async with self.at.database.statements(self.call.tenant) as session:
            await ledger.settle(session, self.call, self.action.name, status=status, outcome=output)

    async def _known(self) -> ActionOutcome | None:
        async with self.at.database.statements(self.call.tenant) as session:
            known = await ledger.find(session, self.call)
        return None if known is None else self.outcome(known.outcome, replayed=True)

    async def _unknown(self, error: ConnectorError | None = None) -> ActionOutcome:
        if self.on_unknown is OnUnknown.SKIP:
            await self._enter("skipped")
            return ActionOutcome(skipped=True)
        raise ConnectorError(
            ErrorCode.OUTCOME_UNKNOWN,
            f"{self.action.name} may have happened: it was begun, and its answer was lost. Find out, then resolve the "
            "step: done, retry, skip or fail",
            details=error.details if error else None,
        ) from error


def _silent(*_: object) -> None:
    """Local activities have no heartbeat."""


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """While a regular activity is at work, tell Temporal that its worker lives, so that a lost one is noticed soon."""
    if activity.info().is_local:
        yield
        return

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
