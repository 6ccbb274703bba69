"""Every name that crosses a process boundary: ids, task queue, activities, signals, updates, queries.

The API and the control layer know workflows and activities by these names only.
"""

import re
from datetime import datetime
from typing import Final

TASK_QUEUE: Final = "stepwell"

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,63}$"
"""Process and step names. A process name is also its Temporal workflow type."""

TENANT_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Tenant ids: DNS-safe slugs."""

BUILTIN_TENANT: Final = ""
"""Owner of the built-in definitions, which every tenant sees."""

BEGIN_RUN: Final = "runs.begin"
LOAD_RUN: Final = "runs.load"
UPDATE_RUN: Final = "runs.update"
FINISH_RUN: Final = "runs.finish"

EFFECTS_OF_RUN: Final = "runs.effects"
PERFORM_SEGMENT: Final = "runs.segment"

RESOLVE_UPDATE: Final = "resolve"
"""Update: a person says how a parked step goes on."""

VIEW_QUERY: Final = "view"
"""Query: where the run is, as a ``RunView``."""

MEMO_RUN: Final = "stepwell"
"""Memo key under which a start carries its ``StartMemo``."""

SEARCH_TENANT: Final = "StepwellTenant"
SEARCH_TRIGGER: Final = "StepwellTrigger"
SEARCH_KEY: Final = "StepwellKey"
SEARCH_ATTRIBUTES: Final = (SEARCH_TENANT, SEARCH_TRIGGER, SEARCH_KEY)
"""Keyword search attributes that the Temporal namespace must have."""

CHANNEL_RUN_PENDING: Final = "stepwell_run_pending"
"""Postgres NOTIFY channel: a run was accepted (payload: the task queue)."""

CHANNEL_RUN_ENDED: Final = "stepwell_run_ended"
"""Postgres NOTIFY channel: a run ended (payload: the run's id)."""

CHANNEL_SIGNAL: Final = "stepwell_signal"
"""Postgres NOTIFY channel: an event has a signal for a run."""

DELIVERY: Final = "stepwell_delivery"
"""Field of the second argument of a signal that an event sends: which delivery it is, so that it counts once."""

CHANNEL_SCHEDULES: Final = "stepwell_schedules"
"""Postgres NOTIFY channel: schedules, or the processes or tenants that they are of, have changed."""

_NAME = re.compile(NAME_PATTERN)


def is_name(value: str) -> bool:
    """Whether ``value`` may name a process or a step."""
    return _NAME.fullmatch(value) is not None


def workflow_id(process: str, tenant: str, run_id: int) -> str:
    """The Temporal workflow id of an accepted run: deterministic, so that a second start is refused."""
    return f"{process}:{tenant}:{run_id}"


def child_workflow_id(parent_workflow_id: str, path: str) -> str:
    """The workflow id of the child that the step at ``path`` starts; stable over retries and resets."""
    return f"{parent_workflow_id}/{path}"


def run_key(run_id: int, accepted_at: datetime) -> str:
    """What tells a run from all others, also from one of the same id in a database that was restored or made anew."""
    return f"run-{run_id}-{int(accepted_at.timestamp() * 1000):x}"


def effect_key(key: str, path: str) -> str:
    """The key under which the ledger knows the effect of the step at ``path``; also the provider's idempotency key.

    ``key`` is the run's, see ``run_key``.
    """
    return f"{key}/{path}"


def schedules_of(installation: str) -> str:
    """How the ids of the Temporal schedules of one database begin; those of others are none of its business."""
    return f"stepwell:{installation}:"


def schedule_id(installation: str, tenant: str, trigger_id: int) -> str:
    """The id of the Temporal schedule of a trigger for a tenant."""
    return f"{schedules_of(installation)}{tenant}:{trigger_id}"


def scheduled_workflow_id(process: str, tenant: str, trigger_id: int, installation: str) -> str:
    """How the workflow ids of scheduled runs begin; Temporal adds the time that each was due."""
    return f"{process}:{tenant}:schedule-{trigger_id}-{installation}"
