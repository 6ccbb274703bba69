"""What remains of a definition that its model refuses: stand-ins take the place of what cannot be understood.

A stand-in raises no fault of its own: it has the name (so that it can be read), the blocks and nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from domain.definition import Definition
from domain.steps import (
    ApprovalConfig,
    ApprovalStep,
    BranchStep,
    ForeachStep,
    ParallelStep,
    Step,
    StepBase,
    TransformStep,
)
from domain.triggers import ManualTrigger, Trigger

_STEP: Final[TypeAdapter[Any]] = TypeAdapter(Step)
_TRIGGER: Final[TypeAdapter[Any]] = TypeAdapter(Trigger)
_HARMLESS: Final = frozenset({"title", "description", "retry", "on_error", "on_unknown", "lane", "compensate"})
"""Fields that a step can do without, so that the rest of it can be checked still."""
_NO_CONFIG: Final = ApprovalConfig(title="", approvers=[""], timeout=1, on_timeout="fail")
_BLOCKS: Final = ("branches", "default", "steps")


def mended_definition(body: Mapping[str, Any]) -> Definition:
    """What can be understood of ``body``, for checks only: it was refused, and is never to run."""
    mended = dict(body)
    if isinstance(steps := body.get("steps"), list):
        mended["steps"] = _block(steps, "/steps")
    else:
        mended["steps"] = []
        mended.pop("output", None)
    if isinstance(triggers := body.get("triggers"), list):
        mended["triggers"] = [_trigger(each) for each in triggers]
    bad = _refused(mended)
    fields = {name: value for name, value in mended.items() if name == "steps" or name not in bad}
    return Definition.model_construct(**{"name": "", **fields})


def _refused(body: Mapping[str, Any]) -> set[str]:
    try:
        Definition.model_validate(body)
    except ValidationError as error:
        return {str(each["loc"][0]) for each in error.errors(include_url=False)}
    return set()


def _trigger(raw: object) -> Any:
    try:
        return _TRIGGER.validate_python(raw)
    except ValidationError:
        return ManualTrigger(type="manual")


def _block(raw: list[Any], here: str) -> list[Step]:
    return [_step(each, f"{here}/{index}") for index, each in enumerate(raw)]


def _step(raw: object, here: str) -> Step:
    """The step that ``raw`` is, or a stand-in; what has no name is named ``here``, its place."""
    if not isinstance(raw, dict):
        inner = [_stand_in(name) for name in dict.fromkeys(_names(raw))]
        return BranchStep.model_construct(name=here, type="branch", on="input", branches={"": inner})
    step: dict[str, Any] = dict(raw)
    if isinstance(raw.get("branches"), dict):
        step["branches"] = {
            name: _block(inner, f"{here}/branches/{name}") if isinstance(inner, list) else inner
            for name, inner in raw["branches"].items()
        }
    for key in ("default", "steps"):
        if isinstance(block := raw.get(key), list):
            step[key] = _block(block, f"{here}/{key}")
    whole, refused = _validated(step)
    if refused and refused <= _HARMLESS:
        # What holds for all fields together is found once each of them is sound.
        whole, _ = _validated({name: value for name, value in step.items() if name not in refused})
    return whole or _holder(step, here)


def _validated(step: Mapping[str, Any]) -> tuple[Step | None, set[str | int]]:
    """The step, or else the fields that were refused."""
    try:
        return _STEP.validate_python(step), set()
    except ValidationError as error:
        return None, {each["loc"][1] for each in error.errors(include_url=False) if len(each["loc"]) > 1}


def _holder(step: Mapping[str, Any], here: str) -> Step:
    """A stand-in for ``step`` that still holds the steps in it."""
    name = step["name"] if isinstance(step.get("name"), str) else here
    kind = step.get("type")
    if kind == "approval":
        return ApprovalStep.model_construct(name=name, type="approval", config=_NO_CONFIG)
    if not any(key in step for key in _BLOCKS):
        return _stand_in(name)
    if kind == "foreach" or ("steps" in step and "branches" not in step):
        return ForeachStep.model_construct(name=name, type="foreach", items=[], steps=_kept(step.get("steps")))
    given = step.get("branches")
    branches = {key: _kept(inner) for key, inner in given.items()} if isinstance(given, dict) else {"": _kept(given)}
    if kind == "parallel":
        return ParallelStep.model_construct(name=name, type="parallel", branches=branches)
    default = _kept(step.get("default"))
    return BranchStep.model_construct(name=name, type="branch", on="input", branches=branches, default=default)


def _kept(block: object) -> list[Step]:
    """A block whose steps are mended already, or else stand-ins for what is in it."""
    if isinstance(block, list) and all(isinstance(each, StepBase) for each in block):
        return block
    return [_stand_in(name) for name in dict.fromkeys(_names(block))]


def _names(raw: object) -> Iterator[str]:
    """The names of the steps somewhere in ``raw``."""
    match raw:
        case list():
            for each in raw:
                yield from _names(each)
        case dict():
            name = raw.get("name", raw.get("id"))
            if isinstance(name, str):
                yield name
            for key, value in raw.items():
                if key in _BLOCKS or isinstance(value, list):
                    yield from _names(value)


def _stand_in(name: str) -> Step:
    return TransformStep.model_construct(_fields_set={"name", "type", "set"}, name=name, type="transform", set=None)
