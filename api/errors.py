"""Errors as HTTP: RFC 9457 problem documents. The only place that makes HTTP out of the platform's errors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from domain.errors import (
    Conflict,
    ConnectorError,
    DefinitionInvalid,
    ErrorCode,
    ExpressionError,
    Fault,
    Forbidden,
    InputInvalid,
    MissingPath,
    NotFound,
    StepwellError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from domain.refusals import faults_of

PROBLEM: Final = "application/problem+json"

STATUS: Final[Mapping[type[StepwellError], HTTPStatus]] = {
    DefinitionInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    InputInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExpressionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MissingPath: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    ConnectorError: HTTPStatus.BAD_GATEWAY,
}
"""The status of each error; a ``ConnectorError`` has its code's status from ``CONNECTOR_STATUS``."""

CONNECTOR_STATUS: Final[Mapping[ErrorCode, HTTPStatus]] = {
    ErrorCode.AUTH_FAILED: HTTPStatus.BAD_GATEWAY,
    ErrorCode.FORBIDDEN: HTTPStatus.BAD_GATEWAY,
    ErrorCode.NOT_FOUND: HTTPStatus.BAD_GATEWAY,
    ErrorCode.RATE_LIMITED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.UPSTREAM_5XX: HTTPStatus.BAD_GATEWAY,
    ErrorCode.INVALID_INPUT: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.CONFIG_INVALID: HTTPStatus.CONFLICT,
    ErrorCode.TRANSIENT_NETWORK: HTTPStatus.BAD_GATEWAY,
    ErrorCode.INTERNAL_ERROR: HTTPStatus.BAD_GATEWAY,
    ErrorCode.OUTPUT_TOO_LARGE: HTTPStatus.BAD_GATEWAY,
    ErrorCode.OUTCOME_UNKNOWN: HTTPStatus.BAD_GATEWAY,
}

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What every answer carries unless its route says otherwise."""

_log = structlog.get_logger("api")


class Refused(Exception):  # the request was refused; nothing erred
    """A request that HTTP itself forbids: its bytes, its media type, its size."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    faults: Iterable[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem document of one request."""
    request_id = getattr(request.state, "request_id", None)
    content: dict[str, Any] = {
        "type": f"urn:stepwell:problem:{code.lower().replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if listed := [fault.model_dump(exclude_none=True) for fault in faults]:
        content["faults"] = listed
    return JSONResponse(content, int(status), headers=headers, media_type=PROBLEM)


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document."""
    app.add_exception_handler(StepwellError, _platform_error)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: StepwellError) -> HTTPStatus:
    """The HTTP status of an error of the platform."""
    if isinstance(error, ConnectorError):
        return CONNECTOR_STATUS[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StepwellError)  # noqa: S101  # what it is registered for
    headers: dict[str, str] = {}
    faults: Sequence[Fault] = ()
    match error:
        case DefinitionInvalid() | InputInvalid():
            faults = error.faults
        case Unavailable() | TooManyRequests():
            headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
        case Unauthenticated():
            headers["WWW-Authenticate"] = "Bearer"
    return problem(request, status_of(error), error.code, str(error), faults=faults, headers=headers)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101  # what it is registered for
    return problem(request, error.status, error.code, str(error), faults=error.faults, headers=error.headers)


def _bad_request(request: Request, error: Exception) -> Response:
    """A path, query or header parameter does not fit; bodies are read elsewhere."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    faults = faults_of(error.errors())
    detail = "; ".join(f"{fault.path}: {fault.reason}" for fault in faults)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "PARAMETERS_INVALID", detail, faults=faults)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    code = HTTPStatus(error.status_code).name
    return problem(request, error.status_code, code, str(error.detail), headers=error.headers)


def _unexpected(request: Request, error: Exception) -> Response:
    """The outermost edge: this answer does not pass the middleware, so it brings its own headers."""
    _log.error("unexpected error", request_id=getattr(request.state, "request_id", None), exc_info=error)
    detail = "something went wrong on our side; the log has the details under this request id"
    headers = {**SECURITY_HEADERS, "X-Request-ID": getattr(request.state, "request_id", "")}
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", detail, headers=headers)
