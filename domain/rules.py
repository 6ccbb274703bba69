"""Rules: conditions as data (JSONLogic), and everything else that a definition may write as a condition.

Paths in a rule have the roots of expressions; a bare one (``type``, ``data.object.id``) is a field of the event or the
input. JSONLogic's own manners hold: what is missing reads as null, and values are converted to be compared.
``{"contains": [whole, part]}`` is understood besides the operators of JSONLogic.
"""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, Protocol

from domain.errors import ExpressionError, Fault
from domain.expressions import Expression, parse_expression
from domain.grammar import Literal, Node, Reference, operation
from domain.jsonlogic import Program, depth_fault
from domain.jsonlogic import find_faults as find_logic_faults
from domain.paths import Path
from domain.placeholders import split
from domain.scope import Scope

_CACHED: Final = 1024
_CONDITION_KEYS: Final = frozenset({"operator", "left", "right"})
_OPERATORS: Final = {"eq": "==", "ne": "!=", "gt": ">", "lt": "<", "gte": ">=", "lte": "<=", "in": "in", "not_in": "in"}
_SHOWN: Final = 200


class Condition(Protocol):
    """What a definition's condition becomes: an ``Expression``, a ``Rule`` or ``AllOf``."""

    @property
    def reads(self) -> tuple[Path, ...]:
        """The paths that it may read."""

    @property
    def optional(self) -> frozenset[Path]:
        """Those among ``reads`` that may be missing."""

    def evaluate(self, scope: Scope) -> Any:
        """Its value on ``scope``. Raises ``ExpressionError``."""

    def holds(self, scope: Scope) -> bool:
        """Whether its value counts as true."""

    def explain(self, scope: Scope) -> dict[str, Any]:
        """How it comes to its value."""


class Rule:
    """A checked JSONLogic rule; immutable, to be shared by any number of runs."""

    __slots__ = ("_program", "logic", "optional", "reads")

    def __init__(self, logic: Any) -> None:
        self.logic = logic
        self._program = Program(_with_in(logic), source=_shown(logic))
        self.reads = self._program.reads
        self.optional: frozenset[Path] = frozenset(self.reads)

    def __repr__(self) -> str:
        return f"Rule({self.logic!r})"

    def evaluate(self, scope: Scope) -> Any:
        """The value on ``scope``. Raises ``ExpressionError`` if an operator cannot work on its values."""
        return self._program.evaluate(scope)

    def holds(self, scope: Scope) -> bool:
        """Whether the value counts as true."""
        return bool(self.evaluate(scope))

    def explain(self, scope: Scope) -> dict[str, Any]:
        """``passed``, ``result`` or ``error``, ``reads`` (with the values found) and the ``tree`` of its parts."""
        explained = self._program.explain(scope)
        return {"source": _shown(self.logic), "passed": bool(explained["result"]), **explained}


class AllOf:
    """Conditions that must all hold; none at all hold."""

    __slots__ = ("conditions", "optional", "reads")

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.conditions = tuple(conditions)
        self.reads: tuple[Path, ...] = tuple(dict.fromkeys(path for one in conditions for path in one.reads))
        required = {path for one in conditions for path in one.reads if path not in one.optional}
        self.optional: frozenset[Path] = frozenset(self.reads) - required

    def evaluate(self, scope: Scope) -> bool:
        """Whether all hold; those after the first that does not are not evaluated."""
        return all(condition.holds(scope) for condition in self.conditions)

    def holds(self, scope: Scope) -> bool:
        """Whether all hold."""
        return self.evaluate(scope)

    def explain(self, scope: Scope) -> dict[str, Any]:
        """``passed`` and the explanation of each part."""
        parts = [condition.explain(scope) for condition in self.conditions]
        passed = all(part["error"] is None and bool(part["result"]) for part in parts)
        return {"result": passed, "passed": passed, "error": None, "parts": parts}


def parse_rule(logic: Any) -> Rule:
    """The rule that the JSONLogic ``logic`` says. Raises ``ExpressionError`` for its first fault."""
    for fault in find_faults(logic):
        place = f" (at {fault.path})" if fault.path else ""
        raise ExpressionError(f"{fault.reason}{place}", source=_shown(logic))
    return _cached_rule(json.dumps(logic))


def find_faults(logic: Any) -> list[Fault]:
    """All faults of ``logic`` as a rule, with JSON pointers into it."""
    if (too_deep := depth_fault(logic)) is not None:
        return [too_deep]
    faults = find_logic_faults(_with_in(logic))
    return [fault.model_copy(update={"path": _original_pointer(logic, fault.path)}) for fault in faults]


def parse_condition(value: Any) -> Condition:
    """The condition that ``value`` says, in any of the forms that definitions use.

    - true or false
    - a text: an expression, bare or as one placeholder (``created == true``, ``{{input.amount > 500}}``)
    - ``{operator, left, right}`` with eq, ne, gt, lt, gte, lte, in, not_in; each side a constant or one placeholder;
      with eq and ne, and to the left of in and not_in, a path that is missing reads as null
    - a list: all of these must hold; an empty one holds
    - any other object: a JSONLogic rule

    Raises ``ExpressionError``.
    """
    match value:
        case bool():
            return Expression(Literal(value), json.dumps(value))
        case str():
            return _from_text(value)
        case {"operator": operator, "left": left, "right": right} if len(value) == len(_CONDITION_KEYS):
            return _from_comparison(operator, left, right)
        case dict() if "operator" in value and _CONDITION_KEYS.issuperset(value):
            raise ExpressionError("a condition needs operator, left and right", source=_shown(value))
        case dict():
            return parse_rule(value)
        case list() if depth_fault(value) is None:
            return AllOf([parse_condition(part) for part in value])
        case _:
            raise ExpressionError(f"{_shown(value)} is no condition", source=_shown(value))


@lru_cache(maxsize=_CACHED)
def _cached_rule(text: str) -> Rule:
    return Rule(json.loads(text))


def _shown(logic: Any) -> str:
    if depth_fault(logic) is not None:
        return "a rule"
    text = json.dumps(logic, ensure_ascii=False, default=repr, skipkeys=True)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _with_in(logic: Any) -> Any:
    """``logic`` with ``contains`` in the words of JSONLogic."""
    match logic:
        case {"contains": [whole, part]} if len(logic) == 1:
            return {"in": [_with_in(part), _with_in(whole)]}
        case dict():
            return {key: _with_in(value) for key, value in logic.items()}
        case list() | tuple():
            return [_with_in(value) for value in logic]
        case _:
            return logic


def _original_pointer(logic: Any, pointer: str) -> str:
    """``pointer`` into ``_with_in(logic)`` as one into ``logic``."""
    told, flip = "", False
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if flip:
            name, flip = str(1 - int(name)), False
        elif isinstance(logic, dict) and name not in logic:
            name, flip = "contains", True
        told += "/" + name.replace("~", "~0").replace("/", "~1")
        logic = (
            logic[int(name)] if isinstance(logic, list | tuple) else logic[name] if isinstance(logic, dict) else None
        )
    return told


def _from_text(text: str) -> Expression:
    match split(text):
        case [Expression() as expression]:
            return expression
        case [str() as plain]:
            return parse_expression(plain.strip())
        case []:
            raise ExpressionError("the condition is empty")
        case _:
            raise ExpressionError(
                f"a condition is one expression: put all of {text!r} into one pair of braces", source=text
            )


def _from_comparison(operator: Any, left: Any, right: Any) -> Expression:
    if operator not in _OPERATORS:
        close = get_close_matches(str(operator), _OPERATORS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_OPERATORS)}"
        raise ExpressionError(f"there is no operator {operator!r}; {hint}")
    sides = [_operand(left), _operand(right)]
    lenient = {"==": 2, "in": 1}.get(_OPERATORS[operator].replace("!", "="), 0)
    sides[:lenient] = [_or_null(side) for side in sides[:lenient]]
    node = operation(_OPERATORS[operator], *sides)
    if operator == "not_in":
        node = operation("!", node)
    return Expression(node, _shown({"operator": operator, "left": left, "right": right}))


def _operand(value: Any) -> Node:
    match value:
        case str():
            return _text_operand(value)
        case None | bool() | int() | float():
            return Literal(value)
        case list() if depth_fault(value) is None:
            return operation("[]", *(_operand(item) for item in value))
        case _:
            raise ExpressionError(f"{_shown(value)} cannot be compared; take a constant, a list or a placeholder")


def _text_operand(text: str) -> Node:
    match split(text):
        case [] | [str()]:
            return Literal(text)
        case [Expression(node=node)]:
            return node
        case _:
            raise ExpressionError(f"{text!r} must be a constant or one placeholder", source=text)


def _or_null(node: Node) -> Node:
    return operation("default", node, Literal(None)) if isinstance(node, Reference) else node
