"""The source systems' forms of definitions, read into the one model.

    {"action": "http.post", "config": {…}}                                      a step without name and type
    {"id": "notify", "type": "slack.post_message", "params": {…}}               likewise
    {"action": "core.wait_for_signal", "config": {"signal", "timeout", …}}      wait_for_signal
    {"type": "service_call", "service", "method", "params", "max_retries",      action <service>.<method>, with
     "condition": {"operator", "left", "right"}}                                `when` and `retry`
    {"type": "transform", "transform_type": "map", "source", "mapping"}         transform.map; filter likewise
    {"type": "condition", "condition": {…}}                                     a branch that stops the run
    {"trigger": {…}}, {"type": "signal", "config": {"model", "action": …}}      triggers
    {"name", "description", "definition": {"steps": […]}, "version"}            the REST document

A step's condition is evaluated before the step. Faults point into the document as it was written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from domain.definition import Definition
from domain.documents import MAX_FAULTS, json_faults, json_pointer
from domain.errors import DefinitionInvalid, Fault
from domain.ids import is_name
from domain.mending import mended_definition
from domain.model_faults import model_faults

WAIT_FOR_SIGNAL_ACTION: Final = "core.wait_for_signal"
"""The name under which the tutorials wait for a signal."""

_FIRST_TRY_ONLY: Final = frozenset({"wait", "transform", "branch", "stop", "wait_for_signal", "parallel", "foreach"})
_SIGNALS: Final = {"create": "created", "update": "updated", "delete": "deleted"}
_PATH_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
_NAME_LENGTH: Final = 64

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParsedDefinition:
    """A definition, and where its parts stand in the document that it was read from."""

    definition: Definition
    origins: Mapping[str, str]
    """JSON pointer into the definition's body -> into the document, where they differ. For ``point_back``."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a document could be understood. Without ``faults``, ``parsed`` is what it says; with some, it is what
    remains (harmless stand-ins are in the place of what was refused), for further checks only.
    """

    parsed: ParsedDefinition | None
    faults: list[Fault]


def parse_definition(document: object) -> Definition:
    """The definition that ``document`` (JSON values, any dialect) holds.

    Raises ``DefinitionInvalid`` with every fault that the document alone shows (a hundred at most);
    ``domain/checks.py`` finds the rest.
    """
    return read_definition(document).definition


def read_definition(document: object) -> ParsedDefinition:
    """Like ``parse_definition``, keeping track of where each part stood in ``document``."""
    reading = read_what_can_be(document)
    if reading.parsed is None or reading.faults:
        raise DefinitionInvalid("the definition is invalid", reading.faults)
    return reading.parsed


def read_what_can_be(document: object) -> Reading:
    """Read ``document`` as far as it can be understood, however faulty the rest is. Never raises."""
    if faults := json_faults(document):
        return Reading(None, faults)
    translator = _Translator()
    body = translator.document(document)
    try:
        definition = Definition.model_validate(body)
    except ValidationError as error:
        found = point_back(model_faults(error, body, Definition), translator.origins)
        mended = mended_definition(body) if isinstance(body, dict) else None
        parsed = None if mended is None else ParsedDefinition(mended, translator.origins)
        return Reading(parsed, [*translator.faults, *found][:MAX_FAULTS])
    return Reading(ParsedDefinition(definition, translator.origins), translator.faults[:MAX_FAULTS])


def point_back(faults: Iterable[Fault], origins: Mapping[str, str]) -> list[Fault]:
    """``faults`` of a definition's body, pointing into the document that it was read from."""
    return [fault.model_copy(update={"path": _origin(fault.path, origins)}) for fault in faults]


def _origin(pointer: str, origins: Mapping[str, str]) -> str:
    head, tail = pointer, ""
    while head not in origins:
        if not head:
            return pointer
        head, _, last = head.rpartition("/")
        tail = f"/{last}{tail}"
    return origins[head] + tail


@dataclass(slots=True)
class _Translator:
    """Translates one document. ``here`` is a pointer into the result, ``there`` one into the document."""

    origins: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def document(self, document: object) -> object:
        if not isinstance(document, dict):
            return document
        body, base = self._merged(document) if isinstance(document.get("definition"), dict) else (dict(document), "")
        if isinstance(tags := body.get("tags"), list) and all(isinstance(tag, str) for tag in tags):
            body["tags"] = dict.fromkeys(tags, True)
        if "trigger" in body and "triggers" not in body:
            self._move("/triggers/0", f"{base}/trigger")
            body["triggers"] = [body.pop("trigger")]
        if isinstance(triggers := body.get("triggers"), list):
            triggers = [self._with_rule(each, body) for each in triggers]
            body.pop("rule", None)
            body["triggers"] = [
                self._trigger(each, f"/triggers/{index}", _origin(f"/triggers/{index}", self.origins))
                for index, each in enumerate(triggers)
            ]
        if isinstance(steps := body.get("steps"), list):
            body["steps"] = self._steps(steps, "/steps", f"{base}/steps", "step")
        return body

    def _merged(self, document: JsonObject) -> tuple[JsonObject, str]:
        """The REST document: what stands beside ``definition`` belongs to it."""
        inner, outer = document["definition"], {key: document[key] for key in document if key != "definition"}
        outer.pop("is_active", None)  # of the process, not of this version
        for key in inner:
            self._move(json_pointer([key]), json_pointer(["definition", key]))
            if key in outer and outer[key] != inner[key]:
                self._fault(
                    json_pointer(["definition", key]), f"{key!r} is given twice, differently", "keep one of them"
                )
        return {**inner, **outer}, "/definition" if "steps" in inner else ""

    @staticmethod
    def _with_rule(raw: object, body: JsonObject) -> object:
        """A rule beside the triggers, or beside a trigger's configuration, belongs into that."""
        if not isinstance(raw, dict):
            return raw
        trigger = dict(raw)
        rule = trigger.pop("rule", body.get("rule"))
        config = trigger.get("config", {})
        if rule is None or not isinstance(config, dict) or "rule" in config:
            return raw
        return {**trigger, "config": {**config, "rule": rule}}

    def _trigger(self, raw: object, here: str, there: str) -> object:
        if not isinstance(raw, dict) or not isinstance(raw.get("config"), dict):
            return raw
        config = dict(raw["config"])
        kind = raw.get("type")
        renamed = {"signal": ("action", "signal"), "event": ("event_type", "event"), "webhook": ("source", "path")}
        if isinstance(kind, str) and kind in renamed:
            self._rename(config, *renamed[kind], f"{here}/config", f"{there}/config")
        if kind == "signal" and isinstance(signal := config.get("signal"), str):
            config["signal"] = _SIGNALS.get(signal, signal)
        return {**raw, "config": config}

    def _steps(self, raw: list[Any], here: str, there: str, prefix: str, first: int = 1) -> list[Any]:
        return [
            self._step(each, f"{here}/{index}", f"{there}/{index}", f"{prefix}_{index + first}")
            for index, each in enumerate(raw)
        ]

    def _step(self, raw: object, here: str, there: str, auto_name: str) -> object:
        if not isinstance(raw, dict):
            return raw
        if here != there:
            self._move(here, there)
        step = dict(raw)
        self._rename(step, "id", "name", here, there)
        step.setdefault("name", auto_name)
        told = len(self.faults)
        self._type(step, here, there)
        if len(self.faults) > told:  # nobody can tell which action was meant
            return {"name": step["name"], "type": "transform", "set": None}
        kind = step["type"] if isinstance(step.get("type"), str) else ""
        if kind != "condition":
            self._rename(step, "condition", "when", here, there)
        self._retries(step, kind, here, there)
        match kind:
            case "condition":
                return self._gate(step, here, there)
            case "transform":
                self._transform(step, here)
            case "action" if step.get("action") == WAIT_FOR_SIGNAL_ACTION:
                self._wait_for_signal(step, here, there)
        self._blocks(step, here, there)
        return step

    def _type(self, step: JsonObject, here: str, there: str) -> None:
        kind = step.get("type")
        if kind == "service_call":
            step["type"] = "action"
            step["action"] = f"{self._text(step, 'service', there)}.{self._text(step, 'method', there)}"
            self._move(f"{here}/action", f"{there}/method")
        elif isinstance(kind, str) and "." in kind and "action" not in step:
            self._rename(step, "type", "action", here, there)
            step["type"] = "action"
        elif kind is None and "action" in step:
            step["type"] = "action"
        if step.get("type") == "action":
            self._rename(step, "params", "config", here, there)

    def _text(self, step: JsonObject, name: str, there: str) -> str:
        value = step.pop(name, None)
        if isinstance(value, str) and value:
            return value
        self._fault(there, f"a service_call needs {name!r} as text", f"add {name!r}")
        return "missing"

    def _retries(self, step: JsonObject, kind: str, here: str, there: str) -> None:
        """``max_retries`` beside the other fields. Steps that cannot fail by chance have no use for it."""
        if "max_retries" not in step:
            return
        retries, retry = step.pop("max_retries"), step.get("retry", {})
        if kind not in _FIRST_TRY_ONLY and kind != "condition" and isinstance(retry, dict):
            self._move(f"{here}/retry/max_retries", f"{there}/max_retries")
            step["retry"] = {"max_retries": retries, **retry}

    def _transform(self, step: JsonObject, here: str) -> None:
        kind = step.get("transform_type")
        if kind not in ("map", "filter"):
            return
        del step["transform_type"]
        inner: JsonObject = {}
        names = (
            {"source": "source", "mapping": "template"} if kind == "map" else {"source": "source", "when": "condition"}
        )
        for old, new in names.items():
            if old in step:
                inner[new] = step.pop(old)
                self._move(f"{here}/{kind}/{new}", _origin(f"{here}/{old}", self.origins))
        if isinstance(source := inner.get("source"), str) and source and set(source) <= _PATH_LETTERS:
            inner["source"] = f"${{{source}}}"
        step[kind] = inner

    def _gate(self, step: JsonObject, here: str, there: str) -> JsonObject:
        """A condition step: the run goes on if it is true, and else ends here as completed."""
        name = step["name"]
        stop = {"name": f"{name[: _NAME_LENGTH - 5]}_stop", "type": "stop"} if isinstance(name, str) else {}
        self._rename(step, "condition", "on", here, there)
        return {**step, "type": "branch", "branches": {"true": []}, "default": [stop]}

    def _wait_for_signal(self, step: JsonObject, here: str, there: str) -> None:
        del step["action"]
        step["type"] = "wait_for_signal"
        config = step.pop("config", {})
        if not isinstance(config, dict):
            step["config"] = config
            return
        for key, value in config.items():
            if key in step:
                self._fault(there + json_pointer(["config", key]), f"{key!r} is given twice", "keep one of them")
            self._move(here + json_pointer([key]), there + json_pointer(["config", key]))
            step[key] = value

    def _blocks(self, step: JsonObject, here: str, there: str) -> None:
        """Translate the steps inside ``step``."""
        prefix = step["name"][: _NAME_LENGTH - 5] if is_name(str(step["name"])) else "step"
        count = 1
        if isinstance(branches := step.get("branches"), dict):
            step["branches"] = dict(branches)
            for name, inner in branches.items():
                if isinstance(inner, list):
                    place = json_pointer(["branches", name])
                    step["branches"][name] = self._steps(inner, here + place, there + place, prefix, count)
                    count += len(inner)
        for key in ("default", "steps"):
            if isinstance(inner := step.get(key), list):
                step[key] = self._steps(inner, f"{here}/{key}", f"{there}/{key}", prefix, count)

    def _rename(self, into: JsonObject, old: str, new: str, here: str, there: str) -> None:
        if old in into and new not in into:
            into[new] = into.pop(old)
            self._move(f"{here}/{new}", f"{there}/{old}")

    def _move(self, here: str, there: str) -> None:
        self.origins[here] = there

    def _fault(self, path: str, reason: str, remedy: str) -> None:
        self.faults.append(Fault(path=path, reason=reason, remedy=remedy))
