"""CloudEvents 1.0 as its bindings say: structured, binary, and what is wrong named by attribute."""

import base64
import json
from datetime import UTC, datetime

import pytest

from api.cloudevents import is_binary, read_binary, read_structured, trace_of
from api.errors import Refused
from domain.errors import InputInvalid

REQUIRED = {"specversion": "1.0", "id": "A-1", "source": "/shop", "type": "order.paid"}
HEADERS = {f"ce-{name}": value for name, value in REQUIRED.items()}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def structured(**more):
    return read_structured({**REQUIRED, **more}, trace_id="t")


def binary(body=b"", **more):
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
    return read_binary(raw, body, trace_id="t")


def paths(refused):
    return [fault.path for fault in refused.value.faults]


def test_the_attributes_of_a_structured_event_become_those_of_the_inbox():
    event = structured(
        subject="order/7",
        time="2026-04-05T19:31:00.25+02:00",
        dataschema="https://shop.example/paid.json",
        partitionkey="de",
        sequence=7,
        sampled=False,
        absent=None,
        data={"total": 5},
    )
    assert (event.key, event.source, event.type, event.subject) == ("A-1", "/shop", "order.paid", "order/7")
    assert event.occurred_at == datetime(2026, 4, 5, 17, 31, 0, 250_000, tzinfo=UTC)
    assert event.payload == {"total": 5}
    assert event.headers == {
        "ce_dataschema": "https://shop.example/paid.json",
        "ce_partitionkey": "de",
        "ce_sequence": "7",
        "ce_sampled": "false",
    }
    assert event.trace_id == "t"


@pytest.mark.parametrize(
    ("data", "content_type", "payload"),
    [
        ("I am text", None, "I am text"),
        ('{"not": "decoded again"}', "application/json", '{"not": "decoded again"}'),
        ("<much/>", "application/xml", "<much/>"),
        ([1, 2], None, [1, 2]),
        (None, None, None),
    ],
)
def test_data_is_taken_as_it_is(data, content_type, payload):
    assert structured(data=data, datacontenttype=content_type).payload == payload


@pytest.mark.parametrize(
    ("content", "content_type", "payload"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/vnd.shop+json; charset=utf-8", {"a": 1}),
        ("grün".encode(), "text/plain", "grün"),
        (b"<a/>", "application/soap+xml", "<a/>"),
        (b"\x00\x01", "application/octet-stream", {"data_base64": "AAE="}),
        (b"a\x00b", "text/plain", {"data_base64": "YQBi"}),
        (b"\xff", "text/plain", {"data_base64": "/w=="}),
        (b"", "text/plain", None),
    ],
)
def test_bytes_are_read_as_their_type_says_or_kept_in_base64(content, content_type, payload):
    encoded = base64.b64encode(content).decode()
    assert structured(data_base64=encoded, datacontenttype=content_type).payload == payload
    assert binary(content, content_type=content_type).payload == payload


def test_a_body_without_a_type_is_json():
    assert binary(b'{"a": 1}').payload == {"a": 1}
    with pytest.raises(Refused, match="not JSON"):
        binary(b"{")


@pytest.mark.parametrize(
    ("more", "path", "reason"),
    [
        ({"id": ""}, "/id", "not empty"),
        ({"id": 7}, "/id", "text"),
        ({"id": None}, "/id", "missing"),
        ({"id": "x" * 301}, "/id", "limit is 300"),
        ({"source": "a\nb"}, "/source", "control"),
        ({"source": "a\x85b"}, "/source", "control"),
        ({"type": ["a"]}, "/type", "text"),
        ({"specversion": "0.3"}, "/specversion", "0.3"),
        ({"specversion": None}, "/specversion", "missing"),
        ({"subject": ""}, "/subject", "not empty"),
        ({"time": "yesterday"}, "/time", "yesterday"),
        ({"time": "2026-02-30T00:00:00Z"}, "/time", "no such time"),
        ({"time": 5}, "/time", "timestamp"),
        ({"partitionKey": "de"}, "/partitionKey", "no name"),
        ({"a/b": "c"}, "/a~1b", "no name"),
        ({"nested": {"a": 1}}, "/nested", "whole number"),
        ({"ratio": 1.5}, "/ratio", "whole number"),
        ({"data_base64": "!"}, "/data_base64", "Base64"),
        ({"data_base64": "Zm9v", "data": 1}, "/data_base64", "both"),
        ({"data_base64": "ew==", "datacontenttype": "application/json"}, "/data_base64", "not JSON"),
    ],
)
def test_what_is_wrong_is_told_by_attribute(more, path, reason):
    with pytest.raises(InputInvalid, match="CloudEvent") as refused:
        structured(**more)
    assert paths(refused) == [path]
    assert reason in refused.value.faults[0].reason


def test_all_faults_are_told_at_once():
    with pytest.raises(InputInvalid) as refused:
        read_structured({"specversion": "1.0", "time": "x", "Bad": 1}, trace_id="t")
    assert paths(refused) == ["/id", "/source", "/type", "/time", "/Bad"]
    for nothing in ([], "x", None):
        with pytest.raises(InputInvalid, match="object"):
            read_structured(nothing, trace_id="t")


def test_the_headers_of_a_binary_event_are_its_attributes():
    event = binary(
        json.dumps({"total": 5}).encode(),
        content_type="application/json; charset=utf-8",
        ce_time="2026-04-05T17:31:00Z",
        ce_region="de",
        authorization="Bearer hush",
        x_other="y",
    )
    assert (event.key, event.source, event.type, event.payload) == ("A-1", "/shop", "order.paid", {"total": 5})
    assert event.occurred_at == datetime(2026, 4, 5, 17, 31, tzinfo=UTC)
    assert event.headers == {"ce_region": "de", "ce_datacontenttype": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41bc", "Abc"),
        ("100%25", "100%"),
        ("%2525", "%25"),
        ('"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
        ('"%20"', " "),
        ("grün", "grün"),
        ("50% off", "50% off"),
    ],
)
def test_header_values_are_unquoted_and_percent_decoded_once(value, text):
    assert binary(ce_subject=value).subject == text


@pytest.mark.parametrize("value", [b"%C0%A0", b"%ED%A0%80", b"%FF", b"\xff"])
def test_header_values_that_are_not_utf8_are_refused(value):
    with pytest.raises(InputInvalid) as refused:
        binary(ce_note=value)
    assert paths(refused) == ["/header/ce-note"]


def test_a_control_character_in_percent_encoding_does_not_get_in():
    with pytest.raises(InputInvalid) as refused:
        binary(ce_subject="a%00b", ce_note="a%0Ab")
    assert paths(refused) == ["/header/ce-subject", "/header/ce-note"]


def test_faults_of_headers_name_the_header():
    with pytest.raises(InputInvalid) as refused:
        read_binary([(b"CE-ID", b"1"), (b"ce-id", b"2"), (b"ce-datacontenttype", b"a/b")], b"", trace_id="t")
    assert paths(refused) == [
        "/header/ce-id",
        "/header/ce-datacontenttype",
        "/header/ce-source",
        "/header/ce-specversion",
        "/header/ce-type",
    ]


def test_a_request_is_a_binary_event_when_it_has_a_required_attribute():
    assert is_binary([(b"Ce-Id", b"1")])
    assert not is_binary([(b"content-type", b"application/json"), (b"ce-note", b"1")])


def test_the_trace_of_the_sender_goes_on():
    assert structured(traceparent=TRACEPARENT).trace_id == TRACE
    assert binary(ce_traceparent=TRACEPARENT).trace_id == TRACE
    assert structured(traceparent="nonsense").trace_id == "t"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "x",
        TRACEPARENT.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7",
    ],
)
def test_what_is_no_traceparent_names_no_trace(value):
    assert trace_of(value) is None
