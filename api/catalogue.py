"""The route that lists what steps can do."""

from dataclasses import fields
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Response

from api.auth import Viewer
from api.parts import UsesParts
from api.schemas import answer_json
from domain.actions import ActionInfo

router = APIRouter(tags=["connectors"])


@router.get("/connectors")
async def list_connectors(principal: Viewer, parts: UsesParts) -> Response:  # noqa: ARG001  # the guard
    """Connectors and services with their actions: input and output as JSON Schema, effect class, documentation."""
    infos = {info.name: info for info in parts.actions.values()}
    by_connector = groupby(sorted(infos), key=lambda name: name.partition(".")[0])
    connectors = [
        {"name": connector, "actions": [_shown(infos[name]) for name in names]} for connector, names in by_connector
    ]
    return answer_json({"connectors": connectors, "total": len(infos)})


def _shown(info: ActionInfo) -> dict[str, Any]:
    return {field.name: getattr(info, field.name) for field in fields(info)}
