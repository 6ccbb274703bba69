"""The words of the expression language: numbers, strings, paths, symbols, and where the text ends."""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from domain.errors import ExpressionError
from domain.paths import Path

MAX_SOURCE_LENGTH: Final = 4096
"""How many characters an expression may have."""

_LARGEST: Final = 2**63
_SHOWN_BEFORE: Final = 30
_SHOWN_AFTER: Final = 50


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression. ``kind`` is word, path, number, string, symbol, close or end."""

    kind: str
    text: str
    position: int

    @property
    def end(self) -> int:
        """The position after it."""
        return self.position + len(self.text)


_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<word>(?:and|or|not|in|true|false|null)\b)
    | (?P<path>[^\W\d]\w*(?:\.\w+|\[\s*(?:\d+|{_STRING})\s*\])*)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w))
    | (?P<string>{_STRING})
    | (?P<symbol>==|!=|>=|<=|&&|\|\||[-<>!+*/%?:(),\[\]])
    | (?P<close>\}}\}}?)
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(rf"\.(\w+)|\[\s*(?:(\d+)|({_STRING}))\s*\]|([^\W\d]\w*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "/": "/"}

_HINTS: Final = {
    "=": "; equality is written ==",
    "&": "; a conjunction is written && or and",
    "|": "; a disjunction is written || or or, and there are no filters",
    "$": "; a secret must be a placeholder of its own: {{$secret.NAME}}",
    "{": "; there are no objects in expressions",
    ".": "; a path has no spaces around its dots and begins with a name",
    "'": "; the string is not closed",
    '"': "; the string is not closed",
}


class Lexer:
    """Reads the words of ``source`` from ``start`` on, up to ``close`` (``}}`` or ``}``) or, without it, the end."""

    def __init__(self, source: str, start: int, close: str) -> None:
        self._source = source
        self._start = start
        self._close = close

    def read(self, position: int) -> Token:
        """The word at ``position``. Raises ``ExpressionError`` where there is none."""
        found = _TOKEN.match(self._source, position)
        kind = found.lastgroup if found is not None else None
        if found is None or kind is None or (kind == "close" and not self._close):
            self._refuse_character(position)
        token = Token(kind, found[kind], found.start(kind))
        if kind == "close":
            if not token.text.startswith(self._close):
                self.fail(f"unexpected {token.text!r}", token.position)
            token = Token(kind, self._close, token.position)
        if kind == "end" and self._close:
            self.fail(f"the placeholder is not closed: {self._close} is missing", self._start)
        if token.end - self._start > MAX_SOURCE_LENGTH:
            self.fail(f"the expression is longer than {MAX_SOURCE_LENGTH} characters", self._start)
        return token

    def fail(self, message: str, position: int) -> NoReturn:
        """Raise ``ExpressionError`` that shows the text around ``position``."""
        shown = self._source[max(0, position - _SHOWN_BEFORE) : position + _SHOWN_AFTER]
        raise ExpressionError(
            f"{message} (at character {position + 1}: {shown!r})", source=self._source, position=position
        )

    def number(self, token: Token) -> int | float:
        """The value of a number."""
        value: int | float = int(token.text) if token.text.isdecimal() else float(token.text)
        if not -_LARGEST <= value < _LARGEST:
            self.fail("the number is beyond 64 bits", token.position)
        return value

    def string(self, token: Token) -> str:
        """The text between the quotes, its escapes resolved."""
        return self._unquote(token.text, token.position)

    def path(self, token: Token) -> Path:
        """The parts of a path; digits are an index, unless zeros lead them."""
        parts: list[str | int] = []
        for found in _PART.finditer(token.text):
            field, digits, quoted, root = found.groups()
            if quoted is not None:
                parts.append(self._unquote(quoted, token.position))
            elif digits is not None:
                parts.append(int(digits))
            else:
                parts.append(_part(field or root))
        return tuple(parts)

    def _unquote(self, quoted: str, position: int) -> str:
        def unescape(found: re.Match[str]) -> str:
            escape = found[1]
            if len(escape) > 1:
                return chr(int(escape[1:], 16))
            if escape not in _ESCAPES:
                self.fail(f"there is no escape \\{escape}", position)
            return _ESCAPES[escape]

        text = _ESCAPE.sub(unescape, quoted[1:-1])
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.fail("half a surrogate pair is no text", position)
        return text

    def _refuse_character(self, position: int) -> NoReturn:
        rest = self._source[position:]
        at = position + len(rest) - len(rest.lstrip())
        character = self._source[at]
        self.fail(f"unexpected {character!r}{_HINTS.get(character, '')}", at)


def _part(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdecimal() and str(int(text)) == text else text
