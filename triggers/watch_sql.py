"""The SQL of watches: the schema ``stepwell`` of a watched database, and the triggers on its tables.

The functions run as their owner with a fixed ``search_path``, so that the application's roles need no rights on the
outbox, and have none. A statement of the application leaves one outbox row for each row that it changed, in its own
transaction, and one notification. Which columns are left out is decided each time a trigger fires.
"""

from typing import Final

from psycopg import sql

SCHEMA: Final = "stepwell"
OUTBOX: Final = sql.Identifier(SCHEMA, "row_changes")
CHANNEL: Final = "stepwell_row_change"
"""NOTIFY channel of new outbox rows."""

MAX_VALUE_BYTES: Final = 500_000
"""A larger value does not enter the outbox; ``{"omitted_bytes": n}`` stands in its place."""

PRIVATE_NAMES: Final = (
    *("%password%", "%passwd%", "%passphrase%", "%passcode%", "%token%", "%credential%", "%authorization%"),
    *("%_secret_%", "%_secrets_%", "%secret_", "%secrets_", "%secretkey%", "%_pwd_%", "%_salt_%", "%_jwt_%"),
    *("%_otp_%", "%_totp_%", "%_cvv_%", "%_cvc_%", "_pin_", "_pass_", "%user_pass_", "%pw_pass_", "%login_pass_"),
    *("%api_key%", "%apikey%", "%private_key%", "%privatekey%", "%access_key%", "%accesskey%", "%secret_key%"),
    *("%signing_key%", "%encryption_key%", "%session_key%", "%sessionkey%", "%auth_key%", "%master_key%"),
    *("%session_data%", "%recovery_code%", "%backup_code%"),
    *("%_pw_hash%", "%_pwd_hash%", "%pass_hash%", "%passhash%", "%_key_hash%", "%_pin_hash%"),
)
"""Columns of such names are left out unasked: forms of ``_`` + the name in snake_case + ``_``."""

_SETTINGS: Final = sql.SQL(
    " SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'"
    " SET intervalstyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1"
)
"""Values look the same whatever the application has set."""

SCHEMA_EXISTS: Final = sql.SQL("SELECT to_regnamespace({schema}) IS NOT NULL AS there").format(schema=SCHEMA)
OUTBOX_EXISTS: Final = sql.SQL("SELECT to_regclass('stepwell.row_changes') IS NOT NULL AS there")
LOCK: Final = sql.SQL("SELECT pg_advisory_xact_lock(7483920146)")
"""Those who install or remove at the same time wait for each other."""

CREATE_SCHEMA: Final = sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA))
CREATE_OUTBOX: Final = (
    sql.SQL(
        "CREATE TABLE IF NOT EXISTS {outbox} ("
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " watch_id bigint NOT NULL,"
        " operation text NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),"
        " subject text, row_old jsonb, row_new jsonb,"
        " changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " xact_id xid8 NOT NULL DEFAULT pg_current_xact_id(),"
        " retry_at timestamptz, reason text)"
        " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)"
    ).format(outbox=OUTBOX),
    sql.SQL("CREATE INDEX IF NOT EXISTS row_changes_watch_id_id ON {} (watch_id, id)").format(OUTBOX),
    sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(sql.Identifier(SCHEMA)),
    sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(OUTBOX),
    sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(OUTBOX),
)
"""Row-level security without a policy: a role that was granted the table by mistake sees nothing."""

LET_RELAY_IN: Final = tuple(
    sql.SQL(statement).format(schema=sql.Identifier(SCHEMA), outbox=OUTBOX)
    for statement in (
        "GRANT USAGE ON SCHEMA {schema} TO stepwell_app",
        "GRANT SELECT, UPDATE, DELETE ON {outbox} TO stepwell_app",
        "DROP POLICY IF EXISTS relay ON {outbox}",
        "CREATE POLICY relay ON {outbox} TO stepwell_app USING (watch_id IN (SELECT id FROM public.watches))",
    )
)
"""On the platform's own database: its role takes the rows of the tenant for which a session acts."""

LEFT_OUT: Final = sql.SQL(
    "CREATE OR REPLACE FUNCTION stepwell.left_out(relation oid, excluded text[]) RETURNS name[]"
    " LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$"
    " BEGIN RETURN (SELECT coalesce(array_agg(attname ORDER BY attnum), '{{}}') FROM pg_attribute"
    " WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND (attname = ANY(excluded)"
    " OR '_' || CASE WHEN attname::text = lower(attname) THEN attname::text"
    " ELSE lower(regexp_replace(attname, '([a-z0-9])([A-Z])', '\\1_\\2', 'g')) END || '_' LIKE ANY({private}))"
    "); END $function$"
).format(private=sql.Literal([name.replace("_", r"\_") for name in PRIVATE_NAMES]))

COLUMNS: Final = sql.SQL(
    "CREATE OR REPLACE FUNCTION stepwell.columns(relation oid, excluded name[], source text) RETURNS text"
    " LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$"
    " BEGIN RETURN (SELECT coalesce(string_agg(CASE WHEN a.attlen > 0"
    " THEN format('%1$s.%2$I', source, a.attname) ELSE format("
    "'CASE WHEN %3$s > {limit} THEN jsonb_build_object(''omitted_bytes'', %3$s) ELSE to_jsonb(%1$s.%2$I) END AS %2$I',"
    " source, a.attname, format(CASE coalesce(nullif(t.typbasetype, 0), t.oid)"
    " WHEN 'bytea'::regtype THEN '2 * octet_length(%1$s.%2$I::bytea)'"
    " WHEN 'text'::regtype THEN 'octet_length(%1$s.%2$I::text)'"
    " WHEN 'varchar'::regtype THEN 'octet_length(%1$s.%2$I::text)'"
    " ELSE 'pg_column_size(%1$s.%2$I)' END, source, a.attname)) END, ', ' ORDER BY a.attnum), '')"
    " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
    " WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL(excluded)"
    "); END $function$"
).format(limit=sql.Literal(MAX_VALUE_BYTES))
"""The columns that are kept, as a select list; values over the limit are measured, not read."""

SUBJECT: Final = sql.SQL(
    "CREATE OR REPLACE FUNCTION stepwell.subject(relation oid, excluded name[], source text) RETURNS text"
    " LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$"
    " BEGIN RETURN (SELECT coalesce((SELECT CASE WHEN bool_or(a.attname = ANY(excluded)) THEN 'NULL' ELSE"
    " 'left(concat_ws('','', ' || string_agg(format('%s.%I', source, a.attname), ', ' ORDER BY k.place) || '), 300)'"
    " END FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place), pg_attribute a"
    " WHERE i.indrelid = relation AND i.indisprimary AND a.attrelid = relation AND a.attnum = k.attnum), 'NULL')"
    "); END $function$"
)
"""The primary key as text; nothing if a part of it is left out, or there is none."""

# Aliases end with a space: no column is called so.
KEEP_STATEMENT: Final = sql.SQL(
    """
CREATE OR REPLACE FUNCTION stepwell.keep_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {settings} AS $function$
DECLARE
    excluded name[] := stepwell.left_out(TG_RELID, TG_ARGV[1]::text[]);
    enter text := 'INSERT INTO stepwell.row_changes (watch_id, operation, subject, row_old, row_new) SELECT $1, $2, ';
    kept bigint;
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        enter := enter || stepwell.subject(TG_RELID, excluded, 'n') || ', NULL, to_jsonb("after ") FROM new_rows n,'
            || ' LATERAL (SELECT ' || stepwell.columns(TG_RELID, excluded, 'n') || ') "after "';
    WHEN 'DELETE' THEN
        enter := enter || stepwell.subject(TG_RELID, excluded, 'o') || ', to_jsonb("before "), NULL FROM old_rows o,'
            || ' LATERAL (SELECT ' || stepwell.columns(TG_RELID, excluded, 'o') || ') "before "';
    WHEN 'UPDATE' THEN
        -- Postgres enters both images of a row at the same place of the two tables: the primary key may have changed.
        enter := enter || stepwell.subject(TG_RELID, excluded, 'n')
            || ', to_jsonb("before "), to_jsonb("after ")'
            || ' FROM (SELECT row_number() OVER () AS "place ", r.* FROM new_rows r) n'
            || ' JOIN (SELECT row_number() OVER () AS "place ", r.* FROM old_rows r) o'
            || ' USING ("place "),'
            || ' LATERAL (SELECT ' || stepwell.columns(TG_RELID, excluded, 'o') || ') "before ",'
            || ' LATERAL (SELECT ' || stepwell.columns(TG_RELID, excluded, 'n') || ') "after "'
            || ' ORDER BY "place "';
    END CASE;
    EXECUTE enter USING TG_ARGV[0]::bigint, lower(TG_OP);
    GET DIAGNOSTICS kept = ROW_COUNT;
    IF kept > 0 THEN
        PERFORM pg_notify({channel}, '');
    END IF;
    RETURN NULL;
END
$function$
"""
).format(settings=_SETTINGS, channel=sql.Literal(CHANNEL))
"""For ordinary tables: all rows of a statement at once."""

KEEP_ROW: Final = sql.SQL(
    """
CREATE OR REPLACE FUNCTION stepwell.keep_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {settings} AS $function$
DECLARE
    excluded name[] := stepwell.left_out(TG_RELID, TG_ARGV[1]::text[]);
    old_image text := CASE WHEN TG_OP = 'INSERT' THEN 'NULL' ELSE
        '(SELECT to_jsonb("row ") FROM (SELECT ' || stepwell.columns(TG_RELID, excluded, '($3)') || ') "row ")'
        END;
    new_image text := CASE WHEN TG_OP = 'DELETE' THEN 'NULL' ELSE
        '(SELECT to_jsonb("row ") FROM (SELECT ' || stepwell.columns(TG_RELID, excluded, '($4)') || ') "row ")'
        END;
    subject text := stepwell.subject(TG_RELID, excluded, CASE WHEN TG_OP = 'DELETE' THEN '($3)' ELSE '($4)' END);
BEGIN
    EXECUTE 'INSERT INTO stepwell.row_changes (watch_id, operation, subject, row_old, row_new) SELECT $1, $2, '
        || subject || ', ' || old_image || ', ' || new_image
        USING TG_ARGV[0]::bigint, lower(TG_OP), OLD, NEW;
    PERFORM pg_notify({channel}, '');
    RETURN NULL;
END
$function$
"""
).format(settings=_SETTINGS, channel=sql.Literal(CHANNEL))
"""For partitioned tables and inheritance, where Postgres allows no transition tables: row by row."""

HIDE_FUNCTIONS: Final = sql.SQL("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {} FROM PUBLIC").format(sql.Identifier(SCHEMA))

INSTALL: Final[tuple[sql.SQL | sql.Composed, ...]] = (
    *CREATE_OUTBOX,
    LEFT_OUT,
    COLUMNS,
    SUBJECT,
    KEEP_STATEMENT,
    KEEP_ROW,
    HIDE_FUNCTIONS,
)
"""What each watched database has, once. Safe to repeat; brings an older release's functions up to date."""

REMOVE: Final[tuple[sql.SQL | sql.Composed, ...]] = (
    sql.SQL("DROP TABLE IF EXISTS {}").format(OUTBOX),
    *(
        sql.SQL("DROP FUNCTION IF EXISTS {}").format(sql.SQL(signature))
        for signature in (
            "stepwell.keep_statement()",
            "stepwell.keep_row()",
            "stepwell.left_out(oid, text[])",
            "stepwell.columns(oid, name[], text)",
            "stepwell.subject(oid, name[], text)",
        )
    ),
)
"""Fails, and removes nothing, while any trigger still needs it."""

DROP_SCHEMA: Final = sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA))

_TRANSITIONS: Final = {
    "insert": sql.SQL("REFERENCING NEW TABLE AS new_rows"),
    "update": sql.SQL("REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    "delete": sql.SQL("REFERENCING OLD TABLE AS old_rows"),
}
OPERATIONS: Final = tuple(_TRANSITIONS)


def trigger_name(watch_id: int, operation: str) -> str:
    """The name of a watch's trigger for ``insert``, ``update`` or ``delete``."""
    return f"stepwell_watch_{watch_id}_{operation}"


def create_trigger(
    schema: str, table: str, watch_id: int, operation: str, excluded: str, *, by_row: bool
) -> sql.Composed:
    """The statement that installs or replaces one trigger. ``excluded``: an array of names, as Postgres writes it."""
    return sql.SQL(
        "CREATE OR REPLACE TRIGGER {name} AFTER {operation} ON {table} {transitions} FOR EACH {each}"
        " EXECUTE FUNCTION {function}({watch_id}, {excluded})"
    ).format(
        name=sql.Identifier(trigger_name(watch_id, operation)),
        operation=sql.SQL(operation),
        table=sql.Identifier(schema, table),
        transitions=sql.SQL("") if by_row else _TRANSITIONS[operation],
        each=sql.SQL("ROW" if by_row else "STATEMENT"),
        function=sql.Identifier(SCHEMA, "keep_row" if by_row else "keep_statement"),
        watch_id=sql.Literal(str(watch_id)),
        excluded=sql.Literal(excluded),
    )


def drop_trigger(schema: str, table: str, name: str) -> sql.Composed:
    """The statement that removes a trigger."""
    return sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), sql.Identifier(schema, table))


FIND_TABLE: Final = (
    "SELECT c.oid, n.nspname AS schema, c.relname AS name, format('%%I.%%I', n.nspname, c.relname) AS full_name,"
    " c.relkind AS kind, c.relpersistence AS persistence, c.relispartition AS is_partition,"
    " (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid LIMIT 1) AS parent,"
    " c.relkind = 'p' OR EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhparent, inhrelid)) AS by_row,"
    " EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND pg_get_expr(polqual, polrelid)"
    " LIKE '%%stepwell.tenant%%') AS is_platform,"
    " ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped"
    " ORDER BY attnum) AS columns"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%(name)s)"
)
FIND_EXACTLY: Final = (
    "SELECT format('%%I.%%I', n.nspname, c.relname) AS full_name FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE %(name)s::text IN (c.relname::text, n.nspname || '.' || c.relname)"
    " AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    " ORDER BY n.nspname = 'public' DESC, 1 LIMIT 1"
)
"""A name with capitals that was given without quotes."""
TABLE_NAMES: Final = (
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    " AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'stepwell')"
)
INSTALLED: Final = (
    "SELECT substring(t.tgname FROM '^stepwell_watch_([0-9]+)_')::bigint AS watch_id, t.tgname AS name,"
    " n.nspname AS schema, c.relname AS table, format('%I.%I', n.nspname, c.relname) AS full_name,"
    " t.tgenabled IN ('O', 'A') AS enabled"
    " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE t.tgname ~ '^stepwell_watch_[0-9]+_(insert|update|delete)$' AND NOT t.tgisinternal AND t.tgparentid = 0"
)
"""All triggers of watches in a database, by whom ever; those that partitions have from their table left out."""
LEFT_OUT_OF: Final = "SELECT stepwell.left_out(to_regclass(%(name)s), %(excluded)s::text[])::text[] AS columns"
WAITING: Final = (
    "SELECT watch_id, count(*) AS waiting, min(changed_at) AS since, count(reason) AS failing, max(reason) AS reason"
    " FROM stepwell.row_changes GROUP BY watch_id"
)
DISCARD: Final = "DELETE FROM stepwell.row_changes WHERE watch_id = %(watch_id)s"
