"""Pages of a listing: how many there are in all, and where the others are."""

from typing import Any, Final

from fastapi import Request

MAX_OFFSET: Final = 2**31 - 1


def page_headers(request: Request, total: int, limit: int, offset: int) -> dict[str, str]:
    """``X-Total-Count``, and ``Link`` (RFC 8288) if there are other pages."""
    pages: dict[str, Any] = {
        "first": 0 if offset > 0 else None,
        "prev": max(offset - limit, 0) if offset > 0 else None,
        "next": offset + limit if offset + limit < total else None,
        "last": (total - 1) // limit * limit if offset + limit < total else None,
    }
    links = ", ".join(
        f'<{request.url.include_query_params(offset=start, limit=limit)}>; rel="{rel}"'
        for rel, start in pages.items()
        if start is not None
    )
    headers = {"X-Total-Count": str(total)}
    return {**headers, "Link": links} if links else headers
