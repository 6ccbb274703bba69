"""Publishing: faults before anything is stored, versions that never change, built-ins that tenants may replace."""

import asyncio
import uuid

import pytest

from control.publishing import Publisher
from domain import ids
from domain.documents import parse_document
from domain.errors import Conflict, DefinitionInvalid, NotFound
from store import definitions
from store.database import ALL_TENANTS
from store.tables import SecretRow
from tests.control.conftest import ACTIONS, definition

TWO_FAULTS = definition(
    steps=[
        {"name": "say", "action": "core.lag", "config": {"message": "hello"}},
        {"name": "again", "action": "core.log", "config": {"message": "{{steps.nowhere.output}}"}},
    ]
)


@pytest.fixture
async def builtin(publisher, tmp_path):
    """A built-in process with a name of its own; switched off at the end, since built-ins are seen by all tests."""
    name = f"builtin_{uuid.uuid4().hex[:8]}"
    (tmp_path / "one.yaml").write_text(f"name: {name}\nsteps: [{{action: core.log, config: {{message: hello}}}}]\n")
    [published] = await publisher.publish_directory(tmp_path)
    yield published
    await publisher.delete(ids.BUILTIN_TENANT, published.definition.id)


async def test_what_is_published_is_found_by_name_and_id(publisher, tenant):
    published = await publisher.publish(tenant, definition(title="Greeting", tags={"team": "sales"}))

    by_name = await publisher.find(tenant, "greet")
    by_id = await publisher.get(tenant, published.definition.id)

    assert (published.created, published.changed) == (True, True)
    assert by_name.version.body["steps"][0]["config"] == {"message": "hello"}
    assert by_id.version.digest == published.version.digest == published.definition.digest
    assert (by_id.definition.description, by_id.definition.tags) == ("Greeting", {"team": "sales"})


async def test_a_faulty_definition_is_refused_with_every_fault_and_nothing_is_stored(publisher, tenant):
    with pytest.raises(DefinitionInvalid) as refused:
        await publisher.publish(tenant, TWO_FAULTS)

    paths = [fault.path for fault in refused.value.faults]
    assert any(path.startswith("/steps/0") for path in paths)
    assert any(path.startswith("/steps/1") for path in paths)
    with pytest.raises(NotFound):
        await publisher.find(tenant, "greet")


async def test_checking_tells_the_same_faults_and_stores_nothing(publisher, tenant):
    understood, faults = await publisher.check(tenant, TWO_FAULTS)
    nothing, unreadable = await publisher.check(tenant, {"name": "Not A Name"})
    good, none = await publisher.check(tenant, definition())

    assert understood is not None
    assert len(faults) >= 2
    assert nothing is None
    assert unreadable
    assert good is not None
    assert not none
    with pytest.raises(NotFound):
        await publisher.find(tenant, "greet")


async def test_faults_of_a_text_come_with_its_lines(publisher, tenant):
    text = "name: greet\nsteps:\n  - action: core.log\n    config: {}\n"

    _, faults = await publisher.check(tenant, parse_document(text, file="greet.yaml"))

    assert {fault.file for fault in faults} <= {"greet.yaml:3", "greet.yaml:4"}
    assert faults


async def test_publishing_the_same_again_changes_nothing(publisher, tenant):
    first = await publisher.publish(tenant, definition())
    again = await publisher.publish(tenant, definition())

    assert (again.created, again.changed) == (False, False)
    assert again.definition.model_dump() == first.definition.model_dump()
    assert len(await publisher.versions(tenant, first.definition.id)) == 1


async def test_a_change_is_a_new_version_and_the_old_one_stays(publisher, tenant):
    first = await publisher.publish(tenant, definition())
    second = await publisher.publish(tenant, definition(message="hi"))

    assert second.definition.id == first.definition.id
    assert (second.created, second.changed) == (True, True)
    versions = await publisher.versions(tenant, first.definition.id)
    assert [each.digest for each in versions] == [second.version.digest, first.version.digest]


async def test_publishing_an_earlier_version_goes_back_to_it(publisher, tenant):
    first = await publisher.publish(tenant, definition())
    await publisher.publish(tenant, definition(message="hi"))

    back = await publisher.publish(tenant, definition())

    assert (back.created, back.changed) == (False, True)
    assert (await publisher.find(tenant, "greet")).version.digest == first.version.digest


async def test_strictly_a_version_label_stands_for_one_content(publisher, tenant):
    await publisher.publish(tenant, definition(), strict=True)
    await publisher.publish(tenant, definition(), strict=True)

    with pytest.raises(Conflict, match=r"another version 1\.0\.0"):
        await publisher.publish(tenant, definition(message="hi"), strict=True)
    assert (await publisher.publish(tenant, definition(message="hi", version="1.0.1"), strict=True)).created


async def test_many_who_publish_the_same_process_at_once_make_one(publisher, tenant):
    published = await asyncio.gather(
        *(publisher.publish(tenant, definition(message=f"hello {number % 2}")) for number in range(20))
    )

    assert len({each.definition.id for each in published}) == 1
    assert sum(each.created for each in published) == 2
    assert len(await publisher.versions(tenant, published[0].definition.id)) == 2


async def test_a_translated_document_is_kept_as_it_was_written(publisher, tenant):
    written = {"name": "greet", "description": "Says hello", "definition": {"steps": definition()["steps"]}}

    translated = await publisher.publish(tenant, written)
    plain = await publisher.publish(tenant, translated.version.body)

    assert translated.version.source == written
    assert translated.definition.description == "Says hello"
    assert not plain.created


async def test_a_definition_may_name_only_secrets_that_its_tenant_has(database, publisher, tenant, other_tenant):
    asking = definition(message="{{$secret.PIN}} {{$secret.TOKEN}}")
    with_environment = Publisher(database, ACTIONS, environment_secrets={tenant: ["TOKEN"], other_tenant: ["TOKEN"]})
    async with database.session(tenant) as session:
        session.add(SecretRow(tenant_id=tenant, name="PIN", version=1, kid="k", nonce=b"n", ciphertext=b"c"))

    await with_environment.publish(tenant, asking)

    _, faults = await publisher.check(tenant, asking)
    assert [name for name in ("PIN", "TOKEN") if any(name in fault.reason for fault in faults)] == ["TOKEN"]
    _, faults = await with_environment.check(other_tenant, asking)
    assert [name for name in ("PIN", "TOKEN") if any(name in fault.reason for fault in faults)] == ["PIN"]


async def test_a_definition_may_start_processes_that_there_are(database, publisher, tenant):
    parent = definition(
        "parent", steps=[{"name": "child", "type": "process", "process": "greet", "input": {"who": "x"}}]
    )
    with pytest.raises(DefinitionInvalid):
        await publisher.publish(tenant, parent)

    await Publisher(database, ACTIONS, ["greet"]).check(tenant, parent)
    await publisher.publish(tenant, definition())
    assert (await publisher.publish(tenant, parent)).created


async def test_built_in_processes_may_start_each_other_in_any_order(publisher, tmp_path, tenant):
    first, second = (f"{letter}_{uuid.uuid4().hex[:8]}" for letter in "ab")
    (tmp_path / "a.yaml").write_text(f"name: {first}\nsteps: [{{name: go, type: process, process: {second}}}]\n")
    (tmp_path / "b.yml").write_text(f"name: {second}\nsteps: [{{action: core.log, config: {{message: hello}}}}]\n")
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "README.md").write_text("not a definition")

    published = await publisher.publish_directory(tmp_path)
    again = await publisher.publish_directory(tmp_path)

    assert [each.definition.name for each in published] == [first, second]
    assert not any(each.created or each.changed for each in again)
    assert (await publisher.find(tenant, first)).definition.tenant_id == ids.BUILTIN_TENANT
    for each in published:
        await publisher.delete(ids.BUILTIN_TENANT, each.definition.id)


async def test_one_fault_in_a_directory_keeps_all_of_it_from_being_stored(publisher, tmp_path, tenant):
    good = f"good_{uuid.uuid4().hex[:8]}"
    (tmp_path / "a.yaml").write_text(f"name: {good}\nsteps: [{{action: core.log, config: {{message: hello}}}}]\n")
    (tmp_path / "b.yaml").write_text("name: bad\nsteps: [{action: core.lag}]\n")
    (tmp_path / "c.yaml").write_text("name: [\n")
    (tmp_path / "d.yaml").write_text(f"name: {good}\nsteps: [{{action: core.log, config: {{message: hi}}}}]\n")

    with pytest.raises(DefinitionInvalid) as refused:
        await publisher.publish_directory(tmp_path)

    named = {(fault.file or "").rpartition("/")[2].split(":")[0] for fault in refused.value.faults}
    assert named == {"b.yaml", "c.yaml", "d.yaml"}
    with pytest.raises(NotFound):
        await publisher.find(tenant, good)


async def test_a_tenants_own_process_goes_before_the_built_in_one(publisher, runs, builtin, tenant, other_tenant):
    name = builtin.definition.name
    own = await publisher.publish(tenant, definition(name))

    assert (await publisher.find(tenant, name)).definition.id == own.definition.id
    assert (await publisher.find(other_tenant, name)).definition.id == builtin.definition.id
    assert (await runs.accept(tenant, name, {"who": "Ada"})).run.digest == own.version.digest
    assert (await runs.accept(other_tenant, name, {})).run.digest == builtin.version.digest


async def test_a_listing_shows_a_replaced_built_in_process_once(publisher, builtin, tenant, other_tenant):
    name = builtin.definition.name
    own = await publisher.publish(tenant, definition(name))

    async def listed(of):
        rows, total = await publisher.list(of)
        assert total == len(rows)
        return [row.id for row in rows if row.name == name]

    assert await listed(tenant) == [own.definition.id]
    assert await listed(other_tenant) == [builtin.definition.id]
    assert await listed(ids.BUILTIN_TENANT) == [builtin.definition.id]


async def test_a_tenant_cannot_change_a_built_in_process(publisher, builtin, tenant):
    definition_id = builtin.definition.id

    for change in (
        publisher.delete(tenant, definition_id),
        publisher.set_active(tenant, definition_id, is_active=False),
        publisher.update(tenant, definition_id, description="mine"),
    ):
        with pytest.raises(Conflict, match="built in"):
            await change
    assert (await publisher.get(tenant, definition_id)).definition.is_active


async def test_another_tenants_process_is_not_found(publisher, tenant, other_tenant, process):
    definition_id = process.definition.id

    for command in (
        publisher.get(other_tenant, definition_id),
        publisher.find(other_tenant, "greet"),
        publisher.versions(other_tenant, definition_id),
        publisher.delete(other_tenant, definition_id),
        publisher.set_active(other_tenant, definition_id, is_active=False),
        publisher.update(other_tenant, definition_id, document=definition()),
    ):
        with pytest.raises(NotFound):
            await command
    assert process.definition.id not in [row.id for row in (await publisher.list(other_tenant))[0]]


async def test_a_process_is_switched_off_and_on(publisher, tenant, process):
    definition_id = process.definition.id

    await publisher.set_active(tenant, definition_id, is_active=False)
    assert "greet" in [row.name for row in (await publisher.list(tenant, is_active=False))[0]]
    assert "greet" not in [row.name for row in (await publisher.list(tenant, is_active=True))[0]]
    await publisher.publish(tenant, definition(message="hi"))
    assert not (await publisher.get(tenant, definition_id)).definition.is_active

    assert (await publisher.set_active(tenant, definition_id, is_active=True)).definition.is_active


async def test_an_update_changes_what_it_names_and_leaves_the_rest(publisher, tenant, process):
    updated = await publisher.update(
        tenant, process.definition.id, document=definition(message="hi"), description="new", tags={"a": 1}
    )
    kept = await publisher.update(tenant, process.definition.id, description="newer")

    assert updated.version.digest != process.version.digest
    assert (kept.definition.description, kept.definition.tags) == ("newer", {"a": 1})
    assert kept.version.digest == updated.version.digest


async def test_an_update_cannot_rename(publisher, tenant, process):
    with pytest.raises(DefinitionInvalid) as refused:
        await publisher.update(tenant, process.definition.id, document=definition("other"))

    assert [fault.path for fault in refused.value.faults] == ["/name"]


async def test_a_deleted_process_frees_its_name_and_keeps_its_versions(publisher, database, tenant, process):
    await publisher.delete(tenant, process.definition.id)

    with pytest.raises(NotFound):
        await publisher.get(tenant, process.definition.id)
    anew = await publisher.publish(tenant, definition())
    assert anew.definition.id != process.definition.id
    async with database.session(ALL_TENANTS) as session:
        assert await definitions.version(session, process.definition.id, process.version.digest) is not None
