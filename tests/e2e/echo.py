"""A web server that gives back whatever it is sent, in every form that a careless one might."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit


class EchoServer(ThreadingHTTPServer):
    """``/echo`` answers 200, ``/refuse`` 400 as text, ``/fail`` 500 as JSON, ``/broken`` JSON that is none.

    ``/large/<n>`` answers a text of that many bytes.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[str] = []
        """Everything that came in, as text."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def forms(value: str) -> dict[str, str]:
    """A text in the forms in which it may travel."""
    raw = value.encode()
    return {
        "as it is": value,
        "base64": base64.b64encode(raw).decode().rstrip("="),
        "base64url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "url-encoded": quote(value, safe=""),
        "url-encoded path": quote(value),
        "form-encoded": quote_plus(value),
        "json": json.dumps(value)[1:-1],
    }


class _Handler(BaseHTTPRequestHandler):
    server: EchoServer

    def do_GET(self) -> None:
        if self.path.startswith("/large/"):
            self._answer(200, "text/plain", "x" * int(self.path.rpartition("/")[2]))
        else:
            self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        parameters = [value for values in parse_qs(urlsplit(self.path).query).values() for value in values]
        values = [*self.headers.values(), *parameters, body]
        self.server.received += values
        echo: dict[str, Any] = {
            "line": self.requestline,
            "headers": dict(self.headers.items()),
            "values": [forms(value) for value in values],
            "body": body,
        }
        match urlsplit(self.path).path:
            case "/refuse":
                self._answer(400, "text/plain", str(echo))
            case "/fail":
                self._answer(500, "application/json", json.dumps(echo))
            case "/broken":
                self._answer(200, "application/json", f'{{"half": {json.dumps(echo)}')
            case _:
                self._answer(200, "application/json", json.dumps(echo))

    def _answer(self, status: int, content_type: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name in ("X-Token", "Authorization"):
            if name in self.headers:
                self.send_header("Location", f"https://elsewhere.example/{quote(self.headers[name], safe='')}")
                self.send_header("X-Request-Id", self.headers[name])
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def echoing() -> Iterator[EchoServer]:
    """An echo server, until the end of the block."""
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
