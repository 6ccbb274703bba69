"""The pages that document the API, with their scripts: nothing is loaded from elsewhere."""

from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from api.auth import PUBLIC

ASSETS_PATH: Final = "/docs-assets"

_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Serve ``/docs`` (try the API out) and ``/redoc`` (read about it)."""
    app.mount(ASSETS_PATH, StaticFiles(directory=str(files("fastapi_offline") / "static")))
    openapi_url = app.openapi_url or ""
    favicon = f"{ASSETS_PATH}/favicon.png"

    @app.get("/docs", include_in_schema=False, dependencies=[PUBLIC])
    async def swagger() -> Response:
        return _page(
            get_swagger_ui_html(
                openapi_url=openapi_url,
                title=f"{app.title} API",
                swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
                swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
                swagger_favicon_url=favicon,
            )
        )

    @app.get("/redoc", include_in_schema=False, dependencies=[PUBLIC])
    async def redoc() -> Response:
        return _page(
            get_redoc_html(
                openapi_url=openapi_url,
                title=f"{app.title} API",
                redoc_js_url=f"{ASSETS_PATH}/redoc.standalone.js",
                redoc_favicon_url=favicon,
                with_google_fonts=False,
            )
        )


def _page(page: HTMLResponse) -> Response:
    page.headers["Content-Security-Policy"] = _POLICY
    return page
