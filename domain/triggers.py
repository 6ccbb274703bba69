"""The triggers of a definition, as frozen models: what starts a run."""

from typing import Annotated, Literal

from pydantic import Field

from domain.fields import Condition, Config, Duration
from domain.steps import Part


class TriggerConfig(Part):
    """What all triggers may say."""

    condition: Condition | None = None
    """The event starts a run only if this is true."""
    input: Config | None = None
    """Template of the run's input; without it, the event's payload is the input."""


class EventConfig(TriggerConfig):
    """Which events."""

    event: str = Field(min_length=1, max_length=200)
    """Name of the event; ``order.*`` stands for all whose names begin so."""


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
    """Name of the event inside the webhook; without it, all of them."""


class ScheduleConfig(TriggerConfig):
    """At which times."""

    cron: str = Field(pattern=r"^\s*[^\s]+(\s+[^\s]+){4}\s*$", max_length=200)
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    overlap: Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"] = "skip"
    """What happens when the run before is still going."""
    catchup_window: Duration = "1h"
    """How late a time that was missed may still be made up for."""


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


Trigger = Annotated[
    EventTrigger | SignalTrigger | WebhookTrigger | ScheduleTrigger | ManualTrigger,
    Field(discriminator="type"),
]
