"""A fast HTTP server to post to: answers ``{"value": n}`` with ``{"value": n + 1}``.

Run as ``python -m benchmarks.receiver PORT``.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from pydantic_core import from_json, to_json

_HEADERS = [(b"content-type", b"application/json")]


async def answer(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    value = from_json(body)["value"] if body else 0
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": to_json({"value": value + 1})})


if __name__ == "__main__":
    uvicorn.run(
        answer, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off",
        timeout_keep_alive=60,
    )  # fmt: skip
