"""The same processes written by hand on the Temporal SDK: a workflow in Python, every step a regular activity."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from benchmarks.by_hand_activities import (
        Lead,
        License,
        Onboarded,
        PostActivities,
        PostOrder,
        ServiceActivities,
        Subscribe,
        Ticket,
    )

BY_HAND = "bench-by-hand"
"""Task queue of the worker with the SDK's own sandbox."""

BY_HAND_UNSANDBOXED = "bench-by-hand-unsandboxed"

LIMIT = timedelta(seconds=60)


class OnboardingInput(BaseModel):
    """Whom to onboard."""

    lead_id: UUID


class PostsInput(BaseModel):
    """Where to post, and what first."""

    url: str
    value: int = 0


@workflow.defn
class Onboarding:
    """Six transactions, one after the other."""

    @workflow.run
    async def run(self, order: OnboardingInput) -> Onboarded:
        """Onboard the lead."""
        services = ServiceActivities
        customer = await workflow.execute_activity_method(
            services.create_customer, Lead(lead_id=order.lead_id), start_to_close_timeout=LIMIT
        )
        for plan in ("basic-plan", "annual-plan"):
            await workflow.execute_activity_method(
                services.create_subscription,
                Subscribe(customer_id=customer.customer_id, plan_id=plan),
                start_to_close_timeout=LIMIT,
            )
        for template in ("standard-license", "trial-license"):
            await workflow.execute_activity_method(
                services.issue_license,
                License(customer_id=customer.customer_id, license_template_id=template),
                start_to_close_timeout=LIMIT,
            )
        ticket = await workflow.execute_activity_method(
            services.create_ticket,
            Ticket(customer_id=customer.customer_id, description=f"Onboard {customer.name}"),
            start_to_close_timeout=LIMIT,
        )
        return Onboarded(customer_id=customer.customer_id, ticket_number=ticket.ticket_number)


@workflow.defn
class Posts:
    """Six POST requests, each sending what the one before got back."""

    @workflow.run
    async def run(self, order: PostsInput) -> int:
        """Post six times."""
        value = order.value
        for _ in range(6):
            value = await workflow.execute_activity_method(
                PostActivities.post, PostOrder(url=order.url, value=value), start_to_close_timeout=LIMIT
            )
        return value
