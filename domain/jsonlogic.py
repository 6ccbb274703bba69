"""The one seam to the JSONLogic engine: compile a logic once, evaluate it on what it reads, explain the evaluation.

Everything that the engine raises leaves here as ``ExpressionError`` or ``MissingPath``. The engine knows no clock and
has a budget of operations; how deep a logic nests is checked before the engine sees it.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from datalogic_py import DataLogicError, Engine, ParseError, Rule

from domain.errors import ExpressionError, Fault
from domain.paths import ABSENT, Path, kind_of, path_text
from domain.scope import Scope

MAX_DEPTH: Final = 64
"""How deep the objects and lists of a rule may nest."""

_MAX_COMPILED_DEPTH: Final = 100
_MAX_PARTS: Final = 10_000

OPERATIONS_BUDGET: Final = 10_000
"""How many operations one evaluation may take; the items of a ``map`` count one by one."""

_FAMILIES: Final = ("ExtString", "ExtArray", "ExtObject", "ExtMath", "ExtControl")
_LARGEST: Final = 2**63
_SHOWN: Final = 80


@lru_cache(maxsize=2)
def _engine(strict: bool) -> Engine:
    """The lenient engine has JSONLogic's own manners; the strict one knows errors instead of coercions."""
    if not strict:
        # A number is not equal to a text that is no number, as in JavaScript; unequal types are no error.
        lenient = {"ops_budget": OPERATIONS_BUDGET, "loose_equality_errors": False}
        return Engine(config=lenient, families=_FAMILIES)
    config = {
        "preset": "strict",
        "missing_var": "error",
        "division_by_zero": "throw_error",
        "ops_budget": OPERATIONS_BUDGET,
    }
    return Engine(config=config, families=(*_FAMILIES, "ErrorHandling"))


class Program:
    """A compiled logic. ``strict``: a missing path is an error; otherwise it reads as null.

    ``reads`` are the paths that it may read, as far as they are known before it runs.
    """

    __slots__ = ("_gathered", "_rule", "logic", "reads", "source", "strict")

    def __init__(self, logic: Any, *, source: str, reads: Iterable[Path] | None = None, strict: bool = False) -> None:
        faults = find_faults(logic, strict=strict)
        if faults:
            raise ExpressionError(_fault_text(faults[0]), source=source)
        self.logic = logic
        self.source = source
        self.strict = strict
        try:
            self._rule: Rule = _engine(strict).compile(json.dumps(logic))
        except DataLogicError as error:
            raise ExpressionError(f"{_short(source)} is no rule: {error}", source=source) from error
        self.reads: tuple[Path, ...] = _facts(self._rule, source) if reads is None else tuple(reads)
        self._gathered = _outermost(self.reads)

    def evaluate(self, scope: Scope) -> Any:
        """The value of the logic on ``scope``. Raises ``ExpressionError``, and ``MissingPath`` if strict."""
        data = self._gather(scope)
        try:
            return self._rule.evaluate(data)
        except (DataLogicError, UnicodeError) as error:
            raise self._translated(error, scope, data) from error

    def explain(self, scope: Scope) -> dict[str, Any]:
        """How the evaluation goes: ``result`` or ``error``, ``reads`` (path to value) and the ``tree`` of its parts."""
        data = self._gather(scope)
        return {**self._trace(data), "reads": _values(scope, self.reads)}

    def _gather(self, scope: Scope) -> dict[str, Any]:
        """Nothing but what is read, as the nested object that the engine looks into."""
        data: dict[str, Any] = {}
        for path in self._gathered:
            value = scope.get(path)
            if value is not ABSENT:
                _check_number(value, path, self.source)
                _place(data, path, value)
        return data

    def _trace(self, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(data, allow_nan=False)
            trace = json.loads(_engine(self.strict).evaluate_with_trace(json.dumps(self.logic), text))
        except (DataLogicError, ValueError, TypeError, RecursionError) as error:
            raise ExpressionError(f"{_short(self.source)} cannot be traced: {error}", source=self.source) from error
        return {
            "result": trace.get("result"),
            "error": trace.get("error"),
            "tree": _tree(self.logic, trace),
        }

    def _translated(self, error: Exception, scope: Scope, data: Mapping[str, Any]) -> ExpressionError:
        """The error in the words of the expression: which path is missing, or what its value should have been."""
        if not isinstance(error, DataLogicError) or isinstance(error, ParseError):
            return ExpressionError(f"{_short(self.source)} reads a value that is not JSON: {error}", source=self.source)
        failed = _failed_part(_engine(self.strict), self.logic, data)
        match failed:
            case {"var": str() as dotted}:
                scope.resolve(self._read_named(dotted.split(".")))
            case {"val": [*parts]}:
                scope.resolve(self._read_named([str(part) for part in parts]))
            case {"throw": str() as complaint}:
                return ExpressionError(f"{complaint} in {_short(self.source)}{self._kinds(scope)}", source=self.source)
        return ExpressionError(
            f"{_short(self.source)} cannot be evaluated: {_reason(error)}{self._kinds(scope)}", source=self.source
        )

    def _read_named(self, parts: list[str]) -> Path:
        return next((path for path in self.reads if [str(part) for part in path] == parts), tuple(parts))

    def _kinds(self, scope: Scope) -> str:
        kinds = [f"{path_text(path)} is {kind_of(scope.get(path))}" for path in self.reads if scope.has(path)]
        return f" ({', '.join(kinds)})" if kinds else ""


def find_faults(logic: Any, *, strict: bool = False) -> list[Fault]:
    """Everything that can be said against ``logic`` before it runs, with JSON pointers into it."""
    too_deep = depth_fault(logic, _MAX_COMPILED_DEPTH if strict else MAX_DEPTH)
    if too_deep is not None:
        return [too_deep]
    try:
        text = json.dumps(logic, allow_nan=False)
        text.encode()
        found = _engine(strict).check(text)
    except (DataLogicError, ValueError, TypeError) as error:
        return [Fault(path="", reason=f"this is no JSON: {error}")]
    return [
        Fault(path=one["pointer"], reason=one["message"], remedy="see the operators of JSONLogic")
        for one in found
        if one["severity"] == "error"
    ]


def depth_fault(logic: Any, deepest: int = MAX_DEPTH) -> Fault | None:
    """The fault of a ``logic`` that nests too deep or is too large; whatever it is, the stack is in no danger."""
    level, depth = [logic], 0
    while level:
        depth += 1
        if depth > deepest + 1 or len(level) > _MAX_PARTS:
            reason = f"the rule nests deeper than {deepest}, or is wider than {_MAX_PARTS}"
            return Fault(path="", reason=reason, remedy="split it into several")
        level = [part for value in level for part in _parts(value)]
    return None


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def _fault_text(fault: Fault) -> str:
    return f"{fault.reason} (at {fault.path})" if fault.path else fault.reason


def _facts(rule: Rule, source: str) -> tuple[Path, ...]:
    facts = rule.facts()
    if not facts["reads_complete"]:
        raise ExpressionError(f"{_short(source)} computes what it reads; write each path out", source=source)
    reads = tuple(tuple(path) for path in facts["reads"])
    if () in reads:
        raise ExpressionError(f"{_short(source)} reads everything; name what it needs", source=source)
    return reads


def _outermost(reads: Iterable[Path]) -> tuple[Path, ...]:
    """The paths that lie within no other one: to have these is to have all."""
    chosen: list[tuple[str, ...]] = []
    for path in sorted({tuple(str(part) for part in path) for path in reads}, key=lambda path: (len(path), path)):
        if not any(path[: len(outer)] == outer for outer in chosen):
            chosen.append(path)
    return tuple(chosen)


def _place(data: dict[str, Any], path: Path, value: Any) -> None:
    *holders, last = (str(part) for part in path)
    for holder in holders:
        data = data.setdefault(holder, {})
    data[last] = value


def _check_number(value: Any, path: Path, source: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionError(f"{path_text(path)} is not a finite number", source=source)
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ExpressionError(f"{path_text(path)} is a number beyond 64 bits", source=source)


def _values(scope: Scope, reads: Iterable[Path]) -> list[dict[str, Any]]:
    found = ((path, scope.get(path)) for path in reads)
    return [
        {"path": path_text(path), "found": value is not ABSENT, "value": None if value is ABSENT else value}
        for path, value in found
    ]


def _failed_part(engine: Engine, logic: Any, data: Mapping[str, Any]) -> Any:
    """The part of ``logic`` that fails, found by evaluating it again, slowly."""
    try:
        trace = json.loads(engine.evaluate_with_trace(json.dumps(logic), json.dumps(data)))
    except (DataLogicError, ValueError, TypeError, RecursionError):
        return None
    nodes = (trace.get("structured_error") or {}).get("node_ids") or [None]
    pointer = trace.get("pointers", {}).get(str(nodes[0]))
    return None if pointer is None else _at(logic, pointer)


def _at(logic: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        logic = logic[name] if isinstance(logic, dict) else logic[int(name)] if isinstance(logic, list) else logic
    return logic


@dataclass(frozen=True, slots=True)
class _Steps:
    results: Mapping[int, list[Any]]
    errors: Mapping[int, Any]


def _tree(logic: Any, trace: Mapping[str, Any]) -> dict[str, Any] | None:
    results: dict[int, list[Any]] = {}
    errors: dict[int, Any] = {}
    for step in trace.get("steps", ()):
        if step["error"] is None:
            results.setdefault(step["node_id"], []).append(step["result"])
        else:
            errors[step["node_id"]] = step["error"]
    root = trace.get("expression_tree")
    return None if root is None else _branch(root, trace.get("pointers", {}), logic, _Steps(results, errors))


def _branch(node: Mapping[str, Any], pointers: Mapping[str, str], logic: Any, steps: _Steps) -> dict[str, Any]:
    pointer = pointers.get(str(node["id"]), "")
    results = steps.results.get(node["id"], [])
    return {
        "pointer": pointer,
        "logic": _at(logic, pointer),
        "evaluated": bool(results),
        "result": results[-1] if results else None,
        "times": len(results),
        "error": steps.errors.get(node["id"]),
        "parts": [_branch(child, pointers, logic, steps) for child in node["children"]],
    }


def _reason(error: DataLogicError) -> str:
    kind, operator = getattr(error, "error_type", ""), getattr(error, "operator", None)
    if kind == "BudgetExceeded":
        return f"it takes more than {OPERATIONS_BUDGET} operations"
    if kind == "Thrown" and operator in ("/", "%"):
        return f"{operator} by zero, or of what is no number"
    if kind in ("Thrown", "InvalidArguments", "TypeError", "ArithmeticError") and operator:
        return f"{operator} does not work on these values"
    return str(error)


def _short(source: str) -> str:
    return repr(source if len(source) <= _SHOWN else source[: _SHOWN - 1] + "…")
