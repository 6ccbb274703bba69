"""A secret reaches the connector and nobody else: not the outcome, an error, or the ledger."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from activities.secrets import MASK
from domain.errors import ConnectorError, ErrorCode
from domain.messages import OnUnknown, SecretName, SecretSlot
from tests.activities.conftest import KEY
from tests.activities.fakes import Killed

VALUE = 'pä ss/wö+rd&"42?~'
WHOLE = f"Bearer {VALUE}"
SLOT = SecretSlot(pointer=["token"], parts=["Bearer ", SecretName(secret="TOKEN")])

FORMS = [
    form
    for text in (VALUE, WHOLE)
    for form in (
        text,
        base64.b64encode(text.encode()).decode(),
        base64.urlsafe_b64encode(text.encode()).decode(),
        quote(text),
        quote(text, safe=""),
        quote_plus(text),
        json.dumps(text)[1:-1],
    )
]
ECHO = {"all": FORMS, "within": f"you sent <{WHOLE}>, did you?", WHOLE: [{"deep": VALUE}], "harmless": [1, None, "Ada"]}
KEEPING = ["fake.enrol", "fake.charge", "fake.order", "fake.create", "fake.send"]


@pytest.fixture(autouse=True)
def _secret(desk):
    desk.secrets = {"TOKEN": VALUE}


def shows_nothing(*shown):
    text = " ".join(f"{each} {each!r} {json.dumps(each, default=str, ensure_ascii=False)}" for each in shown)
    assert [form for form in FORMS if form.rstrip("=") in text] == []
    assert MASK in text


def refusal(**more):
    return ConnectorError(
        ErrorCode.AUTH_FAILED, f"refused: {', '.join(FORMS)}", details={"echo": [*FORMS], "sent": WHOLE}, **more
    )


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_the_connector_gets_the_value_and_its_echo_is_masked(desk, provider, action):
    provider.answer = ECHO

    outcome = await desk.perform(action, {"token": MASK}, secrets=[SLOT])

    assert provider.wishes[0].token == WHOLE
    shows_nothing(outcome.output)
    assert outcome.output["harmless"] == [1, None, "Ada"]
    if action in KEEPING:
        row = await desk.entry()
        assert row.outcome == outcome.output
        shows_nothing(row.model_dump())
        shows_nothing((await desk.perform(action, {"token": MASK}, secrets=[SLOT])).output)


async def test_the_whole_text_around_a_secret_is_masked_as_one(desk, provider):
    provider.answer = WHOLE

    assert (await desk.perform("fake.read", {"token": MASK}, secrets=[SLOT])).output == MASK


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_an_error_tells_no_secret(desk, provider, action):
    provider.refusals = [refusal(status=401)]

    error = await desk.refused(action, {"token": MASK}, secrets=[SLOT])

    assert error.type == "AUTH_FAILED"
    assert error.details[0]["status"] == 401
    assert error.__cause__ is None
    shows_nothing(error.message, error.details)


async def test_a_parked_effect_tells_no_secret(desk, provider):
    provider.losses = [refusal(ambiguous=True)]

    error = await desk.refused("fake.send", {"token": MASK}, secrets=[SLOT], on_unknown=OnUnknown.PARK)

    assert error.type == "OUTCOME_UNKNOWN"
    shows_nothing(error.message, error.details)


async def test_what_a_look_up_finds_and_why_it_fails_tells_no_secret(desk, provider):
    desk.deaths.points = ["before_call"]
    with pytest.raises(Killed):
        await desk.perform("fake.create", {"token": MASK}, secrets=[SLOT])
    provider.lookup_refusals = [refusal()]
    provider.found = {KEY: ECHO}

    error = await desk.refused("fake.create", {"token": MASK}, secrets=[SLOT])
    found = await desk.perform("fake.create", {"token": MASK}, secrets=[SLOT])

    shows_nothing(error.message, error.details)
    shows_nothing(found.output)
    shows_nothing((await desk.entry()).outcome)


async def test_a_model_that_quotes_what_it_refuses_tells_no_secret(desk):
    desk.secrets = {"TOKEN": "bad-hunter2"}
    slot = SecretSlot(pointer=["token"], parts=[SecretName(secret="TOKEN")])

    error = await desk.refused("fake.read", {"token": MASK}, secrets=[slot])

    assert error.type == "INVALID_INPUT"
    assert error.details[0]["faults"][0]["path"] == "/token"
    assert "hunter2" not in f"{error.message} {error.details}"


async def test_a_secret_that_is_not_set_is_named_and_nothing_is_called(desk, provider):
    slot = SecretSlot(pointer=["token"], parts=[SecretName(secret="ABSENT")])

    error = await desk.refused("fake.send", {"token": MASK}, secrets=[slot])

    assert (error.type, error.non_retryable) == ("CONFIG_INVALID", True)
    assert "stepwell secrets set ABSENT" in error.message
    assert provider.calls == []
    assert await desk.entry() is None


async def test_text_that_looks_like_a_secrets_place_is_only_text(desk, provider):
    await desk.perform("fake.read", {"to": "{{secrets.TOKEN}}", "token": MASK})

    assert (provider.wishes[0].to, provider.wishes[0].token) == ("{{secrets.TOKEN}}", MASK)
