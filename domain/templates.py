"""Templates: JSON whose texts hold placeholders, parsed once at publish and rendered for each step.

A text that is exactly one placeholder becomes its value, of whatever type; any other joins as text. What comes from
data is inserted and never read again, so that ``{{…}}`` in an event stays text. Secrets are not resolved here: their
places are masked and listed as slots, for the activity that performs the action.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import ExpressionError, Fault
from domain.expressions import Expression
from domain.messages import SecretName, SecretSlot
from domain.paths import Path
from domain.placeholders import Part, split
from domain.scope import Scope

MASK: Final = "[secret]"
"""What stands in a rendered value where a secret will be."""

MAX_DEPTH: Final = 64
"""How deep the objects and lists of a template may nest."""

_SECRET_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SECRET_REFERENCE: Final = re.compile(r"secretref://[a-z_]+/([A-Za-z0-9_]+)/([A-Za-z_][A-Za-z0-9_.-]*)")
_EXACT_DIGITS: Final = 15

_Pointer = tuple[str | int, ...]
_Renderer = Callable[[Scope, list[SecretSlot]], Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template's value for one scope, and the places in it that wait for secrets."""

    value: Any
    secrets: list[SecretSlot]


class Template:
    """A parsed template; immutable, to be shared by any number of runs.

    ``reads`` are the paths that it may read, ``optional`` those that may be missing, ``secrets`` the names it needs;
    ``is_static`` tells that it gives the same for every scope.
    """

    __slots__ = ("_render", "expressions", "is_static", "optional", "reads", "secrets")

    def __init__(self, render: _Renderer, expressions: tuple[Expression, ...], secrets: frozenset[str]) -> None:
        self._render = render
        self.expressions = expressions
        self.secrets = secrets
        self.reads: tuple[Path, ...] = tuple(dict.fromkeys(path for one in expressions for path in one.reads))
        required = {path for one in expressions for path in one.reads if path not in one.optional}
        self.optional: frozenset[Path] = frozenset(self.reads) - required
        self.is_static = not self.reads and not secrets

    def render(self, scope: Scope) -> Rendered:
        """The value on ``scope``; its objects and lists are new ones. Raises ``ExpressionError``, ``MissingPath``."""
        slots: list[SecretSlot] = []
        return Rendered(self._render(scope, slots), slots)


def parse_template(tree: Any) -> Template:
    """The template that ``tree`` says. Raises ``ExpressionError`` for its first fault, naming the place."""
    parser = _Parser()
    render = parser.parse(tree, ())
    for pointer, error in parser.faults:
        place = f" (at {_pointer_text(pointer)})" if pointer else ""
        raise ExpressionError(f"{error}{place}", source=error.source, position=error.position)
    return Template(render, tuple(parser.expressions), frozenset(parser.secrets))


def find_faults(tree: Any) -> list[Fault]:
    """All faults of ``tree`` as a template, with JSON pointers into it; empty if ``parse_template`` would take it."""
    parser = _Parser()
    parser.parse(tree, ())
    remedy = "mend the placeholder; {{ '{{' }} writes {{ itself"
    return [Fault(path=_pointer_text(pointer), reason=str(error), remedy=remedy) for pointer, error in parser.faults]


class _Parser:
    """Builds the renderer of a tree and notes what it finds on the way."""

    def __init__(self) -> None:
        self.faults: list[tuple[_Pointer, ExpressionError]] = []
        self.expressions: list[Expression] = []
        self.secrets: set[str] = set()

    def parse(self, tree: Any, pointer: _Pointer) -> _Renderer:
        if len(pointer) > MAX_DEPTH:
            return self._fault(pointer, f"the template nests deeper than {MAX_DEPTH}")
        match tree:
            case str():
                return self._text(tree, pointer)
            case {"$secret": name} if len(tree) == 1:
                return self._secret_object(name, pointer)
            case dict():
                return self._object(tree, pointer)
            case list() | tuple():
                return _list([self.parse(item, (*pointer, index)) for index, item in enumerate(tree)])
            case None | bool() | int() | float():
                return _constant(tree)
            case _:
                return self._fault(pointer, f"{type(tree).__name__} is no JSON value")

    def _object(self, tree: dict[Any, Any], pointer: _Pointer) -> _Renderer:
        for key in tree:
            if not isinstance(key, str):
                return self._fault(pointer, f"the key {key!r} is not a text")
            if "{{" in key or "${" in key:
                self._fault((*pointer, key), "keys are plain text; placeholders stand in values only", key)
        return _object([(key, self.parse(value, (*pointer, key))) for key, value in tree.items()])

    def _secret_object(self, name: Any, pointer: _Pointer) -> _Renderer:
        if not isinstance(name, str) or _SECRET_NAME.fullmatch(name) is None:
            return self._fault(pointer, f"{name!r} is no name of a secret")
        return self._parts([SecretName(secret=name)], pointer)

    def _text(self, text: str, pointer: _Pointer) -> _Renderer:
        reference = _SECRET_REFERENCE.fullmatch(text)
        if reference is not None:
            namespace, name = reference.groups()
            return self._parts([SecretName(secret=name if namespace == "default" else f"{namespace}__{name}")], pointer)
        try:
            parts = split(text)
        except ExpressionError as error:
            self.faults.append((pointer, error))
            return _constant(None)
        return self._parts(parts, pointer)

    def _parts(self, parts: list[Part], pointer: _Pointer) -> _Renderer:
        self.expressions += [part for part in parts if isinstance(part, Expression)]
        self.secrets |= {part.secret for part in parts if isinstance(part, SecretName)}
        match parts:
            case []:
                return _constant("")
            case [str() as text]:
                return _constant(text)
            case [Expression() as expression]:
                return _value(expression)
        if any(isinstance(part, SecretName) for part in parts):
            return _masked(parts, list(pointer))
        return _joined(parts)

    def _fault(self, pointer: _Pointer, reason: str, source: str = "") -> _Renderer:
        self.faults.append((pointer, ExpressionError(reason, source=source)))
        return _constant(None)


def _constant(value: Any) -> _Renderer:
    return lambda _scope, _slots: value


def _value(expression: Expression) -> _Renderer:
    evaluate = expression.evaluate
    return lambda scope, _slots: evaluate(scope)


def _object(fields: list[tuple[str, _Renderer]]) -> _Renderer:
    return lambda scope, slots: {key: render(scope, slots) for key, render in fields}


def _list(items: list[_Renderer]) -> _Renderer:
    return lambda scope, slots: [render(scope, slots) for render in items]


def _joined(parts: list[Part]) -> _Renderer:
    return lambda scope, _slots: "".join([part for part in _rendered(parts, scope) if isinstance(part, str)])


def _masked(parts: list[Part], pointer: list[str | int]) -> _Renderer:
    def render(scope: Scope, slots: list[SecretSlot]) -> str:
        rendered = _merged(_rendered(parts, scope))
        slots.append(SecretSlot(pointer=pointer, parts=rendered))
        return "".join(part if isinstance(part, str) else MASK for part in rendered)

    return render


def _rendered(parts: list[Part], scope: Scope) -> Iterator[str | SecretName]:
    for part in parts:
        yield text_of(part.evaluate(scope), part.source) if isinstance(part, Expression) else part


def _merged(parts: Iterator[str | SecretName]) -> list[str | SecretName]:
    merged: list[str | SecretName] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def text_of(value: Any, source: str = "") -> str:
    """``value`` as it appears within a text: null as nothing, objects and lists as JSON, numbers without noise."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() and abs(value) < 10**_EXACT_DIGITS else f"{value:.15g}"
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionError(f"{source!r} gives a value that is no JSON: {error}", source=source) from error


def _pointer_text(pointer: _Pointer) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)
