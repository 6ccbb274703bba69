"""A definition made ready to run: templates and conditions parsed once per version, not once per run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from domain.definition import Definition
from domain.dialects import parse_definition
from domain.paths import Path, result_step
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
    """A step with its parsed parts. ``number`` tells it from all others of its program."""

    step: Step
    number: int
    when: Condition | None = None
    condition: Condition | None = None
    """Of a branch (``on``) or a filter."""
    templates: Mapping[str, Template] = field(default_factory=dict)
    undo: Template | None = None
    blocks: Mapping[str, tuple["Node", ...]] = field(default_factory=dict)
    """The lists of steps inside it, by branch; ``""`` is the only one of a foreach."""
    default: tuple["Node", ...] | None = None
    needs: frozenset[str] | None = frozenset()
    """Names of the steps whose outputs it reads itself. None: all of them."""

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
    by_number: tuple[Node, ...]


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
    order = tuple(step.name for step in definition.steps)
    compiler = _Compiler(order)
    nodes = compiler.block(definition.steps)
    output = None if definition.output is None else parse_template(definition.output)
    by_number = tuple(sorted(compiler.nodes, key=lambda node: node.number))
    return Program(definition=definition, nodes=nodes, output=output, order=order, by_number=by_number)


class _Compiler:
    def __init__(self, order: tuple[str, ...]) -> None:
        self._order = order
        self.nodes: list[Node] = []

    def block(self, steps: list[Step]) -> tuple[Node, ...]:
        return tuple(self._node(step) for step in steps)

    def _node(self, step: Step) -> Node:
        blocks = {str(place[-1]) if place[0] == "branches" else "": self.block(inner) for place, inner in step.blocks()}
        default = blocks.pop("") if isinstance(step, BranchStep) and step.default is not None else None
        when = None if step.when is None else parse_condition(step.when)
        templates = {name: parse_template(tree) for name, tree in _trees(step).items() if tree is not None}
        reads = [*(when.reads if when else ()), *(path for template in templates.values() for path in template.reads)]
        node = Node(
            step=step,
            number=len(self.nodes),
            when=when,
            condition=_condition(step),
            templates=templates,
            undo=None if step.compensate is None else parse_template(step.compensate.config),
            blocks=blocks,
            default=default,
            needs=self._needs(reads),
        )
        self.nodes.append(node)
        return node

    def _needs(self, reads: Iterable[Path]) -> frozenset[str] | None:
        names: set[str] = set()
        for root, *rest in reads:
            match root:
                case "steps" | "context" | "step" if not rest:
                    return None
                case "steps" | "context":
                    names.add(result_step(str(rest[0])) or str(rest[0]))
                case "step":
                    names.update(self._order[number - 1] for number in _numbers(rest[0], len(self._order)))
                case str() if name := result_step(root):
                    names.add(name)
        return frozenset(names)


def _numbers(part: str | int, count: int) -> Iterator[int]:
    """The step's number that ``step.<part>`` means, if there is such a step."""
    number = int(part) if str(part).isdecimal() else 0
    if 1 <= number <= count:
        yield number


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
