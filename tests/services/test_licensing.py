import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.errors import ConnectorError, ErrorCode
from services.licensing import LicenseService

ISSUE = "license_service.issue_license"

service = LicenseService()


async def refusal(books, **request) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await books.transact(service, ISSUE, **request)
    return caught.value


async def test_a_licence_has_the_terms_of_its_template(books):
    template = await books.license_template(validity_days=365, max_activations=5)
    customer = await books.customer()
    before = datetime.now(UTC)
    issued = await books.transact(
        service, ISSUE, customer_id=customer, license_template_id=template, tenant_id=books.tenant
    )
    assert (issued.status, issued.max_activations) == ("active", 5)
    assert before + timedelta(days=365, minutes=-1) < issued.expiry_date < before + timedelta(days=365, minutes=1)
    assert issued.expiry_date.utcoffset() == timedelta(0)
    [row] = await books.rows("SELECT id, customer_id, license_key FROM licenses")
    assert row == (issued.license_id, customer, issued.license_key)


async def test_a_template_without_validity_gives_a_licence_that_does_not_expire(books):
    template = await books.license_template(validity_days=None)
    issued = await books.transact(service, ISSUE, customer_id=await books.customer(), license_template_id=template)
    assert issued.expiry_date is None


async def test_keys_can_be_read_aloud_and_are_never_the_same(books):
    request = {"customer_id": await books.customer(), "license_template_id": await books.license_template()}
    issued = await asyncio.gather(*(books.transact(service, ISSUE, **request) for _ in range(20)))
    keys = {license_.license_key for license_ in issued}
    assert len(keys) == 20
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}", key) for key in keys)


async def test_what_is_missing_or_retired_is_named(books):
    customer, unknown = await books.customer(), uuid4()
    suspended = await books.customer(status="suspended")
    template, retired = await books.license_template(), await books.license_template("old", is_active=False)
    cases = [
        (unknown, template, ErrorCode.NOT_FOUND, f"there is no customer {unknown}"),
        (suspended, template, ErrorCode.INVALID_INPUT, "is suspended"),
        (customer, "nothing", ErrorCode.NOT_FOUND, "there is no license template 'nothing'"),
        (customer, retired, ErrorCode.INVALID_INPUT, "license template 'old' is retired"),
    ]
    for customer_id, template_id, code, words in cases:
        error = await refusal(books, customer_id=customer_id, license_template_id=template_id)
        assert (error.code, words in str(error)) == (code, True)


async def test_another_tenants_customer_and_template_do_not_exist(books, other_books):
    theirs = {
        "customer_id": await other_books.customer(),
        "license_template_id": await other_books.license_template("theirs"),
    }
    mine = {"customer_id": await books.customer(), "license_template_id": await books.license_template()}
    for name, value in theirs.items():
        assert (await refusal(books, **mine | {name: value})).code is ErrorCode.NOT_FOUND
    assert (await refusal(books, **mine, tenant_id=other_books.tenant)).code is ErrorCode.FORBIDDEN
