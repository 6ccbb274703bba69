"""A changed row as an event."""

import json
import math
from decimal import Decimal
from typing import Any, Final

from pydantic_core import to_json

from domain.events import MAX_PAYLOAD_BYTES, EventKind, NewEvent
from store.tables import WatchRow
from store.watches import RowChange

_LONGEST_INTEGER: Final = 19  # digits of 64 bits; many readers of JSON know no more
_MAX_INTEGER: Final = 2**63 - 1


def row_event(watch: WatchRow, change: RowChange) -> NewEvent:
    """The event of a change: ``{model, table, signal, created, instance, previous, changed}``.

    An event over the size limit has ``{"omitted_bytes": n}`` in place of its largest values. Its key is the change's
    place in the outbox and its time: a database that was set back to a backup counts anew, and its changes are new.
    """
    old, new = _row(change.row_old), _row(change.row_new)
    signal = "post_delete" if change.operation == "delete" else "post_save"
    previous = old if change.operation == "update" else None
    instance = old if new is None else new
    payload = {
        "model": watch.model,
        "table": watch.table_name,
        "signal": signal,
        "created": change.operation == "insert",
        "instance": instance,
        "previous": previous,
        "changed": _changed(previous, instance or {}),
    }
    _fit(payload, [row for row in (instance, previous) if row])
    return NewEvent(
        kind=EventKind.ROW,
        source=f"watch:{watch.id}",
        type=f"{watch.model}.{signal}",
        key=f"{change.id}-{int(change.changed_at.timestamp() * 1_000_000):x}",
        subject=_line(change.subject),
        payload=payload,
        occurred_at=change.changed_at,
    )


def _row(document: str | None) -> dict[str, Any] | None:
    if document is None:
        return None
    row: dict[str, Any] = json.loads(document, parse_int=_integer, parse_float=_fraction)
    return row


def _integer(digits: str) -> int | str:
    """Integers of more than 64 bits stay exact as text."""
    if len(digits.lstrip("-")) > _LONGEST_INTEGER:
        return digits
    value = int(digits)
    return value if abs(value) <= _MAX_INTEGER else digits


def _fraction(digits: str) -> float | str:
    """Fractions that a double cannot hold stay exact as text, so that a change in the last digit is one."""
    value = float(digits)
    return value if math.isfinite(value) and Decimal(repr(value)) == Decimal(digits) else digits


def _changed(previous: dict[str, Any] | None, instance: dict[str, Any]) -> list[str]:
    if previous is None:
        return []
    return [name for name, value in instance.items() if name not in previous or previous[name] != value]


def _fit(payload: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    excess = len(to_json(payload)) - MAX_PAYLOAD_BYTES
    if excess <= 0:
        return
    sizes = [(len(to_json(value)), name, row) for row in rows for name, value in row.items()]
    for size, name, row in sorted(sizes, key=lambda each: each[0], reverse=True):
        note = {"omitted_bytes": size}
        row[name] = note
        excess -= size - len(to_json(note))
        if excess <= 0:
            return


def _line(subject: str | None) -> str | None:
    """A primary key on one line."""
    return None if subject is None else "".join(" " if _is_control(each) else each for each in subject)[:300] or None


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"
