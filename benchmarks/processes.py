"""The processes that are measured, as definitions, and what is measured of them."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.by_hand import BY_HAND, BY_HAND_UNSANDBOXED
from domain import ids

TENANT = "tenant-1"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of running one process. ``by_hand``: on the Temporal SDK, without Stepwell."""

    key: str
    title: str
    process: str
    feed: Literal["lead", "url", "nothing"]
    task_queue: str = ids.TASK_QUEUE
    actions: int = 6
    """Steps of it that are actions."""

    @property
    def by_hand(self) -> bool:
        """Whether Stepwell is not in it."""
        return self.task_queue != ids.TASK_QUEUE


SCENARIOS = (
    Scenario("a", "by hand, six transactions", "Onboarding", "lead", BY_HAND),
    Scenario("a-free", "the same, unsandboxed", "Onboarding", "lead", BY_HAND_UNSANDBOXED),
    Scenario("b", "Stepwell, six transactions", "bench_onboarding", "lead"),
    Scenario("a2", "by hand, six POSTs", "Posts", "url", BY_HAND),
    Scenario("a2-free", "the same, unsandboxed", "Posts", "url", BY_HAND_UNSANDBOXED),
    Scenario("c", "Stepwell, six http.post", "bench_posts", "url"),
    Scenario("d", "Stepwell, forty tiny steps", "bench_tiny", "nothing", actions=20),
)


def onboarding() -> Document:
    """Six transactional steps of the business's own services."""
    customer = "{{steps.customer.output.customer_id}}"
    return _definition(
        "bench_onboarding",
        [
            _action("customer", "customer_service.create_from_lead", lead_id="{{input.lead_id}}"),
            _action("basic", "billing_service.create_subscription", customer_id=customer, plan_id="basic-plan"),
            _action("annual", "billing_service.create_subscription", customer_id=customer, plan_id="annual-plan"),
            _action(
                "standard",
                "license_service.issue_license",
                customer_id=customer,
                license_template_id="standard-license",
            ),
            _action(
                "trial", "license_service.issue_license", customer_id=customer, license_template_id="trial-license"
            ),
            _action(
                "ticket",
                "ticketing_service.create_ticket",
                customer_id=customer,
                title="New Customer Onboarding",
                description="Onboard {{steps.customer.output.name}}",
                priority="medium",
                assigned_team="customer_success",
            ),
        ],
        required=["lead_id"],
        properties={"lead_id": {"type": "string", "format": "uuid"}},
    )


def posts() -> Document:
    """Six POST requests, each sending what the one before got back."""
    values = ["{{input.value}}", *(f"{{{{steps.post_{n}.output.body.value}}}}" for n in range(1, 6))]
    return _definition(
        "bench_posts",
        [
            _action(f"post_{n}", "http.post", url="{{input.url}}", json={"value": value})
            for n, value in enumerate(values, 1)
        ],
        required=["url"],
        properties={"url": {"type": "string"}, "value": {"type": "integer", "default": 0}},
    )


def tiny(name: str = "bench_tiny", steps: int = 40, *, actions: bool = True, transforms: bool = True) -> Document:
    """Steps that do next to nothing: transforms that count, actions that write a line, by turns."""
    made: list[Document] = []
    last = "0"
    for n in range(1, steps + 1):
        if transforms and (n % 2 or not actions):
            made.append({"name": f"step_{n}", "type": "transform", "set": {"n": f"{{{{{last} + 1}}}}"}})
            last = f"steps.step_{n}.output.n"
        else:
            made.append(_action(f"step_{n}", "core.log", message=f"{{{{{last}}}}}", level="debug"))
    return _definition(name, made)


def loop(name: str) -> Document:
    """A transform for each item of a list."""
    inner = {"name": "double", "type": "transform", "set": "{{item * 2}}"}
    return _definition(name, [{"name": "each", "type": "foreach", "items": "{{input.items}}", "steps": [inner]}])


def waiting() -> Document:
    """A run that stays in the worker's memory until it gets a signal."""
    return _definition(
        "bench_waiting",
        [
            {"name": "before", "type": "transform", "set": {"n": 1}},
            {"name": "answer", "type": "wait_for_signal", "signal": "go"},
        ],
    )


def _definition(name: str, steps: list[Document], **schema: Any) -> Document:
    return {
        "name": name,
        "version": "1",
        "input": {"type": "object", **schema},
        "steps": steps,
        "output": {"done": True},
    }


def _action(name: str, action: str, **config: Any) -> Document:
    return {"name": name, "action": action, "config": config}
