"""A provisioner behind HTTP: somebody else's service that sets instances up, spoken to by a small contract.

1. Stepwell posts the order as JSON (``ProvisionOrder``) with ``Idempotency-Key``, and ``Authorization: Bearer …`` if a
   token is configured. The same key may come again after a crash: the service then answers for the same instance and
   sets up no second one.
2. The service answers 200 or 201 with ``{"status": "ready", "endpoints": {name: url}, "url": …}`` when it is done, or
   202 with ``{"status": "pending", "status_url": …}`` or a ``Location`` header when it takes longer. The status URL has
   the origin of the endpoint.
3. Stepwell asks the status URL with GET until ``status`` is ``ready`` or ``failed`` (then ``{"status": "failed",
   "error": text}``), as often as ``Retry-After`` says, else after 1, 2, 4… up to 15 seconds.

``endpoints`` and ``url`` are optional. ``active`` means ``ready``; ``provisioning``, ``queued`` and ``running`` mean
``pending``.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.http_answer import Answer, shown
from connectors.http_client import HttpClient
from domain.errors import ConnectorError, ErrorCode
from domain.provisioning import Provisioned, ProvisionOrder

MAX_PAUSE: Final = timedelta(seconds=15)
MAX_ASKED_PAUSE: Final = timedelta(seconds=60)
_ACCEPTED: Final = 202


class _Report(BaseModel):
    """What the service says of an instance."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["ready", "active", "failed", "pending", "provisioning", "queued", "running"]
    endpoints: dict[str, str] = Field(default_factory=dict)
    url: str | None = None
    status_url: str | None = None
    error: str | None = None


class HttpProvisioner:
    """Sets instances up through the service at ``url``. ``first_pause`` is the wait before the first question."""

    def __init__(
        self, http: HttpClient, url: str, *, token: str | None = None, first_pause: timedelta = timedelta(seconds=1)
    ) -> None:
        self._http = http
        self._url = httpx2.URL(url)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._first_pause = first_pause

    async def provision(self, order: ProvisionOrder, *, key: str, heartbeat: Callable[..., Any]) -> Provisioned:
        """Set the instance up and return when it is ready; the step's timeout says how long that may take.

        Once for each ``key``. ``heartbeat`` is called before each question. Raises ``ConnectorError``; ``ambiguous``
        while the service may still be at work.
        """
        headers = {**self._headers, "idempotency-key": key, "content-type": "application/json"}
        answer = await self._http.send("POST", self._url, headers=headers, content=order.model_dump_json().encode())
        report = _read(answer)
        status_url = self._status_url(answer, report)
        pause = self._first_pause
        while report.status not in {"ready", "active", "failed"}:
            heartbeat({"instance": order.instance_id, "status": report.status})
            asked = answer.retry_after()
            await asyncio.sleep((pause if asked is None else min(asked, MAX_ASKED_PAUSE)).total_seconds())
            pause = min(pause * 2, MAX_PAUSE)
            answer = await self._ask(status_url)
            report = _read(answer)
        if report.status == "failed":
            reason = report.error or "it gave no reason"
            raise ConnectorError(
                ErrorCode.UPSTREAM_5XX,
                f"the provisioner failed to set up instance {order.instance_id}: {reason[:500]}",
                retryable=False,
                details={"instance_id": order.instance_id},
            )
        return Provisioned(endpoints=report.endpoints, url=report.url)

    async def _ask(self, status_url: httpx2.URL | None) -> Answer:
        if status_url is None:
            raise ConnectorError(
                ErrorCode.CONFIG_INVALID,
                f"the provisioner at {shown(self._url)} must name a status_url (or Location) of its own origin",
                ambiguous=True,
            )
        try:
            return await self._http.send("GET", status_url, headers=self._headers)
        except ConnectorError as error:
            error.ambiguous = True
            raise

    def _status_url(self, answer: Answer, report: _Report) -> httpx2.URL | None:
        """Where to ask. Only the endpoint's own origin: the token goes there."""
        text = report.status_url or answer.headers.get("location")
        if not text:
            return None
        try:
            url = self._url.join(text)
        except httpx2.InvalidURL:
            return None
        return url if _origin(url) == _origin(self._url) else None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _read(answer: Answer) -> _Report:
    if not answer.is_success:
        raise answer.refusal()
    try:
        return _Report.model_validate_json(answer.content or _implied(answer.status))
    except ValidationError as error:
        faults = "; ".join(
            f"{'/'.join(map(str, fault['loc'])) or 'the document'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ConnectorError(
            ErrorCode.UPSTREAM_5XX,
            f"the provisioner at {answer.url} does not answer as agreed: {faults}",
            retryable=False,
            ambiguous=True,
        ) from None


def _implied(status: int) -> bytes:
    """The report that an answer without content stands for."""
    return b'{"status":"pending"}' if status == _ACCEPTED else b'{"status":"ready"}'
