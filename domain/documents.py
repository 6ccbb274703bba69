"""Documents that people write, read safely: YAML 1.2 (core schema) or JSON text to plain JSON values.

What could hurt is refused: aliases and anchors, tags, duplicate keys, NaN and infinity, NUL and lone surrogates,
nesting over 64 levels, text over 1 MiB. ``on``, ``yes`` and ``no`` are words, as YAML 1.2 says.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn

import yaml
from pydantic import JsonValue

from domain.errors import DefinitionInvalid, Fault

MAX_BYTES: Final = 1024 * 1024
"""Limit of a document's text."""

MAX_DEPTH: Final = 64
"""Limit of a document's nesting."""

MAX_FAULTS: Final = 100
"""How many faults of one document are told at once."""

_MAX_INTEGER: Final = 2**63
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_BASES: Final = {"0o": 8, "0x": 16}
_INTEGER_LENGTH: Final = 30
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE: Final = frozenset(
    {sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")} | {".nan", ".NaN", ".NAN"}
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """A document's value, and where its parts stand in the text."""

    value: JsonValue
    file: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    """JSON pointer -> line, from 1. Empty for JSON."""

    def locate(self, faults: Iterable[Fault]) -> list[Fault]:
        """``faults`` with their ``file`` as ``name:line``, as editors and terminals make it a link."""
        return [fault.model_copy(update={"file": self._place(fault.path)}) for fault in faults]

    def _place(self, pointer: str) -> str | None:
        if self.file is None:
            return None
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        line = self.lines.get(pointer)
        return self.file if line is None else f"{self.file}:{line}"


def json_pointer(parts: Iterable[str | int]) -> str:
    """The RFC 6901 pointer of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def parse_document(
    text: str | bytes, *, file: str | None = None, form: Literal["yaml", "json"] | None = None
) -> Document:
    """Read a document. Without ``form``, a ``file`` that ends with ``.json`` is JSON and everything else YAML.

    Raises ``DefinitionInvalid``.
    """
    if form is None:
        form = "json" if file is not None and file.endswith(".json") else "yaml"
    content = _decoded(text, file)
    document = _read_json(content, file) if form == "json" else _YamlReader(file).read(content)
    faults = json_faults(document.value)
    if faults:
        _refuse(document.locate(faults))
    return document


def json_faults(value: object) -> list[Fault]:
    """What keeps ``value`` from being stored and passed on as JSON: at most a hundred faults, by pointer."""
    faults: list[Fault] = []
    pending: list[tuple[str, int, object]] = [("", 1, value)]
    while pending and len(faults) < MAX_FAULTS:
        pointer, depth, item = pending.pop()
        if isinstance(item, (dict, list)) and depth > MAX_DEPTH:
            faults.append(_too_deep(pointer))
        elif isinstance(item, dict):
            faults += [fault for key in item if (fault := _key_fault(pointer, key))]
            inner = [(pointer + json_pointer([key]), depth + 1, item[key]) for key in item if isinstance(key, str)]
            pending += reversed(inner)
        elif isinstance(item, list):
            pending += reversed([(f"{pointer}/{index}", depth + 1, each) for index, each in enumerate(item)])
        elif fault := _scalar_fault(pointer, item):
            faults.append(fault)
    return faults


def _key_fault(pointer: str, key: object) -> Fault | None:
    if not isinstance(key, str):
        return Fault(path=pointer, reason=f"the key {key!r} is not text", remedy="put it in quotes")
    if _UNSTORABLE.search(key):
        reason = f"the key {key!a} holds a character that cannot be stored"
        return Fault(path=pointer, reason=reason, remedy="remove the character")
    return None


def _scalar_fault(pointer: str, value: object) -> Fault | None:
    reason = remedy = ""
    match value:
        case None | bool():
            pass
        case str():
            if _UNSTORABLE.search(value):
                reason, remedy = "NUL and lone surrogates cannot be stored", "remove the character"
        case int():
            if abs(value) >= _MAX_INTEGER:
                reason, remedy = "the number is over 64 bits", "write it as text, in quotes"
        case float():
            if not math.isfinite(value):
                reason, remedy = "the number is not finite", "use null or a finite number"
        case _:
            reason, remedy = f"a {type(value).__name__} is not a JSON value", "use text, numbers, lists and objects"
    return Fault(path=pointer, reason=reason, remedy=remedy) if reason else None


def _too_deep(pointer: str) -> Fault:
    reason = f"nested deeper than {MAX_DEPTH} levels"
    return Fault(path=pointer, reason=reason, remedy="make it flatter, or a process of its own")


def _refuse(faults: Sequence[Fault]) -> NoReturn:
    raise DefinitionInvalid("the document cannot be read", faults)


def _refuse_text(reason: str, remedy: str, file: str | None) -> NoReturn:
    _refuse([Fault(path="", reason=reason, remedy=remedy, file=file)])


def _decoded(text: str | bytes, file: str | None) -> str:
    try:
        raw = text.encode() if isinstance(text, str) else text
        content = raw.decode("utf-8-sig")
    except UnicodeError:
        _refuse_text("the text is not UTF-8", "save it as UTF-8", file)
    if len(raw) > MAX_BYTES:
        _refuse_text(f"the text is {len(raw)} bytes, the limit is {MAX_BYTES}", "split it into several processes", file)
    return content


def _read_json(text: str, file: str | None) -> Document:
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
        if depth > MAX_DEPTH:
            _refuse([_too_deep("").model_copy(update={"file": file})])
    try:
        return Document(json.loads(text, object_pairs_hook=_unique_pairs), file)
    except json.JSONDecodeError as error:
        place = None if file is None else f"{file}:{error.lineno}"
        _refuse_text(f"this is not JSON: {error.msg} in line {error.lineno}, column {error.colno}", "correct it", place)
    except _DuplicateKeyError as error:
        _refuse_text(f"the key {error.key!r} appears twice in one object", "remove one of them", file)
    except ValueError:
        _refuse_text("a number has too many digits", "write it as text, in quotes", file)


class _DuplicateKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return result


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence whose end has not come yet."""

    pointer: str
    into: dict[str, Any] | list[Any]
    key: str | None = None


class _YamlReader:
    """Builds the value from the parser's events, so that nothing is ever expanded or constructed."""

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._lines: dict[str, int] = {}
        self._faults: list[Fault] = []
        self._stack: list[_Frame] = []
        self._root: Any = None
        self._documents = 0

    def read(self, text: str) -> Document:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            reason = " ".join(filter(None, (error.context, error.problem)))
            self._fault(f"this is not YAML: {reason}{where}", "correct it", mark.line + 1 if mark else None)
        except yaml.YAMLError as error:
            self._fault(f"this is not YAML: {error}", "correct it", None)
        if self._faults:
            _refuse(self._faults)
        return Document(self._root, self._file, self._lines)

    def _take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else None
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop("there is more than one document", "keep one process per file", line)
            case yaml.AliasEvent():
                self._stop(f"the alias *{event.anchor} is not allowed", "write the value out", line)
            case yaml.ScalarEvent():
                self._check_node(event, line)
                self._scalar(event, line)
            case yaml.CollectionStartEvent():
                self._check_node(event, line)
                into: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._stack.append(_Frame(self._put(into, line), into))
                if len(self._stack) > MAX_DEPTH:
                    deep = _too_deep("")
                    self._stop(deep.reason, deep.remedy, line)
            case yaml.CollectionEndEvent():
                self._stack.pop()

    def _check_node(self, event: Any, line: int | None) -> None:
        if event.anchor is not None:
            self._fault(f"the anchor &{event.anchor} is not allowed", "remove it and write values out", line)
        if event.tag is not None:
            self._fault(f"the tag {event.tag} is not allowed", "remove it; quote what shall be text", line)

    def _scalar(self, event: yaml.ScalarEvent, line: int | None) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is None or isinstance(frame.into, list) or frame.key is not None:
            self._put(_plain_scalar(event.value) if event.implicit[0] else event.value, line)
            return
        frame.key = event.value
        if frame.key in frame.into:
            self._fault(f"the key {frame.key!r} appears twice", "remove one of them", line, frame.pointer)

    def _put(self, value: Any, line: int | None) -> str:
        """Put a value where it belongs and return its pointer."""
        if not self._stack:
            self._root, pointer = value, ""
        else:
            frame = self._stack[-1]
            if isinstance(frame.into, list):
                pointer = f"{frame.pointer}/{len(frame.into)}"
                frame.into.append(value)
            elif frame.key is None:
                self._stop("a key must be text, not a list or mapping", "put it in quotes", line)
            else:
                pointer = frame.pointer + json_pointer([frame.key])
                frame.into[frame.key] = value
                frame.key = None
        if line is not None:
            self._lines[pointer] = line
        return pointer

    def _stop(self, reason: str, remedy: str, line: int | None) -> NoReturn:
        self._fault(reason, remedy, line)
        _refuse(self._faults)

    def _fault(self, reason: str, remedy: str, line: int | None, pointer: str = "") -> None:
        place = self._file if line is None or self._file is None else f"{self._file}:{line}"
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(path=pointer, reason=reason, remedy=remedy, file=place))


def _plain_scalar(text: str) -> JsonValue:
    """What an unquoted YAML scalar means in the core schema of YAML 1.2."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _MAX_INTEGER if len(text) > _INTEGER_LENGTH else int(text, _BASES.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.nan if text in _NOT_FINITE else text
