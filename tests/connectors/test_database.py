"""``db.query`` reads, and does nothing else, on connections that the operator has listed."""

import psycopg
import pytest
from pydantic import ValidationError

from connectors.database import DatabaseConnector
from domain.actions import Catalogue, Effect
from domain.errors import ConnectorError, ErrorCode
from tests.connectors.fakes import CALL


@pytest.fixture(scope="module")
def crm(database_url):
    """A table of another application."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE crm_leads (id int PRIMARY KEY, name text, email text)")
        connection.execute(
            "INSERT INTO crm_leads SELECT n, 'lead ' || n, n || '%@x.com' FROM generate_series(1, 1500) n"
        )
        yield connection
        connection.execute("DROP TABLE crm_leads")


@pytest.fixture
def perform(crm, database_url):
    action = Catalogue([DatabaseConnector({"crm": database_url})])["db.query"]

    async def perform(query, connection="crm", **request):
        wanted = {"connection": connection, "query": query, **request}
        return await action.handler(action.input_model.model_validate(wanted), CALL)

    return perform


async def test_rows_come_back_by_column_name(perform):
    answer = await perform("SELECT id, name FROM crm_leads WHERE id = %(id)s", params={"id": 7})
    assert answer.model_dump() == {"rows": [{"id": 7, "name": "lead 7"}], "row_count": 1, "truncated": False}


async def test_values_are_bound_and_never_part_of_the_query(perform):
    hostile = "x'; DROP TABLE crm_leads; --"
    answer = await perform("SELECT id FROM crm_leads WHERE name = %(name)s", params={"name": hostile})
    assert answer.rows == []
    assert (await perform("SELECT count(*) AS n FROM crm_leads")).rows == [{"n": 1500}]


async def test_lists_and_objects_can_be_bound(perform):
    answer = await perform(
        "SELECT id, %(doc)s::jsonb ->> 'a' AS a FROM crm_leads"
        " WHERE id = ANY(%(ids)s) AND email LIKE '%%x.com' ORDER BY id",
        params={"ids": [3, 1], "doc": {"a": "b"}},
    )
    assert answer.rows == [{"id": 1, "a": "b"}, {"id": 3, "a": "b"}]


async def test_a_percent_sign_is_itself_where_nothing_is_bound(perform):
    assert (await perform("SELECT count(*) AS n FROM crm_leads WHERE email LIKE '1%@x.com'")).rows[0]["n"] > 0


async def test_every_type_becomes_json(perform):
    answer = await perform(
        """SELECT 1.10::numeric AS amount, 'NaN'::float8 AS nan,
           '\\x00ff'::bytea AS bytes, NULL AS nothing, true AS yes,
           '2026-01-02'::date AS day, '2026-01-02 03:04:05+02'::timestamptz AS at, '2 hours'::interval AS span,
           '00000000-0000-0000-0000-000000000001'::uuid AS id, '{"a": [1]}'::jsonb AS doc, ARRAY[1, 2] AS list,
           '10.0.0.0/8'::cidr AS net, int4range(1, 3) AS range, ARRAY['\\x01'::bytea] AS many"""
    )
    assert answer.rows == [
        {
            "amount": "1.10",
            "nan": "nan",
            "bytes": "AP8=",
            "nothing": None,
            "yes": True,
            "day": "2026-01-02",
            "at": "2026-01-02T01:04:05Z",
            "span": "PT2H",
            "id": "00000000-0000-0000-0000-000000000001",
            "doc": {"a": [1]},
            "list": [1, 2],
            "net": "10.0.0.0/8",
            "range": "[1, 3)",
            "many": ["AQ=="],
        }
    ]


async def test_rows_are_capped_and_the_answer_says_so(perform):
    answer = await perform("SELECT id FROM crm_leads ORDER BY id")
    assert (answer.row_count, len(answer.rows), answer.truncated) == (100, 100, True)
    answer = await perform("SELECT id FROM crm_leads ORDER BY id", max_rows=1000)
    assert (answer.row_count, answer.truncated) == (1000, True)
    answer = await perform("SELECT id FROM crm_leads LIMIT 100")
    assert (answer.row_count, answer.truncated) == (100, False)
    with pytest.raises(ValidationError):
        await perform("SELECT 1", max_rows=1001)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM crm_leads",
        "UPDATE crm_leads SET name = ''",
        "INSERT INTO crm_leads VALUES (0)",
        "DROP TABLE crm_leads",
        "WITH gone AS (DELETE FROM crm_leads RETURNING id) SELECT * FROM gone",
        "SELECT 1; DELETE FROM crm_leads",
        "SELECT 1; COMMIT; DELETE FROM crm_leads",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT id FROM crm_leads FOR UPDATE",
        "SELECT * INTO stolen FROM crm_leads",
        "COPY crm_leads TO PROGRAM 'cat'",
        "CALL anything()",
        "DO $$ BEGIN DELETE FROM crm_leads; END $$",
        "EXPLAIN ANALYZE DELETE FROM crm_leads",
        "SELECT lo_create(0)",
        "SELECT 1 --\n; DELETE FROM crm_leads",
        "",
    ],
)
async def test_whatever_is_not_one_reading_query_is_refused(perform, query):
    with pytest.raises(ConnectorError) as error:
        await perform(query)
    assert error.value.code in {ErrorCode.INVALID_INPUT, ErrorCode.FORBIDDEN}
    assert not error.value.retryable
    assert (await perform("SELECT count(*) AS n FROM crm_leads")).rows == [{"n": 1500}]


async def test_an_error_says_what_the_database_says(perform):
    with pytest.raises(ConnectorError, match='the query on crm was refused: column "nope" does not exist') as error:
        await perform("SELECT nope FROM crm_leads")
    assert error.value.details == {"connection": "crm", "sqlstate": "42703"}


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELECT %(a)s", {"b": 1}),
        ("SELECT %s", {"a": 1}),
        ("SELECT 100%", {"a": 1}),
        ("SELECT %(a)s::text", {"a": "\x00"}),
    ],
)
async def test_wrong_parameters_are_refused(perform, query, params):
    with pytest.raises(ConnectorError) as error:
        await perform(query, params=params)
    assert error.value.code is ErrorCode.INVALID_INPUT


async def test_two_columns_of_one_name_are_refused(perform):
    with pytest.raises(ConnectorError, match="two columns are named id"):
        await perform("SELECT a.id, b.id FROM crm_leads a JOIN crm_leads b USING (name)")


async def test_a_slow_query_is_stopped(perform, crm):
    with pytest.raises(ConnectorError) as error:
        await perform("SELECT pg_sleep(60)", timeout_seconds=0.2)
    assert (error.value.code, error.value.retryable) == (ErrorCode.TIMEOUT, True)


async def test_only_listed_connections_exist(perform):
    with pytest.raises(ConnectorError, match=r"no connection 'other' \(listed: crm\)") as error:
        await perform("SELECT 1", connection="other")
    assert error.value.code is ErrorCode.CONFIG_INVALID


async def test_a_database_that_is_away_is_a_passing_fault(unused_tcp_port):
    url = f"postgresql://jane:hush@127.0.0.1:{unused_tcp_port}/x"
    action = Catalogue([DatabaseConnector({"away": url})])["db.query"]
    with pytest.raises(ConnectorError) as error:
        await action.handler(action.input_model(connection="away", query="SELECT 1"), CALL)
    assert (error.value.code, error.value.retryable) == (ErrorCode.TRANSIENT_NETWORK, True)
    assert "hush" not in str(error.value)


def test_reading_may_be_repeated():
    assert Catalogue([DatabaseConnector({})])["db.query"].info.effect is Effect.READ
