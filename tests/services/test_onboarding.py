"""The six steps of ``lead_to_customer_onboarding``, each fed with what the ones before it have answered, as JSON."""

from pydantic_core import to_json, to_jsonable_python

from services.billing import BillingService
from services.communications import CommunicationsService
from services.customers import CustomerService
from services.demo import load_demo
from services.deployment import DeploymentService
from services.licensing import LicenseService
from services.ticketing import TicketingService
from tests.services.fakes import FakeMailer


async def test_the_documents_request_goes_through_all_six_steps(books):
    await load_demo(books.database, books.tenant)
    context = {
        "lead_id": "550e8400-e29b-41d4-a716-446655440000",
        "tenant_id": books.tenant,
        "plan_id": "basic-plan",
        "license_template_id": "standard-license",
        "deployment_type": "manual",
    }
    tenant = {"tenant_id": context["tenant_id"]}

    async def transact(service, name, **request):
        return to_jsonable_python(await books.transact(service, name, **request))

    async def perform(service, name, **request):
        return to_jsonable_python(await books.perform(service, name, **request))

    customer = await transact(
        CustomerService(), "customer_service.create_from_lead", lead_id=context["lead_id"], **tenant
    )
    who = {"customer_id": customer["customer_id"]}
    subscription = await transact(
        BillingService(), "billing_service.create_subscription", **who, plan_id=context["plan_id"], **tenant
    )
    issued = await transact(
        LicenseService(),
        "license_service.issue_license",
        **who,
        license_template_id=context["license_template_id"],
        **tenant,
    )
    instance = await perform(
        DeploymentService(books.database, "stepwell.localhost"),
        "deployment_service.provision_tenant",
        **who,
        license_key=issued["license_key"],
        deployment_type=context["deployment_type"],
    )
    mailer = FakeMailer()
    sent = await perform(
        CommunicationsService(books.database, mailer),
        "communications_service.send_template_email",
        template="customer_welcome",
        recipient=customer["email"],
        variables={
            "customer_name": customer["name"],
            "tenant_url": instance["tenant_url"],
            "license_key": issued["license_key"],
        },
    )
    ticket = await transact(
        TicketingService(),
        "ticketing_service.create_ticket",
        title="New Customer Onboarding",
        description=f"Complete onboarding for {customer['name']}",
        **who,
        priority="medium",
        assigned_team="customer_success",
    )
    assert set(customer) >= {"customer_id", "name", "email", "customer_number"}
    assert set(subscription) >= {"subscription_id", "status", "next_billing_date"}
    assert set(issued) == {"license_key", "license_id", "status", "expiry_date", "max_activations"}
    assert set(instance) >= {"tenant_url", "instance_id", "status", "endpoints"}
    assert set(sent) >= {"message_id", "status"}
    assert set(ticket) >= {"ticket_id", "ticket_number", "status", "sla_due_date"}
    assert (subscription["status"], instance["status"], sent["status"]) == ("trialing", "pending_manual", "sent")
    assert instance["tenant_url"] in mailer.sent[0][1].text
    assert to_json([customer, subscription, issued, instance, sent, ticket])
