"""Which steps' outputs, and which fields of the input, a place in a definition can read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from domain.actions import ActionInfo
from domain.definition import Definition
from domain.paths import Path, path_text, result_step
from domain.steps import ActionStep, Step

_RUN_FIELDS: Final = frozenset({"id", "tenant", "process", "version", "workflow_id", "started_at"})


@dataclass(slots=True)
class Frame:
    """The steps that have run at a place, innermost block first."""

    outer: "Frame | None" = None
    has_item: bool = False
    names: dict[str, Step] = field(default_factory=dict)

    def find(self, name: str) -> Step | None:
        """The step of that name, if it has run before."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names[name]
            frame = frame.outer
        return None

    def inner(self, *, has_item: bool = False) -> "Frame":
        """A frame for a block inside."""
        return Frame(self, has_item or self.has_item)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a path can never be read at a place, and what to do."""

    reason: str
    remedy: str


class Readable:
    """What the expressions of one definition may name. Complains only of what is certainly wrong."""

    def __init__(self, definition: Definition, actions: Mapping[str, ActionInfo]) -> None:
        self._definition = definition
        self._actions = actions
        self._order = [step.name for step in definition.steps]
        self._homes: dict[str, str] = {}
        self._note_homes(definition.steps, "")
        properties = definition.input.get("properties")
        self._fields: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self._closed = _is_closed(definition.input)

    def _note_homes(self, steps: Iterable[Step], foreach: str) -> None:
        for step in steps:
            self._homes.setdefault(step.name, foreach)
            for _, inner in step.blocks():
                self._note_homes(inner, step.name if step.type == "foreach" else foreach)

    def complaint(self, path: Path, frame: Frame) -> Complaint | None:
        """What is wrong with reading ``path`` where ``frame`` has run."""
        root, rest = str(path[0]), path[1:]
        match root:
            case "input" | "inputs":
                return self._of_input(path, rest)
            case "steps" if rest:
                return self._of_step(path, str(rest[0]), rest[1:], frame)
            case "step" if rest:
                return self._of_number(path, rest, frame)
            case "context" if rest:
                return self._of_context(path, rest, frame)
            case "item" | "index" if not frame.has_item:
                return Complaint(
                    f"{root} is known inside a foreach, a map or a filter only", "read something else here"
                )
            case "run" if rest and rest[0] not in _RUN_FIELDS:
                return Complaint(f"a run has no {rest[0]}", _known(str(rest[0]), _RUN_FIELDS))
            case _:
                return self._of_result(root, rest, frame) or self._of_bare(root, frame)

    def trigger_complaint(self, path: Path) -> Complaint | None:
        """What is wrong with reading ``path`` before there is a run."""
        if path[0] in {"steps", "step", "item", "index", "run"} or self._names_result(str(path[0])):
            return Complaint(f"{path_text(path)} is not there before a run", "read the event: event.payload.…")
        return None

    def _names_result(self, root: str) -> bool:
        return (result_step(root) or "") in self._homes

    def _of_input(self, path: Path, rest: Path) -> Complaint | None:
        schema: Any = self._definition.input
        for position, part in enumerate(rest):
            if not isinstance(schema, dict):
                return None
            properties = schema.get("properties")
            known = properties if isinstance(properties, dict) else {}
            if str(part) in known:
                schema = known[str(part)]
                continue
            holder = path_text(path[: len(path) - len(rest) + position])
            if _is_closed(schema):
                return Complaint(f"{holder} has no field {part}", _known(str(part), known))
            if schema.get("type") in {"string", "integer", "number", "boolean", "null"}:
                return Complaint(f"{holder} is of the type {schema['type']}, it has no {part}", f"read {holder}")
            return None
        return None

    def _of_number(self, path: Path, rest: Path, frame: Frame) -> Complaint | None:
        part = str(rest[0])
        if not part.isdecimal():
            return self._of_step(path, part, rest[1:], frame)
        if not 1 <= int(part) <= len(self._order):
            return Complaint(f"there is no step number {part}", f"steps are counted from 1 to {len(self._order)}")
        return self._of_step(path, self._order[int(part) - 1], rest[1:], frame)

    def _of_context(self, path: Path, rest: Path, frame: Frame) -> Complaint | None:
        name = str(rest[0])
        step = name if name in self._homes else result_step(name) or name
        if name == "tenant_id":
            return None
        if name in self._fields:
            if frame.find(name):
                remedy = f"write input.{name} or steps.{name}.output"
                return Complaint(f"{path_text(path)} may mean the input's field or the step", remedy)
            return self._of_input(path, rest)
        if step in self._homes and (self._closed or frame.find(step)):
            return self._of_output(step, rest[1:], frame)
        if self._closed:
            return Complaint(f"neither input nor step is named {name}", _known(name, [*self._fields, *self._homes]))
        return None

    def _of_step(self, path: Path, name: str, rest: Path, frame: Frame) -> Complaint | None:
        if rest and rest[0] != "output" and name in self._homes:
            meant = path_text((path[0], path[1], "output", *rest))
            return Complaint(f"{path_text(path)} does not exist: a step has an output only", f"did you mean {meant}?")
        return self._of_output(name, rest[1:], frame)

    def _of_result(self, root: str, rest: Path, frame: Frame) -> Complaint | None:
        name = result_step(root)
        if name is None or root in self._fields:
            return None
        return self._of_output(name, rest, frame)

    def _of_bare(self, root: str, frame: Frame) -> Complaint | None:
        if not self._closed or self._definition.triggers or root in self._fields or root == "event":
            return None
        if result_step(root) is not None:
            return None
        if frame.find(root):
            return Complaint(f"the input has no field {root}", f"did you mean steps.{root}.output?")
        return Complaint(f"the input has no field {root}", _known(root, self._fields))

    def _of_output(self, name: str, fields: Path, frame: Frame) -> Complaint | None:
        step = frame.find(name)
        if step is not None:
            return self._of_field(step, fields)
        if name not in self._homes:
            return Complaint(f"there is no step {name}", _known(name, self._homes))
        if self._homes[name]:
            remedy = f"read steps.{self._homes[name]}.output, the list of what was collected"
            return Complaint(f"the step {name} runs once for each item of {self._homes[name]}", remedy)
        return Complaint(f"the step {name} has not run before", "move the step up, or read another one")

    def _of_field(self, step: Step, fields: Path) -> Complaint | None:
        """A field of an action's output that the action certainly never gives."""
        info = self._actions.get(step.action) if isinstance(step, ActionStep) else None
        if info is None or not fields or info.output_schema.get("type") != "object":
            return None
        known = info.output_schema.get("properties")
        if not isinstance(known, dict) or info.output_schema.get("additionalProperties", False) is not False:
            return None
        if str(fields[0]) in known:
            return None
        return Complaint(f"the output of {step.name} has no field {fields[0]}", _known(str(fields[0]), known))


def _is_closed(schema: Any) -> bool:
    """Whether an object's fields are all declared."""
    return (
        isinstance(schema, dict)
        and schema.get("additionalProperties") is False
        and not any(keyword in schema for keyword in ("patternProperties", "$ref", "allOf", "anyOf", "oneOf"))
    )


def _known(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    shown = ", ".join(names[:20])
    return f"known are {shown}" if shown else "there are none"
