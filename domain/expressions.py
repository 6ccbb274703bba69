"""Expressions: what stands between ``{{`` and ``}}``, parsed once, evaluated on a ``Scope`` as often as needed.

    expression = parse_expression("input.amount > 500 && input.currency == 'usd'")
    expression.evaluate(scope)      # True
    expression.logic                # the JSONLogic that it compiles to

A missing path is an error, except within ``has(…)`` and ``default(…)``. ``==`` of different types is false; ``<`` and
its like take two numbers or two texts, arithmetic takes numbers (``number(…)`` converts a text). Texts that are dates
with a time compare as instants. ``&&`` and ``||`` read their right side only if they must, and give the value that
decided. False, null, 0, the empty text, list and object count as false.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from domain.compiler import guarded_logic, portable_logic
from domain.errors import ExpressionError
from domain.grammar import Literal, Node, Operation, Reference, parse
from domain.jsonlogic import Program
from domain.paths import Path
from domain.scope import Scope

_CACHED: Final = 4096
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "neg", "number"})


class Expression:
    """A parsed expression; immutable, to be shared by any number of runs.

    ``source`` is its text, ``node`` its tree, ``reads`` the paths that it may read. ``optional`` are those among them
    that it reads in ``has(…)`` or ``default(…)`` alone, so that it does not mind if they are missing.
    """

    __slots__ = ("_logic", "_path", "_program", "node", "optional", "reads", "source")

    def __init__(self, node: Node, source: str) -> None:
        self.source = source
        self.node = node
        self._path = node.path if isinstance(node, Reference) else None
        reads = list(_reads(node))
        self.reads: tuple[Path, ...] = tuple(dict.fromkeys(path for path, _ in reads))
        required = {path for path, needed in reads if needed}
        self.optional: frozenset[Path] = frozenset(self.reads) - required
        try:
            self._logic = portable_logic(node)
            logic = guarded_logic(node)
        except ExpressionError as error:
            raise ExpressionError(f"{error} in {source!r}", source=source, position=error.position) from error
        simple = isinstance(node, Reference | Literal)
        self._program = None if simple else Program(logic, source=source, reads=self.reads, strict=True)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    @property
    def logic(self) -> Any:
        """The JSONLogic that says the same."""
        return self._logic

    @property
    def is_static(self) -> bool:
        """Whether it reads nothing, and so always gives the same."""
        return not self.reads

    def evaluate(self, scope: Scope) -> Any:
        """The value on ``scope``. Raises ``MissingPath``, or ``ExpressionError`` for values of the wrong kind."""
        if self._path is not None:
            return scope.resolve(self._path)
        if self._program is None:
            return self.node.value if isinstance(self.node, Literal) else None
        value = self._program.evaluate(scope)
        if value is None and isinstance(self.node, Operation) and self.node.operator in _ARITHMETIC:
            raise ExpressionError(f"{self.source!r} gives a number that is too large", source=self.source)
        return value

    def holds(self, scope: Scope) -> bool:
        """Whether the value counts as true."""
        return bool(self.evaluate(scope))

    def explain(self, scope: Scope) -> dict[str, Any]:
        """How it comes to its value: ``source``, ``result`` or ``error``, ``reads`` and the ``tree`` of its parts."""
        explained = Program(self._logic, source=self.source, reads=self.reads, strict=True).explain(scope)
        try:
            outcome = {"result": self.evaluate(scope), "error": None}
        except ExpressionError as error:
            outcome = {"result": None, "error": str(error)}
        return {"source": self.source, **explained, **outcome}


@lru_cache(maxsize=_CACHED)
def parse_expression(source: str) -> Expression:
    """The expression that ``source`` says. Raises ``ExpressionError`` with the position of the fault, nothing else."""
    return Expression(parse(source), source)


def _reads(node: Node, *, needed: bool = True) -> Iterator[tuple[Path, bool]]:
    """The paths that ``node`` reads, and whether each must exist."""
    match node:
        case Reference(path):
            yield path, needed
        case Operation("has", arguments):
            for argument in arguments:
                yield from _reads(argument, needed=False)
        case Operation("default", (*tested, last)):
            for argument in tested:
                yield from _reads(argument, needed=False)
            yield from _reads(last)
        case Operation(_, arguments):
            for argument in arguments:
                yield from _reads(argument)
