"""Recorded histories of every kind of step replay on the interpreter as it is now."""

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from control.connection import DATA_CONVERTER
from domain.definition import definition_schema
from tests.workflows.recorded import CASES, DIRECTORY
from workflows.process import Process

RECORDED = sorted(DIRECTORY.glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path, monkeypatch):
    case = CASES[path.name.split(".")[0]]
    if case.max_events is not None:
        monkeypatch.setattr("workflows.interpreter.MAX_EVENTS", case.max_events)
    replayer = Replayer(
        workflows=[Process],
        data_converter=DATA_CONVERTER,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    name = path.name.split(".")[0]
    await replayer.replay_workflow(WorkflowHistory.from_json(f"recorded-{name}", path.read_text()))


def test_every_case_has_its_history():
    assert {path.name.split(".")[0] for path in RECORDED} == set(CASES)


def test_every_kind_of_step_that_runs_has_a_case():
    kinds = definition_schema()["$defs"]["BranchStep"]["properties"]["branches"]["additionalProperties"]["items"]
    offered = set(kinds["discriminator"]["mapping"])
    tested = {step.get("type", "action") for case in CASES.values() for step in case.steps}
    assert offered - tested == {"approval"}
