"""The page on which the mails of the sandbox are read. Mails are strangers' text: nothing in them is trusted.

Run both with ``python -m sandbox.mail_page --directory DIR --smtp-port 1025 --page-port 8025``. For development only.
"""

import argparse
import contextlib
from collections.abc import AsyncIterator, Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sandbox.mail import HOST, MailSandbox, ReceivedMail

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .4rem .6rem }
tr + tr td { border-top: 1px solid #ddd } time, .quiet { color: #666 } a { color: #0b57d0 }
pre { white-space: pre-wrap; background: #f6f6f6; padding: 1rem } iframe { width: 100%; height: 30rem; border: 1px solid #ddd }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #222 } a { color: #8ab4f8 } }
"""  # noqa: E501
_LOCKED = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"}


def mail_page(sandbox: MailSandbox) -> FastAPI:
    """The page over a sandbox; its lifespan starts and stops the sandbox.

    ``/`` lists the mails, ``/mails`` does so as JSON, ``/mails/{id}`` shows one, ``DELETE /mails`` forgets all.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await sandbox.start()
        yield
        await sandbox.stop()

    def find(mail_id: str) -> ReceivedMail:
        mail = sandbox.find(mail_id)
        if mail is None:
            raise HTTPException(404, "there is no such mail")
        return mail

    app = FastAPI(title="Stepwell mail sandbox", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", HOST])

    @app.get("/")
    async def index() -> HTMLResponse:
        return _page("Mails", _index(reversed(sandbox.mails)), refresh=True)

    @app.get("/mails")
    async def mails() -> list[dict[str, object]]:
        return [_summary(mail) for mail in reversed(sandbox.mails)]

    @app.delete("/mails", status_code=204)
    async def clear() -> None:
        sandbox.clear()

    @app.get("/mails/{mail_id}")
    async def show(mail_id: str) -> HTMLResponse:
        mail = find(mail_id)
        return _page(mail.subject, _detail(mail))

    @app.get("/mails/{mail_id}/html")
    async def body(mail_id: str) -> HTMLResponse:
        return HTMLResponse(find(mail_id).html, headers=_LOCKED)

    @app.get("/mails/{mail_id}/raw")
    async def raw(mail_id: str) -> Response:
        return Response(find(mail_id).raw, media_type="text/plain", headers=_LOCKED)

    @app.get("/mails/{mail_id}/attachments/{number}")
    async def attachment(mail_id: str, number: int) -> Response:
        files = find(mail_id).attachments
        if not 0 <= number < len(files):
            raise HTTPException(404, "there is no such attachment")
        disposition = f"attachment; filename*=UTF-8''{quote(files[number].filename, safe='')}"
        headers = {"Content-Disposition": disposition}
        return Response(files[number].content, media_type="application/octet-stream", headers=headers)

    return app


def _summary(mail: ReceivedMail) -> dict[str, object]:
    return {
        "id": mail.id,
        "received_at": mail.received_at,
        "from": mail.sender,
        "to": mail.recipients,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "attachments": [file.filename for file in mail.attachments],
    }


def _index(mails: Iterable[ReceivedMail]) -> str:
    rows = "".join(
        f"<tr><td><time>{mail.received_at:%Y-%m-%d %H:%M:%S}</time></td><td>{escape(', '.join(mail.recipients))}</td>"
        f'<td><a href="/mails/{mail.id}">{escape(mail.subject) or "(no subject)"}</a></td></tr>'
        for mail in mails
    )
    empty = '<p class="quiet">No mail yet. This page looks again every few seconds.</p>'
    return f"<table><tr><th>Received (UTC)</th><th>To</th><th>Subject</th></tr>{rows}</table>" if rows else empty


def _detail(mail: ReceivedMail) -> str:
    files = "".join(
        f'<li><a href="/mails/{mail.id}/attachments/{number}">{escape(file.filename)}</a> '
        f"({len(file.content)} bytes)</li>"
        for number, file in enumerate(mail.attachments)
    )
    people = f"From {escape(mail.sender)} to {escape(', '.join(mail.recipients))}"
    parts = [
        '<p><a href="/">All mails</a></p>',
        f"<p>{people}, <time>{mail.received_at:%Y-%m-%d %H:%M:%S} UTC</time></p>",
        f"<pre>{escape(mail.text)}</pre>" if mail.text else "",
        f'<iframe sandbox src="/mails/{mail.id}/html" title="HTML body"></iframe>' if mail.html else "",
        f"<h2>Attachments</h2><ul>{files}</ul>" if files else "",
        f'<p><a href="/mails/{mail.id}/raw">Source</a></p>',
    ]
    return "".join(parts)


def _page(title: str, content: str, *, refresh: bool = False) -> HTMLResponse:
    again = '<meta http-equiv="refresh" content="3">' if refresh else ""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>{again}'
    note = '<p class="quiet">Stepwell mail sandbox, for development: nothing here was delivered to anybody.</p>'
    return HTMLResponse(f'<!doctype html><html lang="en">{head}<h1>{escape(title)}</h1>{content}{note}</html>')


def main() -> None:
    """Run the mail server and its page until interrupted."""
    parser = argparse.ArgumentParser(description="A mail server for development that delivers nothing.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--page-port", type=int, default=8025)
    arguments = parser.parse_args()
    sandbox = MailSandbox(arguments.directory, port=arguments.smtp_port)
    uvicorn.run(mail_page(sandbox), host=HOST, port=arguments.page_port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
