"""What needs nobody outside: ``core.log``."""

import re
from typing import Any, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_json

from domain.actions import Call, Connector, Effect, action

MAX_LENGTH: Final = 10_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_log = structlog.get_logger("process")


class Log(BaseModel):
    """What to write, and how urgent it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: JsonValue = Field(description="A text; anything else is written as JSON.", examples=["order {{input.id}}"])
    level: Literal["debug", "info", "warning", "error"] = "info"
    fields: dict[str, JsonValue] = Field(default_factory=dict, description="More, for searching.")


class Logged(BaseModel):
    """The line is written."""

    model_config = ConfigDict(frozen=True)

    logged: bool = True


class CoreConnector(Connector):
    """Actions of the platform itself."""

    @action("core.log", effect=Effect.READ, takes_secrets=False)
    async def log(self, request: Log, call: Call) -> Logged:
        """Write a line to the worker's log.

        It carries tenant, run, process and step. A line stays one line: control characters are written as escapes.
        Repeated when the step is.
        """
        _log.log(
            _LEVELS[request.level],
            _text(request.message),
            tenant=call.tenant,
            run_id=call.run_id,
            process=call.process,
            step=call.step,
            fields=_clean(request.fields),
        )
        return Logged()


_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def _text(value: JsonValue) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    return _escaped(text[:MAX_LENGTH])


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return _escaped(value[:MAX_LENGTH])
        case dict():
            return {_escaped(key): _clean(inner) for key, inner in value.items()}
        case list():
            return [_clean(inner) for inner in value]
        case _:
            return value
