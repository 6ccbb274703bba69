"""What an expression may read while a run goes on, and how a path finds its value there.

Roots: ``event``, ``input`` (also ``inputs``), ``context``, ``steps``, ``step``, ``step_<name>_result``, ``run``,
``item`` and ``index``. Any other first name is a field of the event's payload, of the input, or of the event itself,
in this order.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from domain.errors import MissingPath
from domain.paths import ABSENT, Path, kind_of, member, path_text, result_step

ROOTS: Final = ("event", "input", "inputs", "context", "steps", "step", "run", "item", "index")
"""The reserved first names of paths. A field of the input that is named like one is read as ``input.<name>``."""

_NAMES_COMPARED: Final = 200
_CLOSE_NAMES: Final = 3


class Scope:
    """The values that a run's expressions see. Adding a step's output costs the same however many there are.

    ``order`` lists the top-level steps as the definition does, for ``step.<n>``, counted from 1.
    Values are shared with the caller, never copied, and never changed. ``outputs`` and ``skipped`` are those of this
    frame alone, ``parent`` is the frame around it; read them, but write with the methods.
    """

    __slots__ = ("_event", "_index", "_input", "_item", "_order", "_run", "outputs", "parent", "skipped")

    def __init__(
        self,
        input: Mapping[str, Any],  # noqa: A002 - the root's own name
        run: Mapping[str, Any],
        event: Mapping[str, Any] | None = None,
        *,
        order: Sequence[str] = (),
    ) -> None:
        self._input = input
        self._run = run
        self._event = event
        self._order = order
        self.parent: Scope | None = None
        self.outputs: dict[str, Any] = {}
        self.skipped: set[str] = set()
        self._item: Any = ABSENT
        self._index: int | None = None

    def child(self, *, item: Any = ABSENT, index: int | None = None) -> "Scope":
        """A frame for one item of a foreach: it sees this scope; what is set in it stays in it."""
        frame = Scope(self._input, self._run, self._event, order=self._order)
        frame.parent = self
        frame._item = self._item if item is ABSENT else item
        frame._index = self._index if index is None else index
        return frame

    def set_output(self, name: str, output: Any) -> None:
        """Record the output of the step ``name`` in this frame."""
        self.outputs[name] = output
        self.skipped.discard(name)

    def set_skipped(self, name: str) -> None:
        """Record that the step ``name`` did not run, so that reading its output says why there is none."""
        self.skipped.add(name)

    def resolve(self, path: Path) -> Any:
        """The value at ``path``. Raises ``MissingPath``, naming the first part that is missing and what is close."""
        found, position, holder = self._find(path)
        if found is ABSENT:
            raise MissingPath(path_text(path), self._complaint(path, position, holder))
        return found

    def has(self, path: Path) -> bool:
        """Whether there is a value, be it null, at ``path``."""
        return self._find(path)[0] is not ABSENT

    def get(self, path: Path) -> Any:
        """The value at ``path``, or ``ABSENT``."""
        return self._find(path)[0]

    def _find(self, path: Path) -> tuple[Any, int, Any]:
        """The value, or ABSENT with the position of the part that is missing and the value that lacks it."""
        value, used = self._start(path)
        if value is ABSENT:
            return ABSENT, used, ABSENT
        for position in range(used, len(path)):
            holder = value
            value = member(holder, path[position])
            if value is ABSENT:
                return ABSENT, position, holder
        return value, len(path), value

    def _start(self, path: Path) -> tuple[Any, int]:
        """The value that the root stands for, and how many parts name it (or the position of the missing one)."""
        root = str(path[0])
        match root:
            case "input" | "inputs":
                return self._input, 1
            case "context":
                return self._from_context(path)
            case "steps" | "step":
                return self._from_steps(path, numbered=root == "step")
            case "event":
                return self._from_event(path)
            case "run":
                return self._run, 1
            case "item":
                return (ABSENT, 0) if self._item is ABSENT else (self._item, 1)
            case "index":
                return (ABSENT, 0) if self._index is None else (self._index, 1)
            case _:
                return self._from_bare(root)

    def _from_event(self, path: Path) -> tuple[Any, int]:
        if self._event is None:
            return ABSENT, 0
        if len(path) > 1:
            value = self._event_field(path[1])
            return (value, 2) if value is not ABSENT else (ABSENT, 1)
        return self._event, 1

    def _event_field(self, name: str | int) -> Any:
        own = member(self._event, name)
        return own if own is not ABSENT else member(self._payload(), name)

    def _payload(self) -> Any:
        return None if self._event is None else self._event.get("payload")

    def _from_bare(self, name: str) -> tuple[Any, int]:
        step = result_step(name)
        if step is not None:
            output = self._output(step)
            if output is not ABSENT:
                return output, 1
        for holder in (self._payload(), self._input, self._event):
            value = member(holder, name)
            if value is not ABSENT:
                return value, 1
        return ABSENT, 0

    def _from_context(self, path: Path) -> tuple[Any, int]:
        if len(path) == 1:
            outputs = {
                name: output for frame in reversed(list(self._frames())) for name, output in frame.outputs.items()
            }
            return {"tenant_id": self._run.get("tenant"), **outputs, **self._input}, 1
        name = str(path[1])
        value = self._input.get(name, ABSENT)
        if value is ABSENT:
            value = self._output(name)
        if value is ABSENT:
            value = self._output(result_step(name) or name)
        if value is ABSENT and name == "tenant_id":
            value = self._run.get("tenant", ABSENT)
        return (value, 2) if value is not ABSENT else (ABSENT, 1)

    def _from_steps(self, path: Path, *, numbered: bool) -> tuple[Any, int]:
        if len(path) == 1:
            frames = reversed(list(self._frames()))
            return {name: {"output": output} for frame in frames for name, output in frame.outputs.items()}, 1
        name = self._step_name(path[1]) if numbered else str(path[1])
        output = ABSENT if name is None else self._output(name)
        if output is ABSENT:
            return ABSENT, 1
        if len(path) == 2:  # noqa: PLR2004 - root and name
            return {"output": output}, 2
        return (output, 3) if path[2] == "output" else (ABSENT, 2)

    def _step_name(self, part: str | int) -> str | None:
        if not str(part).isdecimal():
            return str(part)
        number = int(part)
        return self._order[number - 1] if 1 <= number <= len(self._order) else None

    def _output(self, name: str) -> Any:
        for frame in self._frames():
            if name in frame.outputs:
                return frame.outputs[name]
            if name in frame.skipped:
                return ABSENT
        return ABSENT

    def _frames(self) -> Iterator["Scope"]:
        frame: Scope | None = self
        while frame is not None:
            yield frame
            frame = frame.parent

    def _complaint(self, path: Path, position: int, holder: Any) -> str:
        whole, root = path_text(path), str(path[0])
        start = f"{whole} does not exist"
        step = self._step_of(path)
        if step is not None and position <= 1:
            return f"{start}: {self._why_no_output(step)}"
        if root == "event" and self._event is None:
            return f"{start}: this run was not started by an event"
        if root in ("item", "index") and position == 0:
            return f"{start}: {root} is known inside a foreach only"
        if root in ("steps", "step") and position == 2 and path[1:]:  # noqa: PLR2004 - after root and name
            rest = path_text((root, path[1], "output", *path[2:]))
            return f"{start}: a step has an output only; did you mean {rest}?"
        names = self._names(path, position, holder)
        return f"{start}: {_lack(path, position, holder)}{_suggestion(path[position], names)}"

    def _step_of(self, path: Path) -> str | None:
        root = str(path[0])
        if root == "steps" and len(path) > 1:
            return str(path[1])
        if root == "step" and len(path) > 1:
            return self._step_name(path[1]) or str(path[1])
        if root == "context" and len(path) > 1:
            name = result_step(str(path[1])) or str(path[1])
            return name if any(name in frame.skipped for frame in self._frames()) else None
        return result_step(root)

    def _why_no_output(self, step: str) -> str:
        if any(step in frame.skipped for frame in self._frames()):
            return f"the step {step} was skipped and so has no output (use has(…) or default(…, …))"
        if step.isdecimal():
            return f"there is no step number {step}, there are {len(self._order)}"
        known = [name for frame in self._frames() for name in frame.outputs]
        return f"no step {step} has ended before{_suggestion(step, known)}"

    def _names(self, path: Path, position: int, holder: Any) -> list[str]:
        """The names that could have stood at ``position``."""
        if isinstance(holder, Mapping):
            return list(holder)
        fields = [*(self._payload() if isinstance(self._payload(), Mapping) else ()), *self._input]
        if position == 0:
            return [*ROOTS, *fields]
        if path[0] == "event":
            return [*(self._event or ()), *fields]
        return [*fields, *(name for frame in self._frames() for name in frame.outputs)]


def event_seen(event: Mapping[str, Any] | None, run_input: Mapping[str, Any]) -> Mapping[str, Any]:
    """The root ``event`` of a run: the event that has started it, or what it was given by whoever started it."""
    return run_input if event is None else {"payload": run_input, **event}


def _lack(path: Path, position: int, holder: Any) -> str:
    if position == 0:
        return f"neither the event nor the input has {path[0]}"
    before, part = path_text(path[:position]), path[position]
    if isinstance(holder, list | tuple):
        return f"{before} is a list of {len(holder)}, without an element {part}"
    if holder is ABSENT or isinstance(holder, Mapping):
        return f"{before} has no {part}"
    return f"{before} is {kind_of(holder)}, so it has no {part}"


def _suggestion(part: str | int, names: Sequence[str]) -> str:
    close = get_close_matches(str(part), [str(name) for name in names[:_NAMES_COMPARED]], n=_CLOSE_NAMES)
    return f"; did you mean {', '.join(dict.fromkeys(close))}?" if close else ""
