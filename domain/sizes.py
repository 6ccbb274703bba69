"""How large a value may be that is sent to an action or a child run.

Temporal refuses what is over 2 MiB, and a workflow task that brings it again and again would never end.
"""

from typing import Any

from pydantic_core import to_json

from domain.errors import TooLarge

MAX_INPUT_BYTES = 1_000_000
"""Largest input of an action or a child run, and largest output of a transform, as JSON."""

MAX_SEGMENT_BYTES = 500_000
"""Once its outputs are larger together, no further step of a segment begins: they travel as one value."""


def require_size(value: Any, what: str) -> None:
    """Raise ``TooLarge`` when ``value`` is too large to be sent or kept: ``what`` says whose input or output it is."""
    size = len(to_json(value))
    if size > MAX_INPUT_BYTES:
        remedy = "pass on where the data is instead of the data"
        raise TooLarge(what, size=size, limit=MAX_INPUT_BYTES, remedy=remedy)
