"""What each effect class promises, whatever happens between two tries of one step."""

import asyncio

import pytest

from connectors.core import CoreConnector
from domain.errors import ConnectorError, ErrorCode
from domain.messages import OnUnknown, SecretName, SecretSlot
from store.tables import CustomerRow, LeadRow
from tests.activities.conftest import KEY, MAX_OUTPUT_BYTES, Desk, environment
from tests.activities.fakes import Killed

LARGE = "x" * (MAX_OUTPUT_BYTES + 1)
KEEPING = ["fake.enrol", "fake.charge", "fake.order", "fake.create", "fake.send"]
"""An action of each class whose outcome the ledger keeps."""


def refusal(code=ErrorCode.INVALID_INPUT, **more):
    return ConnectorError(code, "no", **more)


def ambiguous():
    return refusal(ErrorCode.TIMEOUT, ambiguous=True)


async def dies(desk, action, **options):
    with pytest.raises(Killed):
        await desk.perform(action, **options)


# Every class


@pytest.mark.parametrize("action", KEEPING)
@pytest.mark.parametrize("local", [True, False])
async def test_a_second_try_is_answered_from_the_ledger(desk, provider, action, local):
    first = await desk.perform(action, surroundings=environment(local=local))
    second = await desk.perform(action, surroundings=environment(local=not local, attempt=2))

    assert (first.replayed, second.replayed) == (False, True)
    assert second.output == first.output
    assert second.size == first.size > 0
    assert max(provider.times.values(), default=1) == 1
    assert len(await desk.names(LeadRow)) <= 1
    assert await desk.status() == "done"


@pytest.mark.parametrize("action", KEEPING)
async def test_a_worker_that_dies_between_ledger_and_report_has_done_it_once(desk, provider, action):
    desk.deaths.points = ["after_ledger"]
    await dies(desk, action)

    assert (await desk.perform(action)).replayed
    assert max(provider.times.values(), default=1) == 1
    assert len(await desk.names(LeadRow)) <= 1


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_other_keys_and_other_tenants_have_effects_of_their_own(desk, provider, action):
    await desk.perform(action)

    assert not (await desk.perform(action, key="run-2-abc/step")).replayed
    assert len(provider.calls) == 2


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_the_connector_is_told_for_whom_and_under_which_key(desk, provider, action):
    await desk.perform(action, surroundings=environment(local=False, attempt=3))

    (call,) = provider.calls
    assert (call.tenant, call.run_id, call.step, call.key) == (desk.tenant, 1, "step", KEY)
    assert (call.process, call.attempt) == ("p", 3)


async def test_an_action_can_report_progress_in_the_regular_lane_and_be_silent_in_the_fast_one(desk):
    beats = []
    for local in (True, False):
        surroundings = environment(local=local)
        surroundings.on_heartbeat = lambda *details: beats.append(details)
        await desk.perform("fake.build", key=f"run-1/{local}", surroundings=surroundings)

    assert beats == [("half",)]


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_an_unexpected_error_is_internal_and_keeps_its_text_to_itself(desk, provider, action):
    provider.refusals = [ZeroDivisionError("the password is hunter2")]

    error = await desk.refused(action)

    assert (error.type, error.non_retryable) == ("INTERNAL_ERROR", False)
    assert "ZeroDivisionError" in error.message
    assert "hunter2" not in f"{error!r} {error.details} {error.__cause__}"


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_an_input_that_does_not_fit_is_refused_by_pointers_without_its_values(desk, provider, action):
    error = await desk.refused(action, {"to": ["hunter2"], "amount": "hunter2"})

    assert (error.type, error.non_retryable) == ("INVALID_INPUT", True)
    assert {fault["path"] for fault in error.details[0]["faults"]} == {"/to", "/amount"}
    assert "/to: " in error.message
    assert "hunter2" not in f"{error.message} {error.details}"
    assert provider.calls == []
    assert await desk.entry() is None


async def test_an_action_that_is_not_offered_is_not_found_with_close_names(desk):
    error = await desk.refused("fake.raed")

    assert (error.type, error.non_retryable) == ("NOT_FOUND", True)
    assert "fake.read" in error.message


@pytest.mark.parametrize("action", ["fake.read", *KEEPING])
async def test_an_output_that_is_too_large_is_refused_with_size_limit_and_way_out(desk, provider, action):
    provider.answer = LARGE

    error = await desk.refused(action)

    assert (error.type, error.non_retryable) == ("OUTPUT_TOO_LARGE", True)
    assert error.details == ({"size": len(LARGE) + 2, "limit": MAX_OUTPUT_BYTES},)
    assert f"{len(LARGE) + 2} bytes, the limit is {MAX_OUTPUT_BYTES}" in error.message
    assert "ask for less" in error.message
    assert "STEPWELL_MAX_OUTPUT_BYTES" in error.message


@pytest.mark.parametrize("action", ["fake.charge", "fake.create", "fake.send"])
async def test_an_output_that_is_too_large_to_keep_does_not_make_the_effect_happen_again(desk, provider, action):
    provider.answer = LARGE
    await desk.refused(action)

    row = await desk.entry()
    assert (row.status, row.outcome) == ("done", None)
    await desk.perform(action)
    assert provider.effects == [KEY]


# READ


async def test_a_read_is_repeated_and_leaves_no_entry(desk, provider):
    outputs = [(await desk.perform("fake.read")).output for _ in range(3)]

    assert outputs == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert await desk.entry() is None


# TRANSACTIONAL


async def test_twenty_concurrent_tries_of_one_key_change_the_database_once(desk):
    outcomes = await asyncio.gather(*(desk.perform("fake.enrol", {"to": "Ada"}) for _ in range(20)))

    assert await desk.names(LeadRow) == ["Ada"]
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert {str(outcome.output) for outcome in outcomes} == {"{'enrolled': 'Ada'}"}


async def test_twenty_concurrent_tries_all_succeed_though_the_database_refuses_all_but_one(desk):
    outcomes = await asyncio.gather(*(desk.perform("fake.register", {"to": "Ada"}) for _ in range(20)))

    assert await desk.names(CustomerRow) == ["Ada"]
    assert [outcome.replayed for outcome in outcomes].count(False) == 1


async def test_a_change_and_its_entry_are_rolled_back_together(desk, provider):
    provider.losses = [refusal()]

    error = await desk.refused("fake.enrol")

    assert error.type == "INVALID_INPUT"
    assert await desk.names(LeadRow) == []
    assert await desk.entry() is None
    assert not (await desk.perform("fake.enrol")).replayed
    assert await desk.names(LeadRow) == ["Ada"]


@pytest.mark.parametrize("death", ["before_call", "after_call"])
async def test_a_worker_that_dies_within_the_transaction_has_done_nothing(desk, death):
    desk.deaths.points = [death]
    await dies(desk, "fake.enrol")

    assert (await desk.names(LeadRow), await desk.entry()) == ([], None)
    assert not (await desk.perform("fake.enrol")).replayed
    assert await desk.names(LeadRow) == ["Ada"]


async def test_a_change_whose_output_is_too_large_is_rolled_back(desk, provider):
    provider.answer = LARGE

    await desk.refused("fake.enrol")

    assert (await desk.names(LeadRow), await desk.entry()) == ([], None)


async def test_a_second_try_is_answered_though_the_service_would_refuse_it(desk, provider):
    first = await desk.perform("fake.enrol")
    provider.refusals = [refusal(ErrorCode.NOT_FOUND)]

    second = await desk.perform("fake.enrol")

    assert (second.replayed, second.output) == (True, first.output)
    assert len(provider.calls) == 2


async def test_a_second_try_is_answered_though_the_database_would_refuse_it(desk):
    first = await desk.perform("fake.register")

    second = await desk.perform("fake.register")

    assert (second.replayed, second.output) == (True, first.output)
    assert await desk.names(CustomerRow) == ["Ada"]


async def test_what_the_database_refuses_and_the_ledger_does_not_know_fails(desk):
    await desk.perform("fake.register")

    error = await desk.refused("fake.register", key="run-2-abc/step")

    assert error.type == "INTERNAL_ERROR"
    assert await desk.entry("run-2-abc/step") is None


# KEYED


async def test_each_try_gives_the_provider_the_same_key(desk, provider):
    provider.refusals = [refusal(ErrorCode.UPSTREAM_5XX), ambiguous()]
    desk.deaths.points = ["after_call"]

    await desk.refused("fake.charge")
    await desk.refused("fake.charge")
    await dies(desk, "fake.charge")
    await desk.perform("fake.charge")

    assert [call.key for call in provider.calls] == [KEY] * 4


async def test_within_the_lifetime_of_its_key_an_unknown_effect_is_tried_again(desk, provider):
    desk.deaths.points = ["after_call"]
    await dies(desk, "fake.order")
    await desk.age(23)

    await desk.perform("fake.order")

    assert provider.effects == [KEY, KEY]  # which the provider knows to be one, by its key
    assert provider.lookups == []


async def test_beyond_the_lifetime_of_its_key_an_effect_that_is_found_is_not_tried_again(desk, provider):
    desk.deaths.points = ["after_call"]
    await dies(desk, "fake.order")
    await desk.age(25)

    outcome = await desk.perform("fake.order")

    assert (outcome.output, provider.effects, provider.lookups) == ({"number": 1}, [KEY], [KEY])
    assert (await desk.perform("fake.order")).replayed


async def test_beyond_the_lifetime_of_its_key_an_effect_that_is_not_found_is_performed(desk, provider):
    desk.deaths.points = ["before_call"]
    await dies(desk, "fake.order")
    await desk.age(25)

    await desk.perform("fake.order")

    assert (provider.effects, provider.lookups) == ([KEY], [KEY])


async def test_beyond_the_lifetime_of_its_key_an_effect_that_nobody_can_look_up_is_parked(desk, provider):
    desk.deaths.points = ["after_call"]
    await dies(desk, "fake.rent")
    await desk.age(25)

    assert (await desk.refused("fake.rent")).type == "OUTCOME_UNKNOWN"
    assert provider.effects == [KEY]


# RECONCILABLE


@pytest.mark.parametrize(("death", "happened"), [("before_call", False), ("after_call", True)])
async def test_an_effect_that_may_have_happened_is_looked_up_before_it_is_tried_again(desk, provider, death, happened):
    desk.deaths.points = [death]
    await dies(desk, "fake.create")
    assert await desk.status() == "intent"

    outcome = await desk.perform("fake.create")

    assert provider.lookups == [KEY]
    assert provider.effects == [KEY]
    assert len(provider.calls) == 1
    assert outcome.output == {"number": 1}
    assert (await desk.perform("fake.create")).replayed
    assert provider.lookups == [KEY]
    assert await desk.status() == "done"


async def test_a_first_try_looks_nothing_up(desk, provider):
    await desk.perform("fake.create")

    assert provider.lookups == []


async def test_after_a_failure_an_effect_is_looked_up_too(desk, provider):
    provider.losses = [ambiguous()]

    assert (await desk.refused("fake.create")).type == "TIMEOUT"
    assert (await desk.perform("fake.create")).output == {"number": 1}
    assert provider.effects == [KEY]


async def test_when_the_look_up_fails_nothing_is_done(desk, provider):
    provider.losses = [ambiguous()]
    provider.lookup_refusals = [refusal(ErrorCode.UPSTREAM_5XX)]
    await desk.refused("fake.create")

    error = await desk.refused("fake.create")

    assert (error.type, error.non_retryable) == ("UPSTREAM_5XX", False)
    assert len(provider.calls) == 1


# AT_MOST_ONCE, and KEYED where the step asks for that much care

CAREFUL = [("fake.send", None), ("fake.send", OnUnknown.PARK), ("fake.charge", OnUnknown.PARK)]


@pytest.mark.parametrize(("action", "on_unknown"), CAREFUL)
@pytest.mark.parametrize("death", ["before_call", "after_call"])
async def test_an_effect_that_may_have_happened_is_never_tried_again_but_parked(
    desk, provider, action, on_unknown, death
):
    desk.deaths.points = [death]
    await dies(desk, action, on_unknown=on_unknown)

    for _ in range(2):
        error = await desk.refused(action, on_unknown=on_unknown)
        assert (error.type, error.non_retryable) == ("OUTCOME_UNKNOWN", True)
        assert "may have happened" in error.message
    assert len(provider.effects) <= 1
    assert len(provider.calls) == len(provider.effects)
    assert await desk.status() == "intent"


@pytest.mark.parametrize(("action", "on_unknown"), CAREFUL)
async def test_a_lost_answer_parks_at_once_and_says_what_is_known(desk, provider, action, on_unknown):
    provider.losses = [refusal(ErrorCode.TIMEOUT, ambiguous=True, details={"host": "mail.example.com"})]

    error = await desk.refused(action, on_unknown=on_unknown)

    assert (error.type, error.details) == ("OUTCOME_UNKNOWN", ({"host": "mail.example.com"},))
    assert (await desk.refused(action, on_unknown=on_unknown)).type == "OUTCOME_UNKNOWN"
    assert provider.effects == [KEY]


@pytest.mark.parametrize("action", ["fake.send", "fake.charge"])
async def test_an_effect_that_may_have_happened_is_skipped_if_the_step_says_so(desk, provider, action):
    provider.losses = [ambiguous()]

    for _ in range(2):
        outcome = await desk.perform(action, on_unknown=OnUnknown.SKIP)
        assert (outcome.skipped, outcome.output) == (True, None)
    assert provider.effects == [KEY]
    assert await desk.status() == "skipped"


async def test_an_effect_that_may_have_happened_is_tried_again_if_the_step_says_so(desk, provider):
    desk.deaths.points = ["after_call"]
    await dies(desk, "fake.send", on_unknown=OnUnknown.RETRY)
    provider.losses = [ambiguous()]

    assert (await desk.refused("fake.send", on_unknown=OnUnknown.RETRY)).type == "TIMEOUT"
    assert not (await desk.perform("fake.send", on_unknown=OnUnknown.RETRY)).replayed
    assert provider.effects == [KEY] * 3
    assert (await desk.perform("fake.send", on_unknown=OnUnknown.RETRY)).replayed


async def test_a_person_may_have_a_parked_effect_tried_again(desk, provider):
    provider.losses = [ambiguous()]
    await desk.refused("fake.send")

    outcome = await desk.perform("fake.send", on_unknown=OnUnknown.RETRY)

    assert outcome.output == {"number": 2}
    assert await desk.status() == "done"


@pytest.mark.parametrize(("action", "on_unknown"), CAREFUL)
async def test_what_surely_did_not_happen_may_be_tried_again(desk, provider, action, on_unknown):
    provider.refusals = [refusal(ErrorCode.RATE_LIMITED)]

    error = await desk.refused(action, on_unknown=on_unknown)
    assert (error.type, error.non_retryable) == ("RATE_LIMITED", False)
    assert await desk.status() == "failed"

    assert not (await desk.perform(action, on_unknown=on_unknown)).replayed
    assert provider.effects == [KEY]
    assert (await desk.entry()).attempts == 2


async def test_an_unexpected_error_leaves_the_doubt(desk, provider):
    provider.losses = [ZeroDivisionError()]

    assert (await desk.refused("fake.send")).type == "INTERNAL_ERROR"
    assert (await desk.refused("fake.send")).type == "OUTCOME_UNKNOWN"
    assert provider.effects == [KEY]


async def test_of_twenty_concurrent_tries_one_acts(desk, provider):
    outcomes = await asyncio.gather(*(desk.perform("fake.send") for _ in range(20)), return_exceptions=True)

    assert provider.effects == [KEY]
    assert all(getattr(outcome, "type", "OUTCOME_UNKNOWN") == "OUTCOME_UNKNOWN" for outcome in outcomes)
    assert (await desk.perform("fake.send")).replayed


async def test_what_people_read_takes_no_secret(database, tenant):
    desk = Desk(database, tenant, CoreConnector(), secrets={"HOOK": "supersecret"})
    slot = SecretSlot(pointer=["message"], parts=["tok ", SecretName(secret="HOOK")])
    error = await desk.refused("core.log", {"message": "tok [secret]"}, secrets=[slot])
    assert error.type == "INVALID_INPUT"
    assert "takes no secrets" in error.message
