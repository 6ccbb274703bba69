"""Where the placeholders of a text are: ``{{ … }}``, ``${ … }`` and ``{{$secret.NAME}}``.

A text is read once, when its definition is published. ``{{ '{{' }}`` writes ``{{`` itself, ``{{ '${' }}`` writes
``${``; ``}}``, ``$`` and single braces need no such care. In ``${{x}}`` the dollar is plain text.
"""

import re
from typing import Final

from domain.errors import ExpressionError
from domain.expressions import Expression
from domain.grammar import parse_until
from domain.messages import SecretName

_OPENING: Final = re.compile(r"\{\{|\$\{(?!\{)")
_SECRET: Final = re.compile(r"\s*\$secret\.([A-Za-z_][A-Za-z0-9_.-]*)\s*")

Part = str | Expression | SecretName


def split(text: str) -> list[Part]:
    """The plain texts, expressions and secrets that ``text`` is made of, in order; no two plain texts adjoin.

    Raises ``ExpressionError`` with the position of the fault in ``text``.
    """
    parts: list[Part] = []
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        if opening.start() > position:
            parts.append(text[position : opening.start()])
        part, position = _placeholder(text, opening)
        parts.append(part)
    if position < len(text):
        parts.append(text[position:])
    return parts


def split_around_faults(text: str, limit: int = 100) -> tuple[list[Part], list[ExpressionError]]:
    """Like ``split``, with each faulty placeholder left out and its error told; it ends after ``limit`` of them."""
    parts: list[Part] = []
    errors: list[ExpressionError] = []
    position = 0
    while len(errors) < limit and (opening := _OPENING.search(text, position)) is not None:
        try:
            part, position = _placeholder(text, opening)
        except ExpressionError as error:
            errors.append(error)
            close = "}}" if opening[0] == "{{" else "}"
            end = text.find(close, opening.end())
            if end < 0:
                break
            position = end + len(close)
        else:
            parts.append(part)
    return parts, errors


def _placeholder(text: str, opening: re.Match[str]) -> tuple[Expression | SecretName, int]:
    close = "}}" if opening[0] == "{{" else "}"
    secret = _SECRET.match(text, opening.end())
    if secret is not None and text.startswith(close, secret.end()):
        return SecretName(secret=secret[1]), secret.end() + len(close)
    node, after = parse_until(text, opening.end(), close=close)
    return Expression(node, text[opening.end() : after - len(close)].strip()), after
