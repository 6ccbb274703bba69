"""A process as data: the one model that every dialect of definitions is read into.

Bodies keep what the author wrote and no more: defaults are not filled in, so that the digest of a definition stays the
same when the language grows.
"""

import hashlib
import json
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from domain.fields import Name
from domain.steps import Part, Step
from domain.triggers import Trigger


class Definition(Part):
    """A process: what it takes, what starts it, what it does, what it gives."""

    name: Name
    """Its name is its Temporal workflow type."""
    title: str = Field(default="", max_length=200)
    description: str = ""
    version: str = Field(default="1.0.0", min_length=1, max_length=20)
    """For people. What a run is pinned to is the digest."""
    category: str | None = Field(default=None, max_length=64)
    tags: dict[str, Any] = Field(default_factory=dict)
    input: dict[str, Any] = Field(default_factory=dict)
    """JSON Schema 2020-12 of a run's input; its defaults are filled in."""
    triggers: list[Trigger] = Field(default_factory=list)
    steps: list[Step] = Field(min_length=1)
    output: Any = None
    """Template of the run's result; without it, the outputs of the top-level steps by their names."""
    on_cancel: Literal["compensate", "leave"] = "compensate"
    """Whether cancelling a run undoes the steps that it has completed."""

    @cached_property
    def body(self) -> dict[str, Any]:
        """This definition as JSON: what the author wrote, in this model's form. ``parse_definition`` reads it back."""
        return self.model_dump(mode="json", exclude_unset=True)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON of ``body``: the identity of this version."""
        canonical = json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def definition_schema() -> dict[str, Any]:
    """The JSON Schema 2020-12 of definitions, for editors and the dashboard (``definitions/schema.json``)."""
    schema = TypeAdapter(Definition).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
