from services.billing import BillingService
from services.customers import CustomerService
from services.demo import DEMO_LEAD, load_demo
from services.licensing import LicenseService


async def test_the_demonstration_can_be_onboarded_and_loaded_again(books):
    await load_demo(books.database, books.tenant)
    customer = await books.transact(CustomerService(), "customer_service.create_from_lead", lead_id=DEMO_LEAD)
    assert customer.email.endswith("@example.com")
    who = {"customer_id": customer.customer_id}
    await books.transact(BillingService(), "billing_service.create_subscription", **who, plan_id="basic-plan")
    await books.transact(
        LicenseService(), "license_service.issue_license", **who, license_template_id="standard-license"
    )
    await load_demo(books.database, books.tenant)
    [lead] = await books.rows("SELECT status FROM leads WHERE id = :id", id=DEMO_LEAD)
    assert lead.status == "converted"


async def test_the_demonstration_stays_with_its_tenant(books, other_books):
    await load_demo(books.database, books.tenant)
    await load_demo(other_books.database, other_books.tenant)
    assert len(await books.rows("SELECT 1 FROM leads")) == 5
