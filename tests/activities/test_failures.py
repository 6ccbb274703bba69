"""Every error of the platform has its translation for Temporal."""

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from activities.failures import application_error, translated
from domain import errors
from domain.errors import RETRYABLE, ConnectorError, ErrorCode, Fault, StepwellError

FAULTS = [Fault(path="/who", reason="is missing")]
SOON = timedelta(seconds=7)

FINAL: list[StepwellError] = [
    StepwellError("it failed"),
    errors.DefinitionInvalid("the definition is invalid", FAULTS),
    errors.InputInvalid("the input is invalid", FAULTS),
    errors.ExpressionError("no such function"),
    errors.MissingPath("input.who"),
    errors.NotFound("process", "p"),
    errors.Conflict("it has ended"),
    errors.TooLarge("the input", size=2, limit=1, remedy="send less"),
    errors.Unauthenticated("who are you?"),
    errors.Forbidden("not you"),
]
PASSING: list[StepwellError] = [
    errors.Unavailable("the database cannot be reached", retry_after=SOON),
    errors.TooManyRequests("too often", retry_after=SOON),
]


def tree(root):
    """The class and all below it that ``domain/errors.py`` defines and that are raised as such."""
    yield root
    for below in root.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


def test_the_examples_here_are_the_whole_tree():
    public = {kind for kind in tree(StepwellError) if not kind.__name__.startswith("_")}
    assert {type(error) for error in FINAL + PASSING} | {ConnectorError} == public


@pytest.mark.parametrize("error", FINAL, ids=lambda error: error.code)
def test_what_no_further_try_can_mend_is_final(error):
    told = application_error(error)

    assert (told.type, told.message) == (error.code, str(error))
    assert (told.non_retryable, told.next_retry_delay) == (True, None)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: error.code)
def test_what_passes_is_tried_again_when_it_says(error):
    told = application_error(error)

    assert (told.type, told.message) == (error.code, str(error))
    assert (told.non_retryable, told.next_retry_delay) == (False, SOON)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_connectors_code_decides_whether_it_is_tried_again(code):
    told = application_error(ConnectorError(code, "no"))

    assert (told.type, told.message, told.details) == (code.value, "no", ({},))
    assert told.non_retryable is (code not in RETRYABLE)
    assert told.next_retry_delay is None


@pytest.mark.parametrize("retryable", [True, False])
@pytest.mark.parametrize("code", [ErrorCode.NOT_FOUND, ErrorCode.UPSTREAM_5XX])
def test_a_connector_that_knows_better_than_its_code_decides(code, retryable):
    error = ConnectorError(code, "no", retryable=retryable, retry_after=SOON, status=503, details={"host": "h"})
    told = application_error(error)

    assert told.non_retryable is not retryable
    assert told.next_retry_delay == SOON
    assert told.details == ({"status": 503, "host": "h"},)


@pytest.mark.parametrize("error", FINAL + PASSING, ids=lambda error: error.code)
def test_an_activity_raises_the_translation_and_nothing_of_the_cause(error):
    with pytest.raises(ApplicationError) as caught, translated("fake.read"):
        raise error

    assert caught.value.type == error.code
    assert caught.value.__cause__ is None


def test_an_unexpected_error_is_passing_and_named_by_its_kind_alone():
    with pytest.raises(ApplicationError) as caught, translated("fake.read"):
        raise KeyError("hunter2")

    told = caught.value
    assert (told.type, told.non_retryable) == ("INTERNAL_ERROR", False)
    assert told.message == "fake.read broke with KeyError; the worker's log has the details"
    assert "hunter2" not in f"{told!r} {told.details} {told.__cause__}"
