"""Secrets, at the one moment when they have values: between the order for an action and the connector's call."""

import base64
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from domain.errors import ConnectorError
from domain.messages import PerformAction, SecretName, SecretSlot
from store.vault import SecretVault

MASK = "[secret]"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one order: where they go, and what they are."""

    slots: tuple[SecretSlot, ...]
    values: Mapping[str, str]
    traces: tuple[str, ...]
    """The forms in which a value may come back in an answer, longest first."""

    @classmethod
    async def resolve(cls, vault: SecretVault, order: PerformAction) -> "Secrets":
        """The values of the secrets that ``order`` names. Raises ``ConnectorError`` naming one that is missing."""
        if not order.secrets:
            return _NONE
        names = {part.secret for slot in order.secrets for part in slot.parts if isinstance(part, SecretName)}
        values = await vault.resolve(order.tenant, names)
        secrets = cls(tuple(order.secrets), values, ())
        shown = {*values.values(), *(secrets._text(slot) for slot in order.secrets)}
        traces = {form for text in shown if text for form in _forms(text)}
        return cls(tuple(order.secrets), values, tuple(sorted(traces, key=len, reverse=True)))

    def filled_in(self, tree: dict[str, Any]) -> dict[str, Any]:
        """``tree`` with the values in their places; the original keeps its masks."""
        if not self.slots:
            return tree
        filled = deepcopy(tree)
        for slot in self.slots:
            place: Any = filled
            for key in slot.pointer[:-1]:
                place = place[key]
            place[slot.pointer[-1]] = self._text(slot)
        return filled

    def _text(self, slot: SecretSlot) -> str:
        return "".join(self.values[part.secret] if isinstance(part, SecretName) else part for part in slot.parts)

    def without(self, value: Any) -> Any:
        """``value`` (JSON) with every trace of a secret masked."""
        match value:
            case _ if not self.traces:
                return value
            case str():
                return self._masked(value)
            case dict():
                return {self._masked(key): self.without(inner) for key, inner in value.items()}
            case list():
                return [self.without(inner) for inner in value]
            case _:
                return value

    def scrubbed(self, error: ConnectorError) -> ConnectorError:
        """``error`` without any trace of a secret."""
        if not self.traces:
            return error
        return ConnectorError(
            error.code,
            self._masked(str(error)),
            retryable=error.retryable,
            retry_after=error.retry_after,
            ambiguous=error.ambiguous,
            status=error.status,
            details=self.without(error.details),
        )

    def _masked(self, text: str) -> str:
        for trace in self.traces:
            text = text.replace(trace, MASK)
        return text


_NONE = Secrets((), {}, ())


def _forms(value: str) -> set[str]:
    """How ``value`` may be written in an answer: as it is, base64, URL-encoded, JSON-escaped."""
    raw = value.encode()
    return {
        value,
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
    }
