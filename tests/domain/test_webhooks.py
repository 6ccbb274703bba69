"""What webhook endpoints may say of themselves."""

from typing import get_args

import pytest
from pydantic import ValidationError

from domain.webhooks import CONFIGS, HmacConfig, NewEndpoint, Verifier, VerifierName, form_fields, is_allowed, path_of


def test_every_verifier_can_be_named_and_has_its_configuration():
    assert set(get_args(VerifierName)) == {str(each) for each in Verifier} == {str(each) for each in CONFIGS}


def test_the_address_of_an_endpoint():
    assert path_of("stripe") == "/api/automate/webhooks/stripe/"
    assert path_of("stripe", "0f") == "/api/automate/webhooks/stripe/0f/"


def test_headers_are_named_whatever_their_capitals():
    assert HmacConfig(header="X-Signature").header == "x-signature"


def test_what_is_signed_is_the_body_or_time_and_body_unless_it_says_otherwise():
    assert HmacConfig(header="X").template == "{body}"
    assert HmacConfig(header="X", timestamp_header="T").template == "{timestamp}.{body}"
    assert HmacConfig(header="X", signed="v1:{body}").template == "v1:{body}"


def test_an_endpoint_names_its_verifier():
    with pytest.raises(ValidationError, match="verifier"):
        NewEndpoint.model_validate({"source": "shop"})


def test_fields_of_a_form_keep_their_order_and_empty_ones_stay():
    assert form_fields(b"b=1&a=&b=%C3%A9+x") == [("b", "1"), ("a", ""), ("b", "é x")]


@pytest.mark.parametrize("body", [b"a=%FF", b"\xff=1", b"&".join([b"a=1"] * 1001)])
def test_what_is_no_form_in_utf_8_or_has_too_many_fields_is_refused(body):
    with pytest.raises(ValueError, match=r"codec|fields"):
        form_fields(body)


def test_no_address_is_allowed_by_an_empty_list():
    assert not is_allowed("203.0.113.7", [])
