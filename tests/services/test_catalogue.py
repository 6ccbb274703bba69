import pytest

from domain.actions import Catalogue, Effect
from services.billing import BillingService
from services.communications import CommunicationsService
from services.customers import CustomerService
from services.deployment import DeploymentService
from services.licensing import LicenseService
from services.ticketing import TicketingService
from tests.services.fakes import FakeMailer


@pytest.fixture
def infos(database):
    services = [
        CustomerService(),
        BillingService(),
        LicenseService(),
        DeploymentService(database, "stepwell.localhost"),
        CommunicationsService(database, FakeMailer()),
        TicketingService(),
    ]
    return Catalogue(services).infos()


def test_the_services_of_the_onboarding_have_the_documents_names_and_parameters(infos):
    required = {name: (info.effect, set(info.input_schema["required"])) for name, info in infos.items()}
    assert required == {
        "customer_service.create_from_lead": (Effect.TRANSACTIONAL, {"lead_id"}),
        "billing_service.create_subscription": (Effect.TRANSACTIONAL, {"customer_id", "plan_id"}),
        "license_service.issue_license": (Effect.TRANSACTIONAL, {"customer_id", "license_template_id"}),
        "deployment_service.provision_tenant": (Effect.KEYED, {"customer_id", "license_key", "deployment_type"}),
        "communications_service.send_template_email": (Effect.AT_MOST_ONCE, {"template", "recipient"}),
        "ticketing_service.create_ticket": (Effect.TRANSACTIONAL, {"title", "customer_id"}),
    }


def test_every_action_tells_what_it_is_for(infos):
    assert all(info.title and info.output_schema["properties"] for info in infos.values())
