"""From an expression's tree to JSONLogic.

``portable_logic`` is the plain translation, for people and for explanations. ``guarded_logic`` is what is evaluated:
the same with checks, so that values of the wrong kind are errors where JSONLogic would convert them.
"""

from typing import Any, Final

from domain.errors import ExpressionError
from domain.grammar import Literal, Node, Operation, Reference
from domain.paths import Path, path_text

_NUMBER: Final = "a number"
_TEXT: Final = "a text"
_BOOLEAN: Final = "true or false"
_LIST: Final = "a list"

_ENGINE_TYPES: Final[dict[str, tuple[str, ...]]] = {
    _NUMBER: ("number",),
    _TEXT: ("string", "datetime", "duration"),
    _LIST: ("array",),
    "a list or a text": ("array", "string", "datetime", "duration"),
    "a list, a text or an object": ("array", "string", "datetime", "duration", "object"),
    "a number or a text": ("number", "string", "datetime", "duration"),
}
"""What the engine's ``type`` operator says of the kinds that people know."""

_ARITHMETIC: Final = {"+": "+", "-": "-", "*": "*", "/": "/", "%": "%", "neg": "-"}
_PLAIN: Final = {"&&": "and", "||": "or", "!": "!", "?:": "if", "==": "===", "!=": "!=="}
_ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
_KINDS: Final[dict[str, str]] = {
    **dict.fromkeys((*_ARITHMETIC, "len", "number"), _NUMBER),
    **dict.fromkeys(("lower", "upper"), _TEXT),
    **dict.fromkeys(("==", "!=", "!", "&&", "||", "in", "has", *_ORDERINGS), _BOOLEAN),
    "[]": _LIST,
}
"""The kind of what an operation gives, where that is certain (or, for && and ||, meant)."""


def portable_logic(node: Node) -> Any:
    """The JSONLogic that says what the expression says."""
    return _Compiler(guarded=False).logic(node)


def guarded_logic(node: Node) -> Any:
    """The JSONLogic to evaluate. Raises ``ExpressionError`` where an operand can never be of the kind it must be."""
    return _Compiler(guarded=True).logic(node)


class _Compiler:
    def __init__(self, *, guarded: bool) -> None:
        self._guarded = guarded

    def logic(self, node: Node) -> Any:
        match node:
            case Literal(value):
                return value
            case Reference(path):
                return _read(path)
            case Operation("[]", items):
                return [self.logic(item) for item in items]
            case Operation(operator, arguments) if operator in _ORDERINGS:
                return self._ordering(operator, *arguments)
            case Operation(operator, arguments) if operator in _ARITHMETIC:
                return {_ARITHMETIC[operator]: [self._need(argument, _NUMBER) for argument in arguments]}
            case Operation("default", arguments):
                return {"??": [*(_read_or_null(part) for part in arguments[:-1]), self.logic(arguments[-1])]}
            case Operation(operator, arguments) if operator in _PLAIN:
                return {_PLAIN[operator]: [self.logic(argument) for argument in arguments]}
            case Operation("in", (part, whole)):
                return {"in": [self.logic(part), self._need(whole, "a list or a text")]}
            case Operation(function, (argument,)):
                return self._function(function, argument)
            case _:
                raise ExpressionError(f"{node.operator} takes other arguments")

    def _function(self, function: str, argument: Node) -> Any:
        if isinstance(argument, Reference) and function == "has":
            return {"exists": [str(part) for part in argument.path]}
        match function:
            case "len":
                return self._length(argument)
            case "number":
                return {"+": [self._need(argument, "a number or a text")]}
            case _:
                return {function: [self._need(argument, _TEXT)]}

    def _ordering(self, operator: str, left: Node, right: Node) -> Any:
        wanted = _expected(left) or _expected(right)
        if wanted in (_NUMBER, _TEXT):
            return {operator: [self._need(left, wanted), self._need(right, wanted)]}
        if wanted is not None:
            raise ExpressionError(f"{operator} orders numbers or texts, not {wanted}")
        compared = {operator: [self.logic(left), self.logic(right)]}
        if not self._guarded:
            return compared
        if not (isinstance(left, Reference) and isinstance(right, Reference)):
            raise ExpressionError(f"{operator} must know what it compares; say number(…) or lower(…) of one side")
        both = [{"and": [_is_of(left, kind), _is_of(right, kind)]} for kind in (_NUMBER, _TEXT)]
        names = f"{path_text(left.path)} and {path_text(right.path)}"
        return {"if": [both[0], compared, both[1], compared, {"throw": f"{names} must be two numbers or two texts"}]}

    def _length(self, node: Node) -> Any:
        value = self._need(node, "a list, a text or an object")
        if not isinstance(node, Reference):
            return {"length": [value]}
        is_object = {"===": [{"type": [_read(node.path)]}, "object"]}
        return {"if": [is_object, {"length": [{"keys": [_read(node.path)]}]}, {"length": [value]}]}

    def _need(self, node: Node, wanted: str) -> Any:
        """The logic of ``node``, which must give a value of the kind ``wanted``."""
        match node:
            case Operation("?:", (condition, chosen, other)):
                return {"if": [self.logic(condition), self._need(chosen, wanted), self._need(other, wanted)]}
            case Operation("default", arguments):
                tested = [self._checked(part, _read_or_null(part), wanted, "null") for part in arguments[:-1]]
                return {"??": [*tested, self._need(arguments[-1], wanted)]}
            case Reference():
                return self._checked(node, _read(node.path), wanted)
        kind = _expected(node)
        if kind is not None and not set(_ENGINE_TYPES.get(kind, (kind,))) <= set(_ENGINE_TYPES[wanted]):
            shown = repr(node.value) if isinstance(node, Literal) else f"what {node.operator} gives"
            hint = (
                "; texts are joined by a template, such as {{a}} {{b}}" if kind == _TEXT and wanted == _NUMBER else ""
            )
            raise ExpressionError(f"{shown} is {kind}, where {wanted} is needed{hint}")
        return self.logic(node)

    def _checked(self, node: Node, value: Any, wanted: str, *also: str) -> Any:
        if not self._guarded or not isinstance(node, Reference):
            return value
        fits = {"in": [{"type": [value]}, [*_ENGINE_TYPES[wanted], *also]]}
        return {"if": [fits, value, {"throw": f"{path_text(node.path)} must be {wanted}"}]}


def _read(path: Path) -> Any:
    parts = [str(part) for part in path]
    return {"val": parts} if any("." in part or not part for part in parts) else {"var": ".".join(parts)}


def _read_or_null(node: Node) -> Any:
    assert isinstance(node, Reference)  # noqa: S101 - the grammar admits paths only
    match _read(node.path):
        case {"var": dotted}:
            return {"var": [dotted, None]}
        case plain:
            return {"if": [{"exists": [str(part) for part in node.path]}, plain, None]}


def _is_of(node: Reference, kind: str) -> Any:
    return {"in": [{"type": [_read(node.path)]}, list(_ENGINE_TYPES[kind])]}


def _expected(node: Node) -> str | None:
    """The kind that ``node`` gives, or is meant to give; None if nothing tells."""
    match node:
        case Reference():
            return None
        case Literal(None):
            return "null"
        case Literal(value):
            return _BOOLEAN if isinstance(value, bool) else _TEXT if isinstance(value, str) else _NUMBER
        case Operation("?:", (_, chosen, other)):
            return _expected(chosen) or _expected(other)
        case Operation("default", arguments):
            return _expected(arguments[-1])
        case Operation(operator):
            return _KINDS[operator]
