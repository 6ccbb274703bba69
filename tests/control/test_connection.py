"""Payloads: those of the SDK's pydantic converter, made by converters that share their type adapters."""

from datetime import UTC, datetime

from temporalio.contrib.pydantic import pydantic_data_converter

from control.connection import DATA_CONVERTER, SharedPayloadConverter
from domain.messages import WaitingOn

WAIT = WaitingOn(step="answer", kind="signal", what="the signal go", since=datetime(2026, 1, 1, tzinfo=UTC))
VALUES = [None, b"bytes", {"n": 1, "list": [True, None, "ä"]}, WAIT]


def test_payloads_are_those_of_the_sdk():
    ours, theirs = DATA_CONVERTER.payload_converter, pydantic_data_converter.payload_converter
    payloads = ours.to_payloads(VALUES)
    assert payloads == theirs.to_payloads(VALUES)
    assert ours.from_payload(payloads[-1], WaitingOn) == WAIT


def test_the_converters_of_all_runs_share_their_type_adapters():
    one, other = SharedPayloadConverter(), SharedPayloadConverter()
    assert one.converters[b"json/plain"] is other.converters[b"json/plain"]
