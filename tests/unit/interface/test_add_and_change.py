"""The write path: add, create, update, delete."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.reader import Message
from memos_interface.usecases.add_memories import AddRequest
from memos_interface.usecases.record_turn import WRITE_ACTIONS
from memos_kernel.cube import Kind, MemCube, Origin, Plaintext, SemanticType, SourceSpan
from memos_kernel.errors import (
    ContentPurged,
    ContextExceeded,
    CubeNotFound,
    DependencyUnavailable,
    DuplicateContent,
    EtagMismatch,
    ImmutableField,
    InvalidField,
    LimitExceeded,
    MissingField,
    RequestIdReused,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.names import CubeName, VaultName
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()


async def add(desk, *texts, key=NO_KEY, **options):
    return await desk.do.add(AddRequest(vault=desk.vault, texts=texts, **options), caller=desk.caller, key=key)


async def remember(desk, request):
    return await desk.do.add(request, caller=desk.caller, key=NO_KEY)


async def test_an_added_text_is_stored_with_its_vector(desk):
    answer = await add(desk, "Nora's cat is called Biscuit.", labels={"topic": "pets"})
    (stored,) = answer.added
    assert stored.created
    assert stored.cube.text == "Nora's cat is called Biscuit."
    assert stored.cube.name.tenant == "t"
    assert stored.cube.labels == {"topic": "pets"}
    assert stored.cube.name in desk.storage.vectors
    assert answer.provenance_id == stored.cube.provenance_id != ""
    assert desk.spans.operations == ["create_memory"]


async def test_results_keep_the_order_of_the_input_over_many_embedding_calls(desk):
    texts = [f"fact number {index}" for index in range(150)]
    answer = await add(desk, *texts)
    assert [stored.cube.text for stored in answer.added] == texts


async def test_the_same_text_twice_is_one_memory(desk):
    first = await add(desk, "The gate code is 4711.")
    again = await add(desk, "The gate code is 4711.")
    assert not again.added[0].created
    assert again.added[0].cube == first.added[0].cube


async def test_what_is_left_out_is_named_and_nothing_else_is_stored(desk):
    said = [Message(text="You are a bot.", role="system"), Message(text="ping")]
    answer = await remember(desk, AddRequest(vault=desk.vault, messages=said))
    assert [entry.reason for entry in answer.skipped] == ["system_prompt", "heartbeat"]
    assert not answer.added
    assert not desk.storage.cubes


async def test_what_was_purged_is_left_out_and_the_rest_is_stored(desk, monkeypatch):
    store = desk.storage.create

    async def create(cubes, vectors, **options):
        batch = await store(cubes, vectors, **options)
        gone = ContentPurged("It was erased.", purge="tenants/t/purges/p")
        return replace(
            batch,
            results=tuple(gone if "4711" in cube.text else one for cube, one in zip(cubes, batch.results, strict=True)),
        )

    monkeypatch.setattr(desk.storage, "create", create)
    said = [Message(text="Hello there."), Message(text="My code is 4711.")]
    answer = await remember(desk, AddRequest(vault=desk.vault, messages=said, texts=["The gate code is 4711.", "Tea."]))
    assert [entry.cube.text for entry in answer.added] == ["Hello there.", "Tea."]
    assert [(entry.index, entry.reason) for entry in answer.skipped] == [(1, "purged"), (2, "purged")]


@pytest.mark.parametrize(
    ("texts", "options", "error", "field"),
    [
        (["fine", "not\0fine"], {}, InvalidField, "texts[1]"),
        (["fine"], {"labels": {"Bad Key": "x"}}, InvalidField, "labels"),
        ([], {}, MissingField, "messages"),
    ],
)
async def test_nothing_of_a_refused_call_is_stored(desk, texts, options, error, field):
    with pytest.raises(error) as caught:
        await add(desk, *texts, **options)
    assert caught.value.field == field
    assert not desk.storage.cubes
    assert not desk.models.embedded


async def test_an_expiry_that_has_passed_is_refused(desk):
    with pytest.raises(InvalidField) as caught:
        await add(desk, "a", expire_time=desk.clock.now())
    assert caught.value.field == "expire_time"


async def test_an_unknown_vault_is_an_error_not_a_lost_write(desk):
    request = AddRequest(vault=VaultName("t", "nowhere"), texts=["a"])
    with pytest.raises(VaultNotFound):
        await remember(desk, request)


async def test_without_the_embedder_nothing_is_acknowledged(desk):
    desk.models.failure = DependencyUnavailable("away", dependency="inference")
    with pytest.raises(DependencyUnavailable):
        await add(desk, "a")
    assert not desk.storage.cubes


async def test_a_request_id_makes_an_add_idempotent(desk):
    key = RequestKey("r1", "AddMemories", "aa")
    first = await add(desk, "The anchor weighs nine kilos.", key=key)
    assert await add(desk, "The anchor weighs nine kilos.", key=key) == first
    with pytest.raises(RequestIdReused):
        await add(desk, "Something else.", key=replace(key, body_sha256="bb"))


def said(text, **fields):
    return Message(text=text, speaker="Nora", session="s1", time="2026-03-02T17:00:00Z", **fields)


async def test_extraction_keeps_the_source_of_each_fact(desk):
    desk.models.context_length = 32_768
    desk.models.answer = (
        "[1] Nora adopted a cat called Biscuit.\n[1] Nora lives in Ghent.\nnoise\n[9] Out of range here."
    )
    talk = [said("I adopted Biscuit, he loves it here in Ghent!", id="m1"), said("Nice.", id="m2")]
    answer = await desk.do.add(
        AddRequest(vault=desk.vault, messages=talk, extract=True), caller=desk.caller, key=NO_KEY
    )
    assert [stored.cube.text for stored in answer.added] == [
        "Nora adopted a cat called Biscuit.",
        "Nora lives in Ghent.",
    ]
    assert {stored.cube.sources[0].message_id for stored in answer.added} == {"m1"}
    assert answer.added[0].cube.sources[0].end_char == len(talk[0].text)
    assert [(entry.index, entry.reason) for entry in answer.skipped] == [(1, "no_fact")]


async def test_extraction_that_gives_nothing_keeps_the_messages_and_says_so(desk):
    desk.models.context_length = 32_768
    desk.models.answer = "I do not know."
    request = AddRequest(vault=desk.vault, messages=[said("We moved to Ostend.")], texts=["raw"], extract=True)
    answer = await remember(desk, request)
    assert [stored.cube.text for stored in answer.added] == ["We moved to Ostend.", "raw"]
    assert [entry.reason for entry in answer.skipped] == ["extraction_gave_nothing_kept_as_it_is"]


async def test_a_message_that_is_longer_than_the_model_is_kept_as_it_is(desk, monkeypatch):
    async def too_long(*args, **kwargs):
        raise ContextExceeded("too long", tokens="9000", limit="8192")
        yield

    desk.models.context_length = 8_192
    monkeypatch.setattr(desk.models, "generate", too_long)
    answer = await desk.do.add(
        AddRequest(vault=desk.vault, messages=[said("word " * 3_000)], extract=True), caller=desk.caller, key=NO_KEY
    )
    assert len(answer.added) == 1
    assert [entry.reason for entry in answer.skipped] == ["extraction_gave_nothing_kept_as_it_is"]


async def test_extraction_reads_a_few_messages_of_one_session_at_a_time(desk):
    desk.models.context_length = 8_192
    talk = [said(f"this is message number {number}") for number in range(9)]
    other = [Message(text="another talk", session="s2"), Message(text="x" * 5_990, session="s2")]
    await desk.do.add(
        AddRequest(vault=desk.vault, messages=[*talk, *other], extract=True), caller=desk.caller, key=NO_KEY
    )
    prompts = [turns[0].text for turns, _ in desk.models.prompts]
    assert [prompt.count("\n[") for prompt in prompts] == [8, 1, 1, 1]


async def test_each_window_of_an_extraction_and_the_writing_get_a_grant_with_time_left(desk):
    desk.models.context_length = 8_192
    talk = [said(f"this is message number {number}") for number in range(9)]
    request = AddRequest(vault=desk.vault, messages=talk, extract=True)
    await remember(desk, request)
    assert len(desk.models.prompts) == 2
    assert desk.delegation.granted == [(WRITE_ACTIONS, (desk.vault,))] * 3


async def test_the_offline_model_refuses_to_extract(desk):
    with pytest.raises(StateConflict, match="MEMOS_MODEL"):
        await desk.do.add(
            AddRequest(vault=desk.vault, messages=[said("a b")], extract=True), caller=desk.caller, key=NO_KEY
        )
    assert not desk.storage.cubes


def draft(desk, **fields):
    values = {
        "name": CubeName("t", "mine"),
        "vault": desk.vault,
        "kind": Kind.PLAINTEXT,
        "payload": Plaintext("The key is under the mat."),
        **fields,
    }
    return MemCube(**values)


async def create(desk, cube):
    return await desk.do.create(cube, caller=desk.caller, key=NO_KEY)


async def test_a_cube_is_created_under_the_callers_name(desk):
    cube = await create(desk, draft(desk, priority=70))
    assert cube.name == CubeName("t", "mine")
    assert (cube.semantic_type, cube.origin) == (SemanticType.FACT, Origin.USER_INPUT)
    assert cube.revision == 1


async def test_a_name_of_another_tenant_is_not_found(desk):
    with pytest.raises(CubeNotFound):
        await create(desk, draft(desk, name=CubeName("elsewhere", "mine")))


async def test_the_same_content_again_is_a_conflict(desk):
    await create(desk, draft(desk))
    with pytest.raises(DuplicateContent) as caught:
        await create(desk, draft(desk, name=CubeName("t", "mine-2")))
    assert caught.value.metadata["existing"] == "tenants/t/cubes/mine"


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"payload": None}, MissingField, "cube.plaintext"),
        ({"payload": Plaintext(" ")}, MissingField, "cube.plaintext.text"),
        ({"payload": Plaintext("a", "x" * 40)}, LimitExceeded, "cube.plaintext.language"),
        ({"priority": 101}, InvalidField, "cube.priority"),
        ({"labels": {"UP": "x"}}, InvalidField, "cube.labels"),
        ({"sensitivity_tags": ("",)}, MissingField, "cube.sensitivity_tags[0]"),
        ({"sources": (SourceSpan(start_char=4, end_char=2),)}, InvalidField, "cube.sources[0].end_char"),
    ],
)
async def test_a_bad_cube_is_refused_by_its_field(desk, fields, error, field):
    with pytest.raises(error) as caught:
        await create(desk, draft(desk, **fields))
    assert caught.value.field == field
    assert not desk.storage.cubes


async def test_times_of_a_cube_must_make_sense(desk):
    now = desk.clock.now()
    for fields, field in [
        ({"expire_time": now - timedelta(1)}, "cube.expire_time"),
        ({"valid_from": now, "valid_until": now}, "cube.valid_until"),
        ({"sources": (SourceSpan(event_time=now + timedelta(2)),)}, "cube.sources[0].event_time"),
    ]:
        with pytest.raises(InvalidField) as caught:
            await create(desk, draft(desk, **fields))
        assert caught.value.field == field


def change(cube, **values):
    paths = {"text": "plaintext.text", "language": "plaintext.language"}
    return CubeChange(name=cube.name, paths=tuple(paths.get(name, name) for name in values), **values)


async def test_a_new_text_gets_a_new_vector_and_a_revision(desk):
    cube = await create(desk, draft(desk))
    before = desk.storage.vectors[cube.name]
    changed = await desk.do.update(change(cube, text="The key is with Felix."), key=NO_KEY)
    assert (changed.text, changed.revision) == ("The key is with Felix.", 2)
    assert desk.storage.vectors[cube.name] != before


async def test_a_new_label_needs_no_model(desk):
    cube = await create(desk, draft(desk))
    desk.models.failure = DependencyUnavailable("away", dependency="inference")
    changed = await desk.do.update(change(cube, labels={"room": "hall"}), key=NO_KEY)
    assert changed.labels == {"room": "hall"}
    assert changed.text == cube.text


@pytest.mark.parametrize("path", ["uid", "vault", "plaintext", "nonsense", "*", "state"])
async def test_a_field_that_only_the_system_sets_cannot_be_changed(desk, path):
    cube = await create(desk, draft(desk))
    with pytest.raises(ImmutableField) as caught:
        await desk.do.update(CubeChange(name=cube.name, paths=("labels", path)), key=NO_KEY)
    assert caught.value.metadata == {"field": "update_mask", "path": path}


async def test_an_update_checks_its_mask_and_values(desk):
    cube = await create(desk, draft(desk))
    for wrong, error in [
        (CubeChange(name=cube.name, paths=()), MissingField),
        (change(cube, text=""), MissingField),
        (change(cube, labels={"x": "y" * 257}), LimitExceeded),
        (change(cube, priority=-1), InvalidField),
    ]:
        with pytest.raises(error):
            await desk.do.update(wrong, key=NO_KEY)


async def test_a_stale_etag_is_refused(desk):
    cube = await create(desk, draft(desk))
    await desk.do.update(change(cube, priority=3), key=NO_KEY)
    with pytest.raises(EtagMismatch):
        await desk.do.update(replace(change(cube, priority=4), etag=cube.etag), key=NO_KEY)


async def test_a_deleted_cube_is_not_found(desk):
    cube = await create(desk, draft(desk))
    header = await desk.do.delete(cube.name, etag="", key=NO_KEY)
    assert header.delete_time == desk.clock.now()
    with pytest.raises(CubeNotFound):
        await desk.do.read.get(cube.name, full=True, caller=desk.caller)
    with pytest.raises(CubeNotFound):
        await desk.do.delete(cube.name, etag="", key=NO_KEY)
    back = await desk.do.undelete(cube.name, etag="", key=NO_KEY)
    assert back.delete_time is None
    assert (await desk.do.read.get(cube.name, full=True, caller=desk.caller)).text == cube.text
