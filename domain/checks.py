"""Everything about a definition that can be known before it runs: what ``publish`` refuses, and why.

A fault is only ever something that is certainly wrong: a placeholder's value, an open input or an event's payload may
turn out well, and so pass.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from domain.actions import ActionInfo
from domain.branching import branch_faults
from domain.config_fit import config_faults
from domain.definition import Definition
from domain.dialects import point_back
from domain.documents import MAX_FAULTS, json_pointer
from domain.errors import ExpressionError, Fault
from domain.expressions import Expression
from domain.messages import SecretName
from domain.model_faults import NO_APPROVAL
from domain.paths import Path
from domain.placeholders import split, split_around_faults
from domain.rules import find_faults as find_rule_faults
from domain.rules import parse_condition, parse_rule
from domain.schedules import schedule_faults
from domain.schema_faults import schema_faults
from domain.steps import (
    ActionCall,
    ActionStep,
    ApprovalStep,
    BranchStep,
    ForeachStep,
    ParallelStep,
    ProcessStep,
    Step,
    StopStep,
    TransformStep,
    WaitForSignalStep,
    WaitStep,
)
from domain.templates import find_faults as find_template_faults
from domain.templates import parse_template
from domain.triggers import ScheduleConfig, TriggerConfig
from domain.visibility import Complaint, Frame, Readable

MAX_STEPS: Final = 5000
"""Limit of a definition's steps, nested ones included."""

MAX_NESTING: Final = 16
"""Limit of steps within steps."""

Place = tuple[str | int, ...]

_EFFECTIVE: Final[Mapping[str, frozenset[str]]] = {
    "retry": frozenset({"action"}),
    "lane": frozenset({"action"}),
    "on_unknown": frozenset({"action"}),
    "timeout": frozenset({"action", "wait_for_signal"}),
}
"""Fields that only some types of steps make use of."""

_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "wait": ("duration", "until"),
    "wait_for_signal": ("signal", "timeout"),
    "stop": ("result", "message"),
}


def check_definition(
    definition: Definition,
    *,
    actions: Mapping[str, ActionInfo],
    processes: Collection[str],
    secrets: Collection[str] | None = None,
    origins: Mapping[str, str] | None = None,
) -> list[Fault]:
    """Every fault (a hundred at most) of ``definition`` in a deployment with these actions, processes and secrets.

    ``processes`` are the names that may be run as children (the definition's own is known). Without ``secrets``, their
    existence is not checked. With ``origins`` (of ``ParsedDefinition``) the faults point into the author's document.
    """
    known = {*processes, definition.name}
    checker = _Checker(definition, actions, known, secrets, Readable(definition, actions))
    checker.check()
    return point_back(checker.faults[:MAX_FAULTS], origins or {})


@dataclass(slots=True)
class _Checker:
    definition: Definition
    actions: Mapping[str, ActionInfo]
    processes: Collection[str]
    secrets: Collection[str] | None
    readable: Readable
    faults: list[Fault] = field(default_factory=list)
    count: int = 0

    def check(self) -> None:
        self._input()
        self._triggers()
        top = Frame()
        self._block(self.definition.steps, ("steps",), top, depth=1)
        if self.count > MAX_STEPS:
            self._fault(("steps",), f"there are {self.count} steps, the limit is {MAX_STEPS}", "split the process")
        self._template(self.definition.output, ("output",), top)

    def _fault(self, place: Place, reason: str, remedy: str) -> None:
        self.faults.append(Fault(path=json_pointer(place), reason=reason, remedy=remedy))

    def _inner_faults(self, place: Place, faults: Iterable[Fault]) -> None:
        base = json_pointer(place)
        self.faults += [fault.model_copy(update={"path": base + fault.path}) for fault in faults]

    # --- what surrounds the steps ------------------------------------------------------------------------------

    def _input(self) -> None:
        schema = self.definition.input
        self._inner_faults(("input",), schema_faults(schema))
        if schema.get("type", "object") != "object":
            self._fault(("input", "type"), "a run's input is an object", "write type: object")
        fields = [key for key, value in schema.items() if isinstance(value, dict) and "type" in value]
        if fields and "properties" not in schema and "type" not in schema:
            self._fault(("input", fields[0]), "this is no keyword of JSON Schema", "declare fields under 'properties'")

    def _triggers(self) -> None:
        for index, trigger in enumerate(self.definition.triggers):
            place: Place = ("triggers", index, "config")
            config = trigger.config
            if isinstance(config, TriggerConfig):
                if config.condition is not None:
                    self._condition(config.condition, (*place, "condition"), self.readable.trigger_complaint)
                self._rule(config.rule, (*place, "rule"))
                self._signal(config.signal_name, (*place, "signal_name"))
                if config.key is not None:
                    self._tree(config.key, (*place, "key"), self.readable.trigger_complaint)
            if isinstance(config, ScheduleConfig):
                schema = self.definition.input
                self._inner_faults(place, schedule_faults(config, None if schema_faults(schema) else schema))
                continue
            mapping = getattr(config, "input", None)
            if mapping is not None:
                self._tree(mapping, (*place, "input"), self.readable.trigger_complaint)

    # --- steps -------------------------------------------------------------------------------------------------

    def _block(self, steps: list[Step], place: Place, frame: Frame, depth: int) -> None:
        if depth > MAX_NESTING:
            self._fault(place, f"steps are nested deeper than {MAX_NESTING}", "make a process of its own of these")
            return
        over = False
        for index, step in enumerate(steps):
            here = (*place, index)
            if over:
                self._fault(here, "this step is never reached: the step before always stops", "remove it")
                over = False
            if frame.find(step.name) is not None:
                remedy = "give each step that can be read from the same place a name of its own"
                self._fault((*here, "name"), f"a step before is named {step.name!r}, too", remedy)
            self._step(step, here, frame, depth)
            frame.names[step.name] = step
            if step.compensate is not None and not isinstance(step, ApprovalStep):
                self._action(step.compensate, (*here, "compensate"), frame)
            over = isinstance(step, StopStep) and step.when in (None, True)

    def _step(self, step: Step, place: Place, frame: Frame, depth: int) -> None:
        self.count += 1
        if isinstance(step, ApprovalStep):
            self._fault((*place, "type"), NO_APPROVAL.reason, NO_APPROVAL.remedy)
            return
        for name, types in _EFFECTIVE.items():
            if name in step.model_fields_set and step.type not in types:
                remedy = f"it is for {' and '.join(sorted(types))} steps"
                self._fault((*place, name), f"a {step.type} step makes no use of {name!r}", remedy)
        if step.when is not None:
            self._condition(step.when, (*place, "when"), self._complaints(frame))
        match step:
            case ActionStep():
                self._action(step, place, frame)
            case ProcessStep():
                self._process(step, place, frame)
            case TransformStep():
                self._transform(step, place, frame)
            case ForeachStep():
                self._foreach(step, place, frame, depth)
            case ParallelStep():
                self._alternatives(step, place, frame, depth)
            case BranchStep():
                self._condition(step.on, (*place, "on"), self._complaints(frame))
                self._inner_faults(place, branch_faults(step))
                self._alternatives(step, place, frame, depth)
            case WaitStep() | WaitForSignalStep() | StopStep():
                self._plain(step, place, frame)

    def _plain(self, step: WaitStep | WaitForSignalStep | StopStep, place: Place, frame: Frame) -> None:
        """A step with nothing but templates in it."""
        for name in _TEMPLATES[step.type]:
            self._template(getattr(step, name), (*place, name), frame)
        if isinstance(step, WaitForSignalStep) and "on_timeout" in step.model_fields_set and step.timeout is None:
            self._fault((*place, "on_timeout"), "without a timeout, this never happens", "add 'timeout'")

    def _alternatives(self, step: BranchStep | ParallelStep, place: Place, frame: Frame, depth: int) -> None:
        """The blocks of a branch or parallel step: none sees the others; after them, all are seen."""
        merged: dict[str, Step] = {}
        for where, steps in step.blocks():
            inner = frame.inner()
            self._block(steps, (*place, *where), inner, depth + 1)
            for name in merged.keys() & inner.names.keys() if isinstance(step, ParallelStep) else ():
                self._fault((*place, *where), f"another branch has a step {name!r}, too", "rename one of them")
            merged.update(inner.names)
        frame.names.update(merged)

    def _foreach(self, step: ForeachStep, place: Place, frame: Frame, depth: int) -> None:
        self._list(step.items, (*place, "items"), frame)
        inner = frame.inner(has_item=True)
        self._block(step.steps, (*place, "steps"), inner, depth + 1)
        self._template(step.collect, (*place, "collect"), inner)

    def _transform(self, step: TransformStep, place: Place, frame: Frame) -> None:
        self._template(step.set, (*place, "set"), frame)
        if step.map is not None:
            self._list(step.map.source, (*place, "map", "source"), frame)
            self._template(step.map.template, (*place, "map", "template"), frame.inner(has_item=True))
        if step.filter is not None:
            self._list(step.filter.source, (*place, "filter", "source"), frame)
            complaints = self._complaints(frame.inner(has_item=True))
            self._condition(step.filter.condition, (*place, "filter", "condition"), complaints)

    def _process(self, step: ProcessStep, place: Place, frame: Frame) -> None:
        self._template(step.input, (*place, "input"), frame)
        if step.process not in self.processes:
            remedy = _close(step.process, self.processes) or "publish it first"
            self._fault((*place, "process"), f"there is no process {step.process!r}", remedy)

    def _action(self, call: ActionStep | ActionCall, place: Place, frame: Frame) -> None:
        info = self.actions.get(call.action)
        secrets_allowed = info is None or info.takes_secrets
        sound = self._tree(call.config, (*place, "config"), self._complaints(frame), secrets_allowed=secrets_allowed)
        if info is None:
            remedy = _close(call.action, self.actions) or "see the list of actions"
            self._fault((*place, "action"), f"there is no action {call.action!r}", remedy)
        elif sound:
            self._inner_faults((*place, "config"), config_faults(call.config, info.input_schema))

    # --- templates and conditions ------------------------------------------------------------------------------

    def _complaints(self, frame: Frame) -> Callable[[Path], Complaint | None]:
        return lambda path: self.readable.complaint(path, frame)

    def _template(self, tree: Any, place: Place, frame: Frame) -> bool:
        return self._tree(tree, place, self._complaints(frame))

    def _tree(
        self,
        tree: Any,
        place: Place,
        complaints: Callable[[Path], Complaint | None],
        *,
        secrets_allowed: bool = False,
    ) -> bool:
        """Check a template; give whether it can be parsed."""
        faults = find_template_faults(tree)
        self._inner_faults(place, faults)
        broken = {fault.path: fault for fault in faults}
        for where, leaf in _leaves(tree, ()):
            here, first = (*place, *where), broken.get(json_pointer(where))
            if first is None:
                template = parse_template(leaf)
                reads, secrets = template.reads, template.secrets
            else:
                parts, errors = split_around_faults(leaf) if isinstance(leaf, str) else ([], [])
                for error in errors[1:]:
                    self._fault(here, str(error), first.remedy)
                reads = tuple(path for part in parts if isinstance(part, Expression) for path in part.reads)
                secrets = frozenset(part.secret for part in parts if isinstance(part, SecretName))
            self._reads(reads, here, complaints)
            for secret in sorted(secrets):
                self._secret(secret, here, allowed=secrets_allowed)
        return not faults

    def _secret(self, name: str, place: Place, *, allowed: bool) -> None:
        if not allowed:
            self._fault(
                place,
                "a secret can be used in the config of an action only, and not where people read it",
                "take it out",
            )
        elif self.secrets is not None and name not in self.secrets:
            remedy = _close(name, self.secrets) or f"set it: stepwell secrets set {name}"
            self._fault(place, f"there is no secret {name!r}", remedy)

    def _reads(self, reads: Iterable[Path], place: Place, complaints: Callable[[Path], Complaint | None]) -> None:
        for path in reads:
            complaint = complaints(path)
            if complaint is not None:
                self._fault(place, complaint.reason, complaint.remedy)

    def _list(self, source: str | list[Any], place: Place, frame: Frame) -> None:
        sound = self._template(source, place, frame)
        if sound and isinstance(source, str) and _is_text(source):
            self._fault(place, "this must be a list, it is text", "write one placeholder, as {{input.items}}")

    def _condition(self, value: Any, place: Place, complaints: Callable[[Path], Complaint | None]) -> None:
        try:
            condition = parse_condition(value)
        except ExpressionError as error:
            told = find_rule_faults(value) if isinstance(value, dict) and "operator" not in value else []
            self._inner_faults(place, told or [Fault(path="", reason=str(error), remedy="correct the condition")])
        else:
            self._reads(condition.reads, place, complaints)

    def _signal(self, name: str | None, place: Place) -> None:
        awaited = {step.signal for step in _all_steps(self.definition.steps) if isinstance(step, WaitForSignalStep)}
        if name is not None and name not in awaited:
            known = f"steps wait for {', '.join(sorted(awaited))}" if awaited else "no step waits for a signal"
            self._fault(place, f"no step waits for the signal {name!r}", known)

    def _rule(self, rule: Any, place: Place) -> None:
        """JSONLogic and nothing else."""
        if rule is None:
            return
        if faults := find_rule_faults(rule):
            self._inner_faults(place, faults)
        else:
            self._reads(parse_rule(rule).reads, place, self.readable.trigger_complaint)


def _all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for _, inner in step.blocks():
            yield from _all_steps(inner)


def _leaves(tree: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """The texts and secrets of a template, each with its place."""
    match tree:
        case str():
            yield place, tree
        case {"$secret": _} if len(tree) == 1:
            yield place, tree
        case dict():
            for key, value in tree.items():
                yield from _leaves(value, (*place, key))
        case list():
            for index, value in enumerate(tree):
                yield from _leaves(value, (*place, index))


def _is_text(source: str) -> bool:
    parts = split(source)
    return len(parts) != 1 or isinstance(parts[0], str)


def _close(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(close)}?" if close else ""
