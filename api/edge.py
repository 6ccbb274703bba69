"""What surrounds every request: its id, its line in the log, its place in the metrics, the headers of its answer."""

import re
import time
from typing import Final
from uuid import uuid4

import structlog
from fastapi import Request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import SECURITY_HEADERS, problem

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_log = structlog.get_logger("access")


class Metrics:
    """The numbers that ``/metrics`` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Histogram(
            "stepwell_http_request_duration_seconds",
            "How long requests took, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.events = Counter(
            "stepwell_events",
            "Events that came in here, by kind (event, webhook) and outcome (created, duplicate, refused).",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.activity = {
            what: Gauge(f"stepwell_{name}", help_text, labels, registry=self.registry)
            for what, name, help_text, labels in (
                ("events", "events_last_hour", "Events that came in, by kind (event, webhook, row).", ("kind",)),
                ("deliveries", "deliveries_last_hour", "What triggers made of events, by status.", ("status",)),
                ("triggers", "triggers", "Triggers that are switched on, by type.", ("type",)),
                ("watches", "watches", "Watched tables.", ()),
            )
        }
        self.backlog = Gauge(
            "stepwell_events_backlog",
            "What waits, of all tenants: events (pending, dead), signals (signalling), changed rows (row_changes).",
            ("state",),
            registry=self.registry,
        )


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(scope, send, self._metrics).run(self._app, receive)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics) -> None:
        headers = Headers(scope=scope)
        self._scope = scope
        self._send = send
        self._metrics = metrics
        self._began = time.perf_counter()
        self._status = 500
        self._request_id = _given_id(headers, "x-request-id") or uuid4().hex
        self._correlation_id = _given_id(headers, "x-correlation-id") or self._request_id
        scope.setdefault("state", {}).update(request_id=self._request_id, correlation_id=self._correlation_id)

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        try:
            if "\0" in self._scope["path"] or b"%00" in self._scope["query_string"]:
                answer = problem(Request(self._scope), 400, "URL_INVALID", "the URL holds the character NUL")
                await answer(self._scope, receive, self._answer)
            else:
                await app(self._scope, receive, self._answer)
        finally:
            self._record()

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._request_id
            headers["X-Correlation-ID"] = self._correlation_id
        await self._send(message)

    def _record(self) -> None:
        seconds = time.perf_counter() - self._began
        scope = self._scope
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(method, route, str(self._status)).observe(seconds)
        principal = scope["state"].get("principal")
        _log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=self._status,
            duration_ms=round(seconds * 1000, 1),
            request_id=self._request_id,
            correlation_id=self._correlation_id,
            tenant=principal.tenant if principal else None,
            subject=principal.subject if principal else None,
            client=scope["client"][0] if scope.get("client") else None,
        )


def _given_id(headers: Headers, name: str) -> str | None:
    value = headers.get(name, "")
    return value if _ID.fullmatch(value) else None
