"""Watches: what a watched table leaves in its outbox, and what can be watched by whom."""
# ruff: noqa: S608 - the names of tables are made up here

import json
from dataclasses import replace

import psycopg
import pytest
from pydantic_core import to_json

from domain.errors import Conflict, Forbidden, InputInvalid, NotFound, Unavailable
from domain.events import MAX_PAYLOAD_BYTES
from tests.control.conftest import make_tenant
from tests.triggers.watching import staged
from triggers.watches import Watches

ALL_TYPES = (
    "id int PRIMARY KEY, amount numeric(12,2), huge numeric, odd numeric, ratio float8, at timestamptz, on_day date,"
    " span interval, doc jsonb, tags text[], raw bytea, uid uuid, days daterange, flag boolean, nothing text"
)


@pytest.fixture(scope="module")
async def stage(postgres_url):
    async with staged(postgres_url) as stage:
        yield stage


@pytest.fixture
async def own_stage(postgres_url):
    """For tests that count all that there is."""
    async with staged(postgres_url) as stage:
        yield stage


async def test_an_insert_an_update_and_a_delete_are_an_event_each(stage):
    table = stage.table("id bigserial PRIMARY KEY, name text, at timestamptz DEFAULT '2026-01-02T03:04:05Z'")
    watch = await stage.watch(table, "auth.User")
    stage.sql(f"INSERT INTO {table} (name) VALUES ('Ada')")
    stage.sql(f"UPDATE {table} SET name = 'Ada L.'")
    stage.sql(f"DELETE FROM {table}")
    ada = {"id": 1, "name": "Ada", "at": "2026-01-02T03:04:05+00:00"}
    changed = {**ada, "name": "Ada L."}
    common = {"model": "auth.User", "table": f"public.{table}"}
    saved = {**common, "signal": "post_save"}
    assert await stage.payloads(watch) == [
        {**saved, "created": True, "instance": ada, "previous": None, "changed": []},
        {**saved, "created": False, "instance": changed, "previous": ada, "changed": ["name"]},
        {**common, "signal": "post_delete", "created": False, "instance": changed, "previous": None, "changed": []},
    ]
    events = await stage.events(watch)
    assert [event["type"] for event in events] == [
        "auth.User.post_save",
        "auth.User.post_save",
        "auth.User.post_delete",
    ]
    assert {(event["kind"], event["subject"], event["tenant_id"]) for event in events} == {("row", "1", stage.tenant)}


async def test_many_rows_of_one_statement_are_an_event_each(stage):
    table = stage.table()
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('a'), ('b'), ('c')", f"UPDATE {table} SET name = name || id")
    payloads = await stage.payloads(watch)
    assert [each["instance"]["name"] for each in payloads] == ["a", "b", "c", "a1", "b2", "c3"]
    assert [each["previous"]["name"] for each in payloads[3:]] == ["a", "b", "c"]


async def test_copied_rows_are_events(stage):
    table = stage.table()
    watch = await stage.watch(table)
    with psycopg.connect(stage.url) as session, session.cursor().copy(f"COPY {table} (name) FROM STDIN") as copy:
        for name in ("x", "y"):
            copy.write_row((name,))
    assert [each["instance"]["name"] for each in await stage.payloads(watch)] == ["x", "y"]


async def test_an_upsert_is_an_insert_or_an_update(stage):
    table = stage.table("id int PRIMARY KEY, name text")
    watch = await stage.watch(table)
    for name in ("first", "second"):
        upsert = "ON CONFLICT (id) DO UPDATE SET name = excluded.name"
        stage.sql(f"INSERT INTO {table} VALUES (1, '{name}') {upsert}")
    assert [(each["created"], each["changed"]) for each in await stage.payloads(watch)] == [
        (True, []),
        (False, ["name"]),
    ]


async def test_what_is_rolled_back_leaves_nothing(stage):
    table = stage.table()
    watch = await stage.watch(table)
    with psycopg.connect(stage.url) as session:
        session.execute(f"INSERT INTO {table} (name) VALUES ('kept')")
        session.execute("SAVEPOINT here")
        session.execute(f"INSERT INTO {table} (name) VALUES ('undone')")
        session.execute("ROLLBACK TO here")
        session.commit()
        session.execute(f"INSERT INTO {table} (name) VALUES ('undone too')")
        session.rollback()
    assert [each["instance"]["name"] for each in await stage.payloads(watch)] == ["kept"]


async def test_rows_keep_their_images_when_their_primary_keys_are_exchanged(stage):
    table = stage.table("id int PRIMARY KEY DEFERRABLE, name text")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES (1, 'one'), (2, 'two')", f"UPDATE {table} SET id = 3 - id")
    swapped = (await stage.payloads(watch))[2:]
    assert sorted((each["previous"]["id"], each["instance"]["id"], each["instance"]["name"]) for each in swapped) == [
        (1, 2, "one"),
        (2, 1, "two"),
    ]
    assert all(each["previous"]["name"] == each["instance"]["name"] for each in swapped)


async def test_a_table_without_a_primary_key_is_watched_too(stage):
    table = stage.table("name text")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES ('same'), ('same')", f"UPDATE {table} SET name = 'other'")
    assert [each["instance"] for each in await stage.payloads(watch)] == [{"name": "same"}] * 2 + [
        {"name": "other"}
    ] * 2
    assert {event["subject"] for event in await stage.events(watch)} == {None}


async def test_a_key_of_several_columns_is_one_subject(stage):
    table = stage.table("a int, b text, c int, PRIMARY KEY (b, a)")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES (1, 'x' || chr(10) || 'y', 2)")
    await stage.relayed()
    assert (await stage.events(watch))[0]["subject"] == "x y,1"


async def test_columns_that_come_or_go_later_are_in_the_events_from_then_on(stage):
    table = stage.table()
    watch = await stage.watch(table)
    with psycopg.connect(stage.url, autocommit=True) as session:  # one connection: its plans must follow
        session.execute(f"INSERT INTO {table} (name) VALUES ('a')")
        session.execute(f"ALTER TABLE {table} ADD nick text DEFAULT 'n'")
        session.execute(f"UPDATE {table} SET nick = 'm'")
        session.execute(f"ALTER TABLE {table} DROP name")
        session.execute(f"ALTER TABLE {table} ALTER nick DROP DEFAULT, ALTER nick TYPE int USING 7")
        session.execute(f"UPDATE {table} SET nick = 8")
    assert [each["instance"] for each in await stage.payloads(watch)] == [
        {"id": 1, "name": "a"},
        {"id": 1, "name": "a", "nick": "m"},
        {"id": 1, "nick": 8},
    ]


SECRETS = (
    "password", "user_password", "passwordHash", "passwd", "hashed_password", "secret", "client_secret", "token",
    "accessToken", "refresh_token", "api_key", "apikey", "apiKey", "private_key", "authorization", "salt", "pw_hash",
    "session_key", "user_pass", "otp", "credentials", "backup_codes",
)  # fmt: skip
PUBLIC = ("secretary", "passport", "compass", "keyboard", "hash", "license_key", "author", "pinned", "salted")


async def test_columns_named_like_secrets_and_those_asked_for_never_leave_the_table(stage):
    columns = ", ".join(f"\"{name}\" text DEFAULT 'hush-{name}'" for name in (*SECRETS, *PUBLIC))
    table = stage.table(f"id int PRIMARY KEY, diary text DEFAULT 'hush-diary', {columns}")
    watch = await stage.watch(table, exclude=["diary"])
    assert watch.left_out is not None
    assert set(watch.left_out) == {*SECRETS, "diary"}
    stage.sql(f"INSERT INTO {table} (id) VALUES (1)", f"UPDATE {table} SET password = 'hush-new'")
    stage.sql(f"ALTER TABLE {table} ADD webhook_secret text DEFAULT 'hush-later'", as_owner=True)
    stage.sql(f"UPDATE {table} SET id = 2")
    assert "hush-diary" not in str(stage.outbox_rows())
    payloads = await stage.payloads(watch)
    assert [set(each["instance"]) for each in payloads] == [{"id", *PUBLIC}] * 3
    assert payloads[1]["changed"] == []
    shown = json.dumps(payloads)
    assert not any(f'"hush-{name}"' in shown for name in (*SECRETS, "diary", "new", "later"))


async def test_a_secret_primary_key_is_no_subject(stage):
    table = stage.table("session_key text PRIMARY KEY, visits int")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES ('hush', 1)")
    assert [each["instance"] for each in await stage.payloads(watch)] == [{"visits": 1}]
    assert "hush" not in str(await stage.events(watch))


async def test_values_of_all_kinds_arrive_as_json_the_same_whatever_a_session_has_set(stage):
    table = stage.table(ALL_TYPES)
    watch = await stage.watch(table)
    values = (
        "12.50, 12345678901234567890123, 'NaN', '-Infinity', '2026-03-29T01:30:00+02', '2026-03-29', '1 day 2 hours',"
        " '{\"a\": [1, null]}', '{x,NULL}', '\\x00ff', '9f0a1c1e-0000-4000-8000-000000000001',"
        " '[2026-01-01,2026-02-01)', true, NULL"
    )
    strange = (
        "SET timezone = 'Asia/Tokyo'", "SET datestyle = 'SQL, DMY'", "SET intervalstyle = 'sql_standard'",
        "SET bytea_output = 'escape'", "SET extra_float_digits = -10", "SET search_path = nowhere, public",
    )  # fmt: skip
    stage.sql(f"INSERT INTO {table} VALUES (1, {values})")
    stage.sql(*strange, f"INSERT INTO {table} VALUES (2, {values})")
    first, second = (each["instance"] for each in await stage.payloads(watch))
    assert first == {
        "id": 1,
        "amount": 12.5,
        "huge": "12345678901234567890123",
        "odd": "NaN",
        "ratio": "-Infinity",
        "at": "2026-03-28T23:30:00+00:00",
        "on_day": "2026-03-29",
        "span": "P1DT2H",
        "doc": {"a": [1, None]},
        "tags": ["x", None],
        "raw": "\\x00ff",
        "uid": "9f0a1c1e-0000-4000-8000-000000000001",
        "days": "[2026-01-01,2026-02-01)",
        "flag": True,
        "nothing": None,
    }
    assert second == {**first, "id": 2}


async def test_a_value_too_large_for_an_event_is_left_out_and_said(stage):
    table = stage.table("id int PRIMARY KEY, big text, raw bytea, a text, b text, c text")
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} VALUES (1, repeat('x', 600000), convert_to(repeat('y', 150000000), 'UTF8'))")
    stage.sql(f"INSERT INTO {table} VALUES (2, repeat('é', 200000), '', repeat('a', 450000), repeat('b', 440000), 'c')")
    stage.sql(f"UPDATE {table} SET c = 'd' WHERE id = 2")
    first, second, third = await stage.payloads(watch)
    assert first["instance"] == {
        "id": 1, "big": {"omitted_bytes": 600000}, "raw": {"omitted_bytes": 300000000}, "a": None, "b": None, "c": None,
    }  # fmt: skip
    assert second["instance"]["a"] == {"omitted_bytes": 450002}
    assert second["instance"]["b"] == "b" * 440000
    assert (third["instance"]["c"], third["previous"]["c"], third["changed"]) == ("d", "c", ["c"])
    assert all(len(to_json(each)) <= MAX_PAYLOAD_BYTES for each in (first, second, third))


async def test_columns_may_have_any_name(stage):
    names = ("b", "n", "o", "r", "Straße", "select", 'quo"te', "per%cent", "a b", "watch_id", "row_new", "$1", "x'y")
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in names]
    table = stage.table(", ".join(f"{name} text" for name in quoted) + ', "Id" int PRIMARY KEY')
    watch = await stage.watch(table)
    with psycopg.connect(stage.url) as session:
        session.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(names))}, 1)", names)
        session.execute(f'UPDATE {table} SET b = 2, "Id" = 2')
        session.execute(f"DELETE FROM {table}")
    instances = [each["instance"] for each in await stage.payloads(watch)]
    assert instances[0] == {**dict(zip(names, names, strict=True)), "Id": 1}
    assert instances[1] == instances[2] == {**instances[0], "b": "2", "Id": 2}


async def test_a_partitioned_table_is_watched_with_all_its_partitions(stage):
    table = stage.table("id int, k int, password text, PRIMARY KEY (id, k)", more="PARTITION BY LIST (k)")
    stage.sql(f"CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES IN (1)", as_owner=True)
    watch = await stage.watch(table)
    stage.sql(f"CREATE TABLE {table}_2 PARTITION OF {table} FOR VALUES IN (2)", as_owner=True)
    stage.sql(f"INSERT INTO {table} VALUES (1, 1, 'hush'), (2, 2, 'hush')")
    stage.sql(
        f"INSERT INTO {table}_2 VALUES (3, 2, 'hush')", f"UPDATE {table}_2 SET id = 4 WHERE id = 3", as_owner=True
    )
    stage.sql(f"DELETE FROM {table} WHERE id = 1")
    payloads = await stage.payloads(watch)
    assert [(each["signal"], each["created"], each["instance"]) for each in payloads] == [
        ("post_save", True, {"id": 1, "k": 1}),
        ("post_save", True, {"id": 2, "k": 2}),
        ("post_save", True, {"id": 3, "k": 2}),
        ("post_save", False, {"id": 4, "k": 2}),
        ("post_delete", False, {"id": 1, "k": 1}),
    ]
    with pytest.raises(Conflict, match=f"is a partition of {table}"):
        await stage.watch(f"{table}_1")


async def test_of_inherited_tables_each_is_watched_by_itself(stage):
    parent = stage.table()
    child = stage.table("extra int", more=f"INHERITS ({parent})")
    watch = await stage.watch(child)
    stage.sql(f"INSERT INTO {child} (id, name) VALUES (5, 'c')", as_owner=True)
    stage.sql(f"INSERT INTO {parent} (id, name) VALUES (6, 'p')", f"UPDATE {parent} SET name = 'z'", as_owner=True)
    assert [each["instance"]["id"] for each in await stage.payloads(watch)] == [5, 5]


async def test_deletes_that_cascade_are_events(stage):
    parent = stage.table("id int PRIMARY KEY")
    child = stage.table(f"id int PRIMARY KEY, parent int REFERENCES {parent} ON DELETE CASCADE")
    watch = await stage.watch(child)
    stage.sql(
        f"INSERT INTO {parent} VALUES (1), (2)", f"INSERT INTO {child} VALUES (1, 1), (2, 1), (3, 2)", as_owner=True
    )
    stage.sql(f"DELETE FROM {parent}", as_owner=True)
    deleted = [each["instance"]["id"] for each in (await stage.payloads(watch))[3:]]
    assert sorted(deleted) == [1, 2, 3]


async def test_the_application_needs_no_rights_on_the_outbox_and_has_none(stage):
    table = stage.table()
    await stage.watch(table)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('x')")
    for statement in (
        "SELECT * FROM stepwell.row_changes",
        "DELETE FROM stepwell.row_changes",
        "INSERT INTO stepwell.row_changes (watch_id, operation) VALUES (1, 'insert')",
        "SELECT stepwell.left_out(0, '{}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stage.sql(statement)


async def test_the_sessions_of_a_tenant_see_the_changes_of_its_own_watches_only(stage):
    stranger = await make_tenant(stage.database)
    table = stage.table()
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('x')")
    with psycopg.connect(stage.url) as session:
        session.execute("SET ROLE stepwell_app")
        for tenant, count in ((stage.tenant, 1), (stranger, 0), ("*", 1), ("", 0)):
            session.execute("SELECT set_config('stepwell.tenant', %s, false)", (tenant,))
            query = "SELECT count(*) FROM stepwell.row_changes WHERE watch_id = %s"
            assert session.execute(query, (watch.id,)).fetchone() == (count,), tenant


async def test_watching_again_keeps_what_is_not_said_anew(own_stage):
    table = own_stage.table()
    await own_stage.watch(table, "app.Thing", exclude=["name"])
    again = await own_stage.watches.watch(own_stage.tenant, table)
    assert (again.model, list(again.exclude)) == ("app.Thing", ["name"])


async def test_watching_twice_is_watching_once_with_the_newer_options(own_stage):
    stage = own_stage
    table = stage.table("id int PRIMARY KEY, name text, nick text")
    first = await stage.watch(table, "a.B", exclude=["name"])
    again = await stage.watch(f"public.{table}", "a.C", exclude=["nick"])
    assert (again.id, again.model, again.exclude) == (first.id, "a.C", ("nick",))
    stage.sql(f"INSERT INTO {table} VALUES (1, 'n', 'm')")
    [payload] = await stage.payloads(again)
    assert (payload["model"], payload["instance"]) == ("a.C", {"id": 1, "name": "n"})
    assert len(await stage.watches.listing(stage.tenant)) == 1


async def test_without_a_model_the_events_are_called_by_the_table(stage):
    table = stage.table()
    watch = await stage.watch(table, None)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('x')")
    await stage.relayed()
    assert (await stage.events(watch))[0]["type"] == f"{table}.post_save"


async def test_a_table_with_capitals_is_found_with_and_without_quotes(stage):
    stage.sql('CREATE TABLE "MixedCase" (id int PRIMARY KEY)', as_owner=True)
    watch = await stage.watch("MixedCase")
    assert (await stage.watch('"MixedCase"')).id == watch.id
    assert await stage.watches.find(stage.tenant, "MixedCase") == watch.id
    stage.sql('INSERT INTO "MixedCase" VALUES (1)', as_owner=True)
    assert [each["instance"] for each in await stage.payloads(watch)] == [{"id": 1}]


async def test_what_does_not_exist_is_named_with_what_looks_alike(stage):
    stage.sql("CREATE TABLE invoices (id int PRIMARY KEY, title text)", as_owner=True)
    with pytest.raises(NotFound, match="did you mean invoices"):
        await stage.watch("invoice")
    with pytest.raises(NotFound, match="no table"):
        await stage.watch("a b; DROP TABLE invoices")
    with pytest.raises(NotFound, match="did you mean crm"):
        await stage.watch("invoices", connection="cmr")
    with pytest.raises(InputInvalid, match="no column 'titel'"):
        await stage.watch("invoices", exclude=["titel"])
    with pytest.raises(InputInvalid, match="no model's name"):
        await stage.watch("invoices", "not a model")
    assert "invoices" not in str(await stage.watches.listing(stage.tenant))


@pytest.mark.parametrize("table", ["events", "users", "customers", "tenants", "watches", "pg_catalog.pg_class"])
async def test_the_platforms_own_tables_cannot_be_watched(stage, table):
    with pytest.raises(Conflict, match=r"cannot be watched|no table of an application"):
        await stage.watch(table)


async def test_views_and_temporary_tables_are_refused_with_the_reason(stage):
    table = stage.table()
    stage.sql(f"CREATE VIEW {table}_v AS SELECT * FROM {table}", as_owner=True)
    with pytest.raises(Conflict, match="is a view"):
        await stage.watch(f"{table}_v")


async def test_the_table_of_one_tenant_is_not_watched_for_another(stage):
    table = stage.table()
    watch = await stage.watch(table)
    stranger = await make_tenant(stage.database)
    with pytest.raises(Conflict, match="another tenant"):
        await stage.watches.watch(stranger, table)
    with pytest.raises(NotFound):
        await stage.watches.unwatch(stranger, watch.id)
    assert await stage.watches.listing(stranger) == []


async def test_a_role_that_may_not_is_told_what_it_needs(stage, postgres_url):
    table = stage.table(connection="crm")
    as_application = stage.other_url.replace("postgres@", f"{stage.role}@")
    watches = Watches(stage.database, {"crm": as_application}, stage.relay)
    with pytest.raises(Forbidden, match="must own each table"):
        await watches.watch(stage.tenant, table, connection="crm")
    assert table not in str(await stage.watches.listing(stage.tenant))


async def test_a_database_that_cannot_be_reached_is_a_state_of_its_watches(own_stage):
    stage = own_stage
    table = stage.table(connection="crm")
    watch = await stage.watch(table, connection="crm")
    nowhere = Watches(stage.database, {"crm": "postgresql://nobody@127.0.0.1:1/x"}, stage.relay)
    unlisted = Watches(stage.database, {}, stage.relay)
    for watches, state, error in ((nowhere, "unreachable", Unavailable), (unlisted, "unlisted", NotFound)):
        [shown] = await watches.listing(stage.tenant)
        assert (shown.state, shown.waiting) == (state, None)
        assert shown.reason
        with pytest.raises(error):
            await watches.unwatch(stage.tenant, watch.id)
    assert await unlisted.unwatch(stage.tenant, watch.id, discard=True) == 0
    assert await stage.watches.listing(stage.tenant) == []


async def test_two_installations_do_not_share_a_database(own_stage, postgres_url):
    table = own_stage.table(connection="crm")
    watch = await own_stage.watch(table, connection="crm")
    async with staged(postgres_url) as second:
        intruder = replace(second, other_url=own_stage.other_url)
        other = own_stage.table(connection="crm")
        # Its first watch would have the number of the first one's.
        with pytest.raises(Conflict, match="another installation"):
            await intruder.watch(other, connection="crm")
    assert [each.id for each in await own_stage.watches.listing(own_stage.tenant)] == [watch.id]


async def test_the_list_tells_what_waits_and_whether_the_triggers_are_there(own_stage):
    stage = own_stage
    table, gone = stage.table(), stage.table()
    await stage.watch(table, exclude=["name"])
    await stage.watch(gone)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('a'), ('b')")
    stage.sql(f"DROP TABLE {gone}", as_owner=True)
    first, second = await stage.watches.listing(stage.tenant)
    assert (first.state, first.waiting, first.left_out) == ("installed", 2, ("name",))
    assert first.waiting_since is not None
    assert (second.state, second.waiting) == ("missing", 0)
    stage.sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL", as_owner=True)
    assert (await stage.watches.listing(stage.tenant))[0].state == "disabled"
    stage.sql(f"ALTER TABLE {table} ENABLE TRIGGER ALL", f"DROP TRIGGER stepwell_watch_{first.id}_update ON {table}",
              as_owner=True)  # fmt: skip
    assert (await stage.watches.listing(stage.tenant))[0].state == "missing"
    assert (await stage.watch(table)).state == "installed"
    assert await stage.watches.unwatch(stage.tenant, second.id) == 0


@pytest.mark.parametrize("connection", ["", "crm"])
async def test_the_last_unwatch_relays_what_waits_and_leaves_nothing_behind(own_stage, connection):
    stage = own_stage
    tables = [stage.table(connection=connection) for _ in range(2)]
    watches = [await stage.watch(table, connection=connection) for table in tables]
    for table in tables:
        stage.sql(f"INSERT INTO {table} (name) SELECT 'x' FROM generate_series(1, 3)", connection=connection)
    there = "SELECT to_regnamespace('stepwell') IS NOT NULL AS there"
    assert await stage.watches.unwatch(stage.tenant, watches[0].id) == 3
    assert stage.sql(there, connection=connection) == [{"there": True}]
    assert await stage.watches.unwatch(stage.tenant, watches[1].id) == 3
    assert stage.sql(there, connection=connection) == [{"there": False}]
    stage.sql(f"INSERT INTO {tables[0]} (name) VALUES ('unseen')", connection=connection)
    assert [len(await stage.events(watch)) for watch in watches] == [3, 3]
    with pytest.raises(NotFound):
        await stage.watches.unwatch(stage.tenant, watches[0].id)
    assert (await stage.watch(tables[0], connection=connection)).state == "installed"


async def test_unwatch_may_throw_away_what_waits(own_stage):
    stage = own_stage
    table = stage.table()
    watch = await stage.watch(table)
    stage.sql(f"INSERT INTO {table} (name) VALUES ('x')")
    assert await stage.watches.unwatch(stage.tenant, watch.id, discard=True) == 0
    assert await stage.events(watch) == []


async def test_renamed_tables_stay_watched_and_can_be_unwatched(own_stage):
    stage = own_stage
    table = stage.table()
    watch = await stage.watch(table)
    stage.sql(f"ALTER TABLE {table} RENAME TO {table}_new", as_owner=True)
    stage.sql(f"INSERT INTO {table}_new (name) VALUES ('x')", as_owner=True)
    assert len(await stage.payloads(watch)) == 1
    assert await stage.watches.unwatch(stage.tenant, watch.id) == 0
    stage.sql(f"INSERT INTO {table}_new (name) VALUES ('y')", as_owner=True)


async def test_a_table_that_a_long_transaction_holds_is_told_and_left_as_it_was(stage):
    table = stage.table()
    with psycopg.connect(stage.url) as session:
        session.execute(f"INSERT INTO {table} (name) VALUES ('x')")
        with pytest.raises(Unavailable, match="a long transaction"):
            await stage.watch(table)
    assert table not in str(await stage.watches.listing(stage.tenant))
    assert (await stage.watch(table)).state == "installed"
