"""Consecutive actions tried in one go: in order, each under its own key, up to one that does not succeed at once."""

from datetime import timedelta

import pytest

from activities.runs import Runs
from activities.segments import Segments
from control.publishing import Publisher
from domain.actions import Catalogue
from domain.errors import ConnectorError, ErrorCode
from domain.messages import PerformSegment, SegmentStep
from tests.activities.conftest import environment
from tests.activities.fakes import Killed

THREE = [
    {"name": "a", "action": "fake.charge", "config": {"to": "{{input.who}}"}},
    {"name": "b", "action": "fake.charge", "config": {"amount": "{{steps.a.output.number + 10}}"}},
    {"name": "c", "action": "fake.charge", "config": {"amount": "{{steps.b.output.number + 20}}"}},
]


class Lane:
    """A published process whose top-level steps are tried as one segment."""

    def __init__(self, desk):
        self.desk = desk
        self.segments = Segments(desk.effects, Runs(desk.database, Catalogue([desk.provider]), desk.tenant))

    async def publish(self, steps):
        publisher = Publisher(self.desk.database, Catalogue([self.desk.provider]).infos())
        published = await publisher.publish(self.desk.tenant, {"name": "p", "steps": steps})
        self.digest = published.version.digest
        self.steps = [SegmentStep(path=step["name"], node=number) for number, step in enumerate(steps)]
        return self

    async def perform(self, **more):
        order = PerformSegment(
            run_id=1,
            key="run-1-abc",
            tenant=self.desk.tenant,
            process="p",
            digest=self.digest,
            run={},
            **{"steps": self.steps, "input": {"who": "Ada"}, "outputs": {}, **more},
        )
        return (await environment(local=True).run(self.segments.perform, order)).tries


@pytest.fixture
def lane(desk):
    return Lane(desk)


async def test_each_step_reads_the_outputs_of_those_before_and_has_its_own_key(lane, provider):
    await lane.publish(THREE)

    tries = await lane.perform()

    assert [first.outcome.output for first in tries] == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert provider.effects == ["run-1-abc/a", "run-1-abc/b", "run-1-abc/c"]
    assert [(wish.to, wish.amount) for wish in provider.wishes] == [("Ada", 1), ("Ada", 11), ("Ada", 22)]
    assert all(first.started_at <= first.completed_at for first in tries)


@pytest.mark.parametrize("death", ["after_ledger", "after_call"])
async def test_a_segment_that_is_repeated_after_a_crash_goes_on_where_it_was(lane, desk, provider, death):
    await lane.publish(THREE)
    await lane.perform(steps=lane.steps[:1])
    desk.deaths.points = [death]
    with pytest.raises(Killed):
        await lane.perform(steps=lane.steps[1:2], outputs={"a": {"number": 1}})

    tries = await lane.perform()

    assert [first.outcome.replayed for first in tries] == [True, death == "after_ledger", False]
    assert set(provider.effects) == {"run-1-abc/a", "run-1-abc/b", "run-1-abc/c"}
    assert provider.times["run-1-abc/a"] == 1


async def test_outputs_of_earlier_segments_and_the_item_of_a_foreach_are_there(lane, provider):
    config = {"to": "{{steps.z.output.name}}", "amount": "{{index + item.n}}"}
    inner = {"name": "s", "action": "fake.read", "config": config}
    each = {"name": "each", "type": "foreach", "items": [{"n": 1}], "steps": [inner]}
    await lane.publish([{"name": "z", "action": "fake.read", "config": {}}, each])

    step = SegmentStep(path="each[4].s", node=1)
    await lane.perform(steps=[step], outputs={"z": {"name": "Bob"}}, item={"n": 2}, index=4)

    assert (provider.wishes[0].to, provider.wishes[0].amount) == ("Bob", 6)
    assert provider.effects == ["run-1-abc/each[4].s"]


async def test_a_step_whose_condition_does_not_hold_is_left_out_and_the_next_one_knows(lane, provider):
    steps = [
        {"name": "a", "action": "fake.read", "config": {}, "when": "input.who == 'Bob'"},
        {"name": "b", "action": "fake.read", "config": {"to": "{{has(steps.a.output) ? 'there' : 'absent'}}"}},
    ]
    await lane.publish(steps)

    skipped, first = await lane.perform()

    assert skipped is None
    assert first.outcome.output == {"number": 1}
    assert [wish.to for wish in provider.wishes] == ["absent"]


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_step_that_fails_ends_the_segment_and_says_all_about_it(lane, provider, retryable):
    await lane.publish(THREE)
    await lane.perform(steps=lane.steps[:1])
    provider.refusals = [
        ConnectorError(
            ErrorCode.RATE_LIMITED,
            "not now",
            retryable=retryable,
            retry_after=timedelta(seconds=9),
            status=429,
            details={"host": "h"},
        )
    ]

    _, failed = await lane.perform()

    assert failed.outcome is None
    assert (failed.error.code, failed.error.message) == ("RATE_LIMITED", "not now")
    assert failed.error.details == {"status": 429, "host": "h"}
    assert (failed.retryable, failed.retry_after_seconds) == (retryable, 9)
    assert provider.effects == ["run-1-abc/a"]


async def test_an_unexpected_error_ends_the_segment_without_its_text(lane, provider):
    await lane.publish(THREE)
    provider.refusals = [ZeroDivisionError("hunter2")]

    (failed,) = await lane.perform()

    assert (failed.error.code, failed.retryable) == ("INTERNAL_ERROR", True)
    assert "hunter2" not in failed.model_dump_json()


async def test_a_step_that_does_not_end_in_time_ends_the_segment_with_neither_outcome_nor_error(lane, provider):
    await lane.publish([{"name": "h", "action": "fake.hang", "config": {}}, *THREE[:1]])

    (tried,) = await lane.perform()

    assert (tried.outcome, tried.error) == (None, None)
    assert provider.effects == []


async def test_an_input_that_cannot_be_rendered_is_left_to_the_interpreter(lane, provider):
    steps = [*THREE[:1], {"name": "b", "action": "fake.read", "config": {"to": "{{input.absent}}"}}, *THREE[2:]]
    steps[2] = {**steps[2], "config": {}}
    await lane.publish(steps)

    tries = await lane.perform()

    assert len(tries) == 1
    assert provider.effects == ["run-1-abc/a"]


async def test_an_effect_that_is_given_up_ends_the_segment(lane, provider):
    first = {"name": "a", "action": "fake.charge", "config": {}, "on_unknown": "skip"}
    await lane.publish([first, {"name": "b", "action": "fake.read", "config": {}}])
    provider.losses = [ConnectorError(ErrorCode.TIMEOUT, "lost", ambiguous=True)]

    (given_up,) = await lane.perform()

    assert given_up.outcome.skipped
    assert len(provider.calls) == 1
