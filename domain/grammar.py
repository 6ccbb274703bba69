"""The grammar of ``{{ … }}`` and ``${ … }``: from text to a tree. It is closed: nothing here can call into Python.

    ternary     disjunction [ "?" ternary ":" ternary ]
    disjunction conjunction { ("||" | "or") conjunction }
    conjunction negation { ("&&" | "and") negation }
    negation    "not" negation | comparison
    comparison  sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") sum ]
    sum         product { ("+" | "-") product }
    product     unary { ("*" | "/" | "%") unary }
    unary       ("!" | "-") unary | primary
    primary     number | string | true | false | null | path | name "(" … ")" | "[" … "]" | "(" ternary ")"
    path        name { "." name | "." digits | "[" digits "]" | "[" string "]" }

Strings stand in single or double quotes, with the escapes ``\\n \\t \\r \\\\ \\' \\"`` and ``\\uXXXX``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn

from domain.paths import Path
from domain.tokens import Lexer, Token

MAX_DEPTH: Final = 32
"""How deep an expression may nest."""

FUNCTIONS: Final[dict[str, tuple[int, int]]] = {
    "default": (2, 16),
    "has": (1, 1),
    "len": (1, 1),
    "lower": (1, 1),
    "number": (1, 1),
    "upper": (1, 1),
}
"""The functions, with the least and the greatest number of arguments."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: number, string, true, false or null."""

    value: str | int | float | bool | None
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Reference:
    """A path to be looked up in the scope."""

    path: Path
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator, a function, a list (``[]``) or a ternary (``?:``) over its arguments."""

    operator: str
    arguments: tuple["Node", ...]
    depth: int


Node = Literal | Reference | Operation


_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_SPELLINGS: Final = {"and": "&&", "or": "||", "not": "!"}


def parse(source: str) -> Node:
    """The tree of a whole expression. Raises ``ExpressionError`` with the position of the fault."""
    node, _ = parse_until(source, 0, close="")
    return node


def parse_until(source: str, start: int, *, close: str) -> tuple[Node, int]:
    """The tree of the expression that begins at ``start`` and ends with ``close``, and the position after that."""
    parser = _Parser(source, start, close)
    node = parser.whole()
    return node, parser.after


def operation(operator: str, *arguments: Node) -> Operation:
    """An operation over ``arguments``, deeper than the deepest of them by one."""
    return Operation(operator, arguments, 1 + max((argument.depth for argument in arguments), default=0))


class _Parser:
    def __init__(self, source: str, start: int, close: str) -> None:
        self._lexer = Lexer(source, start, close)
        self._nesting = 0
        self._token = self._lexer.read(start)

    def whole(self) -> Node:
        if self._at_end():
            self._fail("there is no expression here")
        node = self._ternary()
        if not self._at_end():
            self._fail(f"unexpected {self._token.text!r}")
        return node

    @property
    def after(self) -> int:
        """The position after the word at hand."""
        return self._token.end

    def _at_end(self) -> bool:
        return self._token.kind in ("end", "close")

    def _fail(self, message: str, token: Token | None = None) -> NoReturn:
        self._lexer.fail(message, (token or self._token).position)

    def _take(self) -> Token:
        token = self._token
        if token.kind not in ("end", "close"):
            self._token = self._lexer.read(token.end)
        return token

    def _spelling(self) -> str:
        """The operator at hand, in its one spelling; empty for anything else."""
        token = self._token
        return _SPELLINGS.get(token.text, token.text) if token.kind in ("word", "symbol") else ""

    def _expect(self, symbol: str) -> None:
        if self._token.kind != "symbol" or self._token.text != symbol:
            self._fail(f"{symbol!r} is missing")
        self._take()

    def _operation(self, operator: str, *arguments: Node) -> Operation:
        made = operation(operator, *arguments)
        if made.depth > MAX_DEPTH:
            self._fail(f"the expression nests deeper than {MAX_DEPTH}")
        return made

    def _deeper(self, parse_part: Callable[[], Node]) -> Node:
        if self._nesting >= MAX_DEPTH:
            self._fail(f"the expression nests deeper than {MAX_DEPTH}")
        self._nesting += 1
        node = parse_part()
        self._nesting -= 1
        return node

    def _ternary(self) -> Node:
        condition = self._chain("||", lambda: self._chain("&&", self._negation))
        if self._spelling() != "?":
            return condition
        self._take()
        chosen = self._deeper(self._ternary)
        self._expect(":")
        return self._operation("?:", condition, chosen, self._deeper(self._ternary))

    def _chain(self, operator: str, parse_part: Callable[[], Node]) -> Node:
        parts = [parse_part()]
        while self._spelling() == operator:
            self._take()
            parts.append(parse_part())
        return parts[0] if len(parts) == 1 else self._operation(operator, *parts)

    def _negation(self) -> Node:
        if self._token.kind == "word" and self._token.text == "not":
            self._take()
            return self._operation("!", self._deeper(self._negation))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        negated = self._spelling() == "!" and self._token.kind == "word"
        if negated:
            self._take()
            if self._spelling() != "in":
                self._fail("'in' is missing after 'not'")
        if self._spelling() not in _COMPARISONS:
            return left
        operator = self._take().text
        compared = self._operation(operator, left, self._sum())
        if self._spelling() in _COMPARISONS:
            self._fail("comparisons do not chain; join them with &&")
        return self._operation("!", compared) if negated else compared

    def _sum(self) -> Node:
        return self._left_associative(("+", "-"), lambda: self._left_associative(("*", "/", "%"), self._unary))

    def _left_associative(self, operators: tuple[str, ...], parse_part: Callable[[], Node]) -> Node:
        node = parse_part()
        while self._spelling() in operators:
            operator = self._take().text
            part = parse_part()
            if operator in "+*" and isinstance(node, Operation) and node.operator == operator:
                node = self._operation(operator, *node.arguments, part)
            else:
                node = self._operation(operator, node, part)
        return node

    def _unary(self) -> Node:
        spelling = self._spelling() if self._token.kind == "symbol" else ""
        if spelling not in ("!", "-"):
            return self._primary()
        self._take()
        operand = self._deeper(self._unary)
        if spelling == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(-operand.value)  # type: ignore[operator]
        return self._operation("!" if spelling == "!" else "neg", operand)

    def _primary(self) -> Node:  # noqa: RET503 - the last word is a failure
        token = self._token
        match token.kind:
            case "number":
                return Literal(self._lexer.number(self._take()))
            case "string":
                return Literal(self._lexer.string(self._take()))
            case "word" if token.text in ("true", "false", "null"):
                return Literal({"true": True, "false": False, "null": None}[self._take().text])
            case "path":
                self._take()
                return self._call(token) if self._spelling() == "(" else Reference(self._lexer.path(token))
            case "symbol" if token.text == "(":
                self._take()
                inner = self._deeper(self._ternary)
                self._expect(")")
                return inner
            case "symbol" if token.text == "[":
                self._take()
                return self._operation("[]", *self._arguments("]"))
            case "end" | "close":
                self._fail("the expression ends too early")
        self._fail(f"unexpected {token.text!r}")

    def _call(self, name: Token) -> Node:
        if name.text not in FUNCTIONS:
            close = get_close_matches(name.text, FUNCTIONS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(FUNCTIONS)}"
            self._fail(f"there is no function {name.text}; {hint}", name)
        self._take()
        arguments = self._arguments(")")
        least, most = FUNCTIONS[name.text]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"at least {least}"
            self._fail(f"{name.text} takes {wanted} argument(s), not {len(arguments)}", name)
        tested = arguments[:-1] if name.text == "default" else arguments if name.text == "has" else ()
        if not all(isinstance(argument, Reference) for argument in tested):
            self._fail(f"{name.text} tests paths, such as {name.text}(input.x…)", name)
        return self._operation(name.text, *arguments)

    def _arguments(self, end: str) -> list[Node]:
        arguments: list[Node] = []
        while self._spelling() != end:
            if arguments:
                self._expect(",")
            arguments.append(self._deeper(self._ternary))
        self._take()
        return arguments
