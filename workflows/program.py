"""A definition made ready to run: templates and conditions parsed once per version, not once per run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from domain.definition import Definition
from domain.dialects import parse_definition
from domain.rules import Condition, parse_condition
from domain.steps import (
    ActionStep,
    BranchStep,
    ForeachStep,
    ProcessStep,
    Step,
    StopStep,
    TransformStep,
    WaitForSignalStep,
    WaitStep,
)
from domain.templates import Template, parse_template


@dataclass(frozen=True, slots=True)
class Node:
    """A step with its parsed parts."""

    step: Step
    when: Condition | None = None
    condition: Condition | None = None
    """Of a branch (``on``) or a filter."""
    templates: Mapping[str, Template] = field(default_factory=dict)
    undo: Template | None = None
    blocks: Mapping[str, tuple["Node", ...]] = field(default_factory=dict)
    """The lists of steps inside it, by branch; ``""`` is the only one of a foreach."""
    default: tuple["Node", ...] | None = None

    def branch(self, name: str) -> tuple["Node", ...] | None:
        """The steps of the branch ``name``, or of the default. None: there is neither."""
        return self.blocks.get(name, self.default)


@dataclass(frozen=True, slots=True)
class Program:
    """A definition, ready to run."""

    definition: Definition
    nodes: tuple[Node, ...]
    output: Template | None
    order: tuple[str, ...]
    """Names of the top-level steps: what ``step.<n>`` counts."""


class _Pinned:
    """A definition's body that is as good as its digest: cached programs are found by it."""

    def __init__(self, digest: str, body: Mapping[str, Any]) -> None:
        self.digest = digest
        self.body = body

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pinned) and other.digest == self.digest


def program(digest: str, body: Mapping[str, Any]) -> Program:
    """The program of the version ``digest``, whose document is ``body``."""
    return _compile(_Pinned(digest, body))


@lru_cache(maxsize=256)
def _compile(pinned: _Pinned) -> Program:
    definition = parse_definition(dict(pinned.body))
    return Program(
        definition=definition,
        nodes=_block(definition.steps),
        output=None if definition.output is None else parse_template(definition.output),
        order=tuple(step.name for step in definition.steps),
    )


def _block(steps: list[Step]) -> tuple[Node, ...]:
    return tuple(_node(step) for step in steps)


def _node(step: Step) -> Node:
    blocks = {str(place[-1]) if place[0] == "branches" else "": _block(inner) for place, inner in step.blocks()}
    default = blocks.pop("") if isinstance(step, BranchStep) and step.default is not None else None
    return Node(
        step=step,
        when=None if step.when is None else parse_condition(step.when),
        condition=_condition(step),
        templates={name: parse_template(tree) for name, tree in _trees(step).items() if tree is not None},
        undo=None if step.compensate is None else parse_template(step.compensate.config),
        blocks=blocks,
        default=default,
    )


def _condition(step: Step) -> Condition | None:
    match step:
        case BranchStep(on=condition):
            return parse_condition(condition)
        case TransformStep(filter=kept) if kept is not None:
            return parse_condition(kept.condition)
        case _:
            return None


def _trees(step: Step) -> dict[str, Any]:
    """The templates of a step, by what they are for."""
    match step:
        case ActionStep():
            return {"input": step.config}
        case ProcessStep():
            return {"input": step.input}
        case ForeachStep():
            return {"items": step.items, "collect": step.collect}
        case WaitStep():
            return {"duration": step.duration, "until": step.until}
        case WaitForSignalStep():
            return {"signal": step.signal, "timeout": step.timeout}
        case TransformStep(map=mapped) if mapped is not None:
            return {"items": mapped.source, "value": mapped.template}
        case TransformStep(filter=kept) if kept is not None:
            return {"items": kept.source}
        case TransformStep():
            return {"value": step.set}
        case StopStep():
            return {"result": step.result, "message": step.message}
        case _:
            return {}
