"""The triggers of a definition, as frozen models: what starts a run of it, or wakes one that waits."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from domain.fields import Condition, Config, Duration, Name, PositiveDuration
from domain.steps import Part


class Throttle(Part):
    """No more than ``limit`` runs in any ``per``; what comes more often starts later, and is not lost."""

    limit: int = Field(ge=1, le=10_000)
    per: PositiveDuration


class TriggerConfig(Part):
    """What all triggers on events may say.

    With ``debounce``, ``throttle`` or ``max_concurrent``, ``key`` says what they count together; without them one key
    starts one run, ever.
    """

    condition: Condition | None = None
    """The event matters only if this is true: an expression, or any other form of a condition."""
    rule: dict[str, Any] | bool | None = None
    """The same as a JSONLogic rule. Where both are given, both must hold."""
    input: Config | None = None
    """Template of the run's input; without it, the event's payload is the input."""
    key: str | int | None = None
    """Template of what tells events apart: ``{{event.customer_id}}``."""
    action: Literal["start", "signal"] = "start"
    """``signal`` wakes the open run of this process that was started under the same ``key``."""
    signal_name: Name | None = None
    """Which signal, for ``action: signal``; its payload is ``input``."""
    debounce: PositiveDuration | None = None
    """Start only when no further event of the key has come for that long; the last one counts."""
    throttle: Throttle | None = None
    max_concurrent: int | None = Field(default=None, ge=1, le=10_000)
    """At most so many runs of the key at the same time; the others start as they end."""

    @model_validator(mode="after")
    def _signals_have_name_and_key(self) -> Self:
        if self.action == "signal" and (self.signal_name is None or self.key is None):
            raise ValueError("a trigger that signals needs signal_name and key: say which signal, and of which run")
        if self.action == "start" and self.signal_name is not None:
            raise ValueError("a trigger that starts runs has no signal_name: leave it out, or write action signal")
        if self.action == "signal" and self.limits:
            raise ValueError("debounce, throttle and max_concurrent are for triggers that start runs: leave them out")
        return self

    @property
    def limits(self) -> bool:
        """Whether runs of a key are held back, so that a key may have several."""
        return any(limit is not None for limit in (self.debounce, self.throttle, self.max_concurrent))


class EventConfig(TriggerConfig):
    """Which events."""

    event: str = Field(min_length=1, max_length=200)
    """Type of the event; ``*`` stands for any part of it, as in ``order.*``."""
    source: str | None = Field(default=None, max_length=200)
    """Only events of this source."""


class SignalConfig(TriggerConfig):
    """Which changes of which rows."""

    model: str = Field(min_length=1, max_length=200)
    """``app.Model`` or a table's name."""
    signal: Literal["post_save", "post_delete", "created", "updated", "deleted"]


class WebhookConfig(TriggerConfig):
    """Which webhooks."""

    path: str = Field(min_length=1, max_length=200)
    """Source of the webhook; ``*`` is any."""
    event: str | None = Field(default=None, max_length=200)
    """Type of the event inside the webhook, with ``*`` as in event triggers; without it, all of them."""


class ScheduleConfig(Part):
    """At which times: ``cron`` or ``every``."""

    cron: str | None = Field(default=None, max_length=200)
    """Five fields: minute, hour, day of the month, month, day of the week."""
    every: PositiveDuration | None = None
    """Again and again after that long, counted from midnight UTC of 1970-01-01."""
    timezone: str = Field(default="UTC", max_length=64)
    """Name of the time zone that ``cron`` means."""
    overlap: Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"] = "skip"
    """What happens when the run before is still going."""
    catchup_window: Duration = "1h"
    """How late a time that was missed may still be made up for."""
    jitter: Duration = 0
    """Start up to that much later, at random."""
    input: Config | None = None
    """The run's input."""


class ManualConfig(Part):
    """Nothing to configure."""


class EventTrigger(Part):
    """Start a run for each such event."""

    type: Literal["event"]
    config: EventConfig


class SignalTrigger(Part):
    """Start a run for each such change of a row."""

    type: Literal["signal"]
    config: SignalConfig


class WebhookTrigger(Part):
    """Start a run for each such webhook."""

    type: Literal["webhook"]
    config: WebhookConfig


class ScheduleTrigger(Part):
    """Start a run at these times."""

    type: Literal["schedule"]
    config: ScheduleConfig


class ManualTrigger(Part):
    """People start it; this is always possible and needs no trigger."""

    type: Literal["manual"]
    config: ManualConfig = ManualConfig()


OnEvent = EventTrigger | SignalTrigger | WebhookTrigger
"""The triggers that events meet."""

Trigger = Annotated[
    EventTrigger | SignalTrigger | WebhookTrigger | ScheduleTrigger | ManualTrigger,
    Field(discriminator="type"),
]


def matches_glob(pattern: str, text: str) -> bool:
    """Whether ``text`` is of the form ``pattern``, where ``*`` is any number of characters. Takes linear time."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True
