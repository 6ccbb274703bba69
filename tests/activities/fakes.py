"""A provider that remembers what was done to it, and can be told to refuse, to lose its answer, or to die."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, field_validator

from activities.failpoints import Failpoints
from domain.actions import Call, Connector, Effect, action
from store.database import Transaction
from store.tables import CustomerRow, LeadRow

KEY_LIFETIME = timedelta(hours=24)


class Killed(BaseException):
    """The process is gone, as far as the code that was at work can tell."""


class Wish(BaseModel):
    """What every action of the provider takes."""

    to: str = "Ada"
    amount: int = 1
    token: str = ""

    @field_validator("token")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"{value!r} is no token")
        return value


@dataclass
class Provider(Connector):
    """Performs wishes of every effect class.

    ``refusals``  raised, one a call, instead of performing.
    ``losses``    raised, one a call, after performing: the effect has happened, its answer is lost.
    ``answer``    the output; None: the number of the effect.
    """

    refusals: list[BaseException] = field(default_factory=list)
    losses: list[BaseException] = field(default_factory=list)
    answer: Any = None
    calls: list[Call] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    """The keys of what has happened, once each time that it did."""
    found: dict[str, Any] = field(default_factory=dict)
    """What a look-up finds, by key."""
    lookups: list[str] = field(default_factory=list)
    lookup_refusals: list[BaseException] = field(default_factory=list)

    @property
    def times(self) -> Counter[str]:
        """How often each effect has happened."""
        return Counter(self.effects)

    def _asked(self, request: Wish, call: Call) -> None:
        self.calls.append(call)
        self.wishes.append(request)
        if self.refusals:
            raise self.refusals.pop(0)

    def _perform(self, request: Wish, call: Call) -> Any:
        self._asked(request, call)
        self.effects.append(call.key)
        output = {"number": len(self.effects)} if self.answer is None else self.answer
        self.found[call.key] = output
        if self.losses:
            raise self.losses.pop(0)
        return output

    @action("fake.read", effect=Effect.READ)
    async def read(self, request: Wish, call: Call) -> Any:
        return self._perform(request, call)

    @action("fake.enrol", effect=Effect.TRANSACTIONAL)
    async def enrol(self, request: Wish, call: Transaction) -> Any:
        """Add a lead of that name, as often as one is asked to."""
        self._asked(request, call)
        call.session.add(LeadRow(tenant_id=call.tenant, name=request.to))
        await call.session.flush()
        if self.losses:
            raise self.losses.pop(0)
        return {"enrolled": request.to} if self.answer is None else self.answer

    @action("fake.register", effect=Effect.TRANSACTIONAL)
    async def register(self, request: Wish, call: Transaction) -> Any:
        """Add a customer of that name; the database refuses a second one."""
        self._asked(request, call)
        call.session.add(CustomerRow(tenant_id=call.tenant, name=request.to, customer_number=request.to, email=""))
        await call.session.flush()
        return {"registered": request.to}

    @action("fake.charge", effect=Effect.KEYED)
    async def charge(self, request: Wish, call: Call) -> Any:
        return self._perform(request, call)

    @action("fake.order", effect=Effect.KEYED, key_lifetime=KEY_LIFETIME, lookup="look_up")
    async def order(self, request: Wish, call: Call) -> Any:
        return self._perform(request, call)

    @action("fake.rent", effect=Effect.KEYED, key_lifetime=KEY_LIFETIME)
    async def rent(self, request: Wish, call: Call) -> Any:
        """The provider forgets its keys, and nothing can be looked up."""
        return self._perform(request, call)

    @action("fake.create", effect=Effect.RECONCILABLE, lookup="look_up")
    async def create(self, request: Wish, call: Call) -> Any:
        return self._perform(request, call)

    @action("fake.send", effect=Effect.AT_MOST_ONCE)
    async def send(self, request: Wish, call: Call) -> Any:
        return self._perform(request, call)

    @action("fake.build", effect=Effect.RECONCILABLE, lookup="look_up", slow=True)
    async def build(self, request: Wish, call: Call) -> Any:
        call.heartbeat("half")
        return self._perform(request, call)

    @action("fake.hang", effect=Effect.READ)
    async def hang(self, request: Wish, call: Call) -> Any:
        """Never answers."""
        await asyncio.Event().wait()

    async def look_up(self, _request: Wish, call: Call) -> Any:
        self.lookups.append(call.key)
        if self.lookup_refusals:
            raise self.lookup_refusals.pop(0)
        return self.found.get(call.key)


@dataclass
class Deaths(Failpoints):
    """Failpoints that end the activity, once each, and leave the process alone."""

    points: list[str] = field(default_factory=list)

    def hit(self, point: str, step: str = "") -> None:
        if point in self.points:
            self.points.remove(point)
            raise Killed(point, step)
