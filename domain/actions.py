"""Actions: the things a step can do, and how connectors and services declare them.

class Slack(Connector):
    @action("slack.post_message", effect=Effect.AT_MOST_ONCE)
    async def post_message(self, request: PostMessage, call: Call) -> PostedMessage:
        \"\"\"Post a message to a channel.\"\"\"
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, JsonValue

from domain.errors import NotFound


class Effect(StrEnum):
    """What an action changes outside the run, and so how the ledger keeps it from happening twice."""

    READ = "read"
    TRANSACTIONAL = "transactional"
    KEYED = "keyed"
    RECONCILABLE = "reconcilable"
    AT_MOST_ONCE = "at_most_once"


def _no_heartbeat(*details: object) -> None:
    """Where nobody listens for progress."""


@dataclass(frozen=True, slots=True)
class Call:
    """One performance of an action: for whom, and under which key.

    ``key`` is the idempotency key: the same for every try of the same step of the same run, unlike any other.
    ``heartbeat`` reports progress on long work; it also lets a cancellation through.
    """

    tenant: str
    run_id: int
    step: str
    key: str
    process: str = ""
    attempt: int = 1
    heartbeat: Callable[..., None] = _no_heartbeat


Handler = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class ActionInfo:
    """What the catalogue tells of an action: enough to validate a step, draw a form and write its documentation."""

    name: str
    title: str
    description: str
    effect: Effect
    input_schema: Mapping[str, JsonValue]
    output_schema: Mapping[str, JsonValue]
    slow: bool = False
    aliases: tuple[str, ...] = ()
    takes_secrets: bool = True
    """Whether a secret may stand in its input: not where the input is meant to be read by people."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action bound to the connector or service that performs it."""

    info: ActionInfo
    input_model: type[BaseModel]
    output_model: Any
    handler: Handler
    lookup: Handler | None = None
    key_lifetime: timedelta | None = None

    @property
    def name(self) -> str:
        """``connector.verb`` or ``service.method``."""
        return self.info.name


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    effect: Effect
    slow: bool
    lookup: str | None
    key_lifetime: timedelta | None
    aliases: tuple[str, ...]
    takes_secrets: bool


_DECLARATION = "__stepwell_action__"
_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def action(
    name: str,
    *,
    effect: Effect,
    slow: bool = False,
    lookup: str | None = None,
    key_lifetime: timedelta | None = None,
    aliases: tuple[str, ...] = (),
    takes_secrets: bool = True,
) -> Callable[[_Method], _Method]:
    """Declare a method ``(self, request, call) -> output`` as an action.

    ``slow``          by nature longer than a second or two: never tried in the fast lane.
    ``lookup``        for ``reconcilable`` (and ``keyed`` with a ``key_lifetime``): the method, of the same signature,
                      that returns the output of an effect that has happened, or None if it has not.
    ``takes_secrets`` False where the input is meant to be read by people.
    ``key_lifetime``  how long the provider remembers an idempotency key; None: for good.
    """
    if effect is Effect.RECONCILABLE and lookup is None:
        raise TypeError(f"{name}: a reconcilable action needs lookup=…")

    def declare(method: _Method) -> _Method:
        setattr(method, _DECLARATION, _Declaration(name, effect, slow, lookup, key_lifetime, aliases, takes_secrets))
        return method

    return declare


class Connector:
    """Base of everything that offers actions. Clients and settings come in through the constructor."""

    def actions(self) -> Iterator[Action]:
        """This connector's actions, bound to this instance."""
        for _, method in inspect.getmembers(self, inspect.ismethod):
            declaration = getattr(method, _DECLARATION, None)
            if declaration is not None:
                yield _bind(self, method, declaration)


def _bind(owner: Connector, method: Handler, declared: _Declaration) -> Action:
    hints = get_type_hints(method)
    request_name = next(iter(inspect.signature(method).parameters))
    input_model, output_model = hints[request_name], hints["return"]
    doc = inspect.getdoc(method) or ""
    title, _, description = doc.partition("\n")
    info = ActionInfo(
        name=declared.name,
        title=title.strip(),
        description=description.strip(),
        effect=declared.effect,
        input_schema=input_model.model_json_schema(),
        output_schema=output_model.model_json_schema() if hasattr(output_model, "model_json_schema") else {},
        slow=declared.slow,
        aliases=declared.aliases,
        takes_secrets=declared.takes_secrets,
    )
    lookup = getattr(owner, declared.lookup) if declared.lookup else None
    return Action(info, input_model, output_model, method, lookup, declared.key_lifetime)


class Catalogue:
    """All actions that this deployment offers, by name and alias."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self._actions: dict[str, Action] = {}
        self._names: dict[str, str] = {}
        for connector in connectors:
            for bound in connector.actions():
                if bound.name in self._actions:
                    raise ValueError(f"two connectors declare the action {bound.name}")
                self._actions[bound.name] = bound
                for name in (bound.name, *bound.info.aliases):
                    self._names[name] = bound.name

    def __getitem__(self, name: str) -> Action:
        """The action of that name or alias. Raises ``NotFound`` with names that look alike."""
        if name not in self._names:
            raise NotFound("action", name, close=get_close_matches(name, self._names, n=3))
        return self._actions[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def infos(self) -> dict[str, ActionInfo]:
        """What is known of each action, by name and by alias."""
        return {name: self._actions[target].info for name, target in sorted(self._names.items())}
