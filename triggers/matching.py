"""What a trigger makes of an event: pure, the same for a dry run as for the real one."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from domain.errors import ExpressionError
from domain.events import DeliveryStatus, NewEvent, Trace
from domain.rules import AllOf, Condition, parse_condition, parse_rule
from domain.scope import Scope
from domain.templates import Template, parse_template, text_of
from domain.triggers import EventTrigger, OnEvent, SignalTrigger, TriggerConfig, WebhookTrigger, matches_glob

MAX_KEY_LENGTH: Final = 300

_ON_EVENT: Final[TypeAdapter[OnEvent]] = TypeAdapter(OnEvent)
_SIGNALS: Final = {
    "post_save": ("post_save",),
    "post_delete": ("post_delete",),
    "created": ("post_save",),
    "updated": ("post_save",),
    "deleted": ("post_delete",),
}


@dataclass(frozen=True, slots=True)
class Match:
    """What is to be done for an event, or why nothing is. ``key`` and ``input`` are rendered where it matches."""

    matches: bool
    reason: str = ""
    key: str | None = None
    input: Any = None
    explain: dict[str, Any] | None = None

    def trace(self, trigger_id: int | None, process: str, status: DeliveryStatus) -> Trace:
        """As people see it."""
        return Trace(
            trigger_id=trigger_id,
            process=process,
            status=status if self.matches else DeliveryStatus.NO_MATCH,
            reason=self.reason,
            key=self.key,
            input=self.input,
            explain=self.explain,
        )


class Matcher:
    """A trigger, ready to meet events; immutable, to be shared."""

    def __init__(self, trigger: OnEvent) -> None:
        """Raises ``ExpressionError`` for a rule, condition or template that cannot be read."""
        self.trigger = trigger
        config: TriggerConfig = trigger.config
        self.config = config
        self._condition = _condition(config)
        self._input = None if config.input is None else parse_template(config.input)
        self._key: Template | None = None if config.key is None else parse_template(config.key)

    def match(self, tenant: str, event: NewEvent, seen: dict[str, Any], *, explain: bool = False) -> Match:
        """What the trigger makes of ``event``, which rules see as ``seen``; why not is always explained.

        Raises ``ExpressionError`` when its rule, condition, key or input cannot work on the event.
        """
        if reason := self._not_meant(event):
            return Match(matches=False, reason=reason)
        scope = Scope(input={}, run={"tenant": tenant}, event=seen)
        if not self._condition.holds(scope):
            return Match(matches=False, reason="its rule is not true", explain=_explained(self._condition, scope))
        return Match(
            matches=True,
            key=None if self._key is None else _checked(self._key.render(scope).value),
            input=_payload(event) if self._input is None else self._input.render(scope).value,
            explain=_explained(self._condition, scope) if explain else None,
        )

    def _not_meant(self, event: NewEvent) -> str:
        match self.trigger:
            case EventTrigger(config=config):
                if not any(matches_glob(config.event, name) for name in event.names):
                    return f"it waits for {config.event}"
                if config.source not in (None, event.source):
                    return f"it waits for the source {config.source}"
            case WebhookTrigger(config=config):
                if event.kind != "webhook" or not matches_glob(config.path, event.source):
                    return f"it waits for webhooks of {config.path}"
                if config.event is not None and not matches_glob(config.event, event.type):
                    return f"it waits for {config.event}"
            case SignalTrigger(config=config):
                return _not_this_change(config.model, config.signal, event)
        return ""


def trigger_on_event(type: str, config: dict[str, Any]) -> OnEvent:  # noqa: A002
    """The trigger that a row of ``triggers`` holds."""
    return _ON_EVENT.validate_python({"type": type, "config": config})


def _checked(value: Any) -> str:
    key = text_of(value).strip()
    if not key:
        raise ExpressionError(f"the key is empty for this event: its template gives {value!r}")
    if len(key) > MAX_KEY_LENGTH:
        raise ExpressionError(f"the key has {len(key)} characters, the limit is {MAX_KEY_LENGTH}: take less of it")
    return key


def _explained(condition: Condition, scope: Scope) -> dict[str, Any]:
    explained = condition.explain(scope)
    return {"passed": explained.get("error") is None and bool(explained.get("result")), **explained}


def _condition(config: TriggerConfig) -> Condition:
    parts: list[Condition] = []
    if config.rule is not None:
        parts.append(parse_rule(config.rule))
    if config.condition is not None:
        parts.append(parse_condition(config.condition))
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _payload(event: NewEvent) -> Any:
    """A run's input is an object."""
    return event.payload if isinstance(event.payload, dict) else {"payload": event.payload}


def _not_this_change(model: str, signal: str, event: NewEvent) -> str:
    payload = event.payload if isinstance(event.payload, dict) else {}
    if event.kind != "row" or payload.get("model") != model:
        return f"it waits for changes of {model}"
    created = payload.get("created") is True
    if payload.get("signal") not in _SIGNALS[signal]:
        return f"it waits for {signal}"
    if (signal == "created" and not created) or (signal == "updated" and created):
        return f"it waits for {signal}"
    return ""
