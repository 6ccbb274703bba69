"""Routes of processes, which the API calls workflows: execute, publish, validate, list, change, delete."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from api.auth import Creator, Deleter, Executor, Updater, Viewer
from api.executions import execution
from api.parts import Parts, UsesParts
from api.schemas import ChangeWorkflow, Execution, Validation, Workflow, Workflows, answer
from api.strict_json import JSON, accepts, document, json_object_or_nothing
from control.publishing import Published
from control.statistics import Totals
from domain.errors import DefinitionInvalid, Fault, Forbidden, InputInvalid, NotFound, Unavailable
from domain.ids import BUILTIN_TENANT
from domain.messages import RunStatus
from domain.refusals import faults_of
from store.tables.definitions import DefinitionRow
from store.tables.runs import RunRow

router = APIRouter(prefix="/workflows", tags=["workflows"])

MAX_WAIT_SECONDS: Final = 60

_MAX_ID: Final = 2**31 - 1
_PREFER_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)
_DOCUMENT = accepts({"type": "object"}, JSON, "application/yaml")

Body = Annotated[Any, Depends(document)]


async def _workflow_id(workflow_id: int) -> int:
    """An id that no workflow can have is like any other that is not there."""
    if not 0 < workflow_id <= _MAX_ID:
        raise NotFound("process", workflow_id)
    return workflow_id


WorkflowId = Annotated[int, Depends(_workflow_id)]


@router.post(
    "/execute/{name}",
    response_model=Execution,
    responses={202: {"model": Execution, "description": "Accepted, and not ended yet"}},
    openapi_extra=accepts({"type": "object"}),
)
async def execute(
    principal: Executor,
    parts: UsesParts,
    name: str,
    *,
    context: Annotated[dict[str, Any], Depends(json_object_or_nothing)],
    wait: Annotated[float | None, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = None,
    idempotency_key: Annotated[str | None, Header()] = None,
    prefer: Annotated[str, Header()] = "",
) -> Response:
    """Start a process. The body is its input.

    Answers 200 with the result if the run ends within ``wait`` seconds (also ``Prefer: wait=n``), else 202 with where
    to look for it. The same ``Idempotency-Key`` with the same input starts one run only.
    """
    if context.get("tenant_id", principal.tenant) != principal.tenant:
        raise Forbidden("the body's tenant_id is not the tenant of this token or key")
    accepted = await parts.runs.accept(
        principal.tenant, name, context, trigger_source=principal.subject, idempotency_key=idempotency_key
    )
    headers = {}
    if not accepted.created:
        headers["Idempotent-Replayed"] = "true"
    if wait is None:
        wait, headers["Preference-Applied"] = _preferred(prefer, parts.settings.wait_seconds)
    row = await _ended(parts, accepted.run, wait)
    headers["Location"] = f"/workflows/executions/{row.id}"
    status = 200 if RunStatus(row.status).ended else 202
    shown = execution(row, principal, include_duration=True)
    return answer(shown, status=status, headers={name: value for name, value in headers.items() if value})


@router.get("", response_model=Workflows)
async def list_workflows(
    principal: Viewer,
    parts: UsesParts,
    is_active: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=_MAX_ID)] = 0,
) -> Response:
    """The processes that the tenant may start, its own and the built-in ones, by name."""
    rows, total = await parts.publisher.list(principal.tenant, is_active=is_active, limit=limit, offset=offset)
    return answer(Workflows(workflows=await _present(parts, principal.tenant, rows), total=total))


@router.get("/builtin", response_model=Workflows)
async def list_builtin_workflows(principal: Viewer, parts: UsesParts) -> Response:
    """The built-in processes, which every tenant may start."""
    rows, total = await parts.publisher.list(BUILTIN_TENANT)
    return answer(Workflows(workflows=await _present(parts, principal.tenant, rows), total=total))


@router.get("/stats", response_model=list[Totals])
async def show_all_statistics(principal: Viewer, parts: UsesParts) -> Response:
    """How the runs of each process went."""
    return answer(await parts.statistics.all(principal.tenant))


@router.post("", status_code=201, response_model=Workflow, openapi_extra=_DOCUMENT)
async def create_workflow(principal: Creator, parts: UsesParts, body: Body) -> Response:
    """Publish a process, or a new version of one of one's own, from JSON or YAML.

    The body is a definition, or ``{name, description, definition: {steps…}, version}``. A faulty one is answered with
    every fault at once, and nothing is stored. Other content under a version that exists is refused (409).
    """
    document, is_active = _switch_apart(body)
    published = await parts.publisher.publish(principal.tenant, document, strict=True)
    if is_active is not None:
        definition_id = published.definition.id or 0
        published = await parts.publisher.set_active(principal.tenant, definition_id, is_active=is_active)
    location = f"/workflows/{published.definition.id}"
    return answer(Workflow.of(published), status=201, headers={"Location": location})


@router.post("/validate", response_model=Validation, openapi_extra=_DOCUMENT)
async def validate(principal: Creator, parts: UsesParts, request: Request) -> Response:
    """Check a definition, JSON or YAML, as publishing it would; store nothing."""
    faults: Sequence[Fault]
    try:
        _, faults = await parts.publisher.check(principal.tenant, await document(request))
    except DefinitionInvalid as error:
        faults = error.faults
    return answer(Validation(valid=not faults, faults=list(faults)))


@router.get("/{workflow_id}", response_model=Workflow)
async def show_workflow(principal: Viewer, parts: UsesParts, workflow: WorkflowId) -> Response:
    """One process in its present version."""
    return answer(Workflow.of(await parts.publisher.get(principal.tenant, workflow)))


@router.get("/{workflow_id}/stats", response_model=Totals)
async def show_statistics(principal: Viewer, parts: UsesParts, workflow: WorkflowId) -> Response:
    """How many runs there were, how they ended, and how long they took."""
    return answer(await parts.statistics.of(principal.tenant, workflow))


@router.put("/{workflow_id}", response_model=Workflow, openapi_extra=_DOCUMENT)
@router.patch("/{workflow_id}", response_model=Workflow, openapi_extra=_DOCUMENT)
async def change_workflow(principal: Updater, parts: UsesParts, workflow: WorkflowId, body: Body) -> Response:
    """Change one's own process: its definition (which makes a new version), description, tags, or switch it on or off.

    What the body leaves out stays. Runs under way keep their version.
    """
    if not isinstance(body, dict):
        raise InputInvalid("the body does not fit", [Fault(path="", reason="this must be an object")])
    if "definition" in body or "steps" in body:
        published = await _redefine(parts, principal.tenant, workflow, body)
    else:
        published = await _change(parts, principal.tenant, workflow, body)
    return answer(Workflow.of(published))


@router.delete("/{workflow_id}", status_code=204)
async def delete_workflow(principal: Deleter, parts: UsesParts, workflow: WorkflowId) -> Response:
    """Delete one's own process. Runs under way go on."""
    await parts.publisher.delete(principal.tenant, workflow)
    return Response(status_code=204)


async def _ended(parts: Parts, run: RunRow, seconds: float) -> RunRow:
    """The run when it has ended, or after ``seconds``. It has been accepted, so from here on nothing is an error."""
    if seconds == 0 or RunStatus(run.status).ended:
        return run
    try:
        return await parts.runs.wait(run.tenant_id, run.id or 0, seconds)
    except Unavailable:
        return run


def _preferred(prefer: str, default_seconds: float) -> tuple[float, str]:
    """How long to wait as RFC 7240's header says, and what of it was obeyed."""
    if "respond-async" in prefer.lower():
        return 0, "respond-async"
    if match := _PREFER_WAIT.search(prefer):
        seconds = min(int(match[1]), MAX_WAIT_SECONDS)
        return seconds, f"wait={seconds}"
    return default_seconds, ""


async def _present(parts: Parts, tenant: str, rows: Sequence[DefinitionRow]) -> list[Workflow]:
    return [Workflow.of(each) for each in await parts.publisher.present(tenant, rows)]


def _switch_apart(body: Any) -> tuple[Any, bool | None]:
    """The document, and whether the process shall be on, which is the process's affair and not the definition's."""
    if isinstance(body, dict) and isinstance(is_active := body.get("is_active"), bool):
        return {key: body[key] for key in body if key != "is_active"}, is_active
    return body, None


async def _redefine(parts: Parts, tenant: str, workflow_id: int, body: dict[str, Any]) -> Published:
    """Another definition. What the body does not say of its name and the like is as it was."""
    present = (await parts.publisher.get(tenant, workflow_id)).version.body
    inner = body["definition"] if isinstance(body.get("definition"), dict) else {}
    kept = ("name", "title", "description", "version", "tags")
    missing = {key: present[key] for key in kept if key in present and key not in body and key not in inner}
    document, is_active = _switch_apart({**missing, **body})
    return await parts.publisher.update(tenant, workflow_id, document=document, is_active=is_active)


async def _change(parts: Parts, tenant: str, workflow_id: int, body: dict[str, Any]) -> Published:
    try:
        change = ChangeWorkflow.model_validate(body)
    except ValidationError as error:
        raise InputInvalid("the body does not fit", faults_of(error.errors())) from error
    document = None
    if change.name is not None or change.version is not None:
        present = (await parts.publisher.get(tenant, workflow_id)).version.body
        document = {**present, **change.model_dump(include={"name", "version"}, exclude_none=True)}
    return await parts.publisher.update(
        tenant,
        workflow_id,
        document=document,
        description=change.description,
        tags=change.tags,
        is_active=change.is_active,
    )
