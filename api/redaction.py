"""What people may see of the data of runs."""

import re
from typing import Any, Final

REDACTED: Final = "[redacted]"

_TELLING_KEY = re.compile(
    r"passw(?:or)?d|passphrase|secret|token|api_?key|private_?key|credential|authorization|cookie|\bpin\b|\bcvv2?\b",
    re.IGNORECASE,
)


def redacted(value: Any, *, readable: bool) -> Any:
    """``value`` with what its keys say is secret taken out; None altogether for those who may not read payloads."""
    return _without_secrets(value) if readable else None


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: REDACTED if item is not None and _TELLING_KEY.search(key) else _without_secrets(item)
                for key, item in value.items()
            }
        case list():
            return [_without_secrets(item) for item in value]
        case _:
            return value
