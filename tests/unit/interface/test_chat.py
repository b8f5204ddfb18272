"""The memory loop: what enters the prompt, what is recorded, and what happens when somebody leaves."""

import asyncio
from dataclasses import replace

import pytest

from memos_interface.domain.chat import ChatEnd, ChatQuestion, Delta, Plan
from memos_interface.domain.question import Turn
from memos_interface.domain.reader import Message
from memos_interface.domain.search import SearchQuery
from memos_interface.usecases import finishing
from memos_interface.usecases.add_memories import AddRequest
from memos_kernel.cube import Origin, State
from memos_kernel.errors import (
    ContentPurged,
    DependencyUnavailable,
    InvalidField,
    LimitExceeded,
    MissingField,
    Overloaded,
    VaultNotFound,
)
from memos_kernel.lineage import Relation
from memos_kernel.names import VaultName
from memos_kernel.permission import Action
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()
QUESTION = "what is the name of the cat?"


async def remember(desk, *texts):
    answer = await desk.do.add(AddRequest(vault=desk.vault, texts=texts), caller=desk.caller, key=NO_KEY)
    return [stored.cube for stored in answer.added]


def question(desk, *texts, **options):
    said = [Message(text=text, role="user" if index % 2 == 0 else "assistant") for index, text in enumerate(texts)]
    return ChatQuestion(messages=said, **options)


async def ask(desk, *texts, key=NO_KEY, **options):
    return [event async for event in desk.do.chat(question(desk, *texts, **options), caller=desk.caller, key=key)]


def turns(desk):
    return {cube.labels["memos_turn"]: cube for cube in desk.storage.cubes.values() if "memos_turn" in cube.labels}


async def test_an_answer_is_a_plan_then_text_then_the_end(desk):
    (cat,) = await remember(desk, "the name of the cat is Biscuit")
    desk.models.answer = "Biscuit the cat"
    plan, *deltas, end = await ask(desk, QUESTION)
    assert isinstance(plan, Plan)
    assert [memory.cube.name for memory in plan.chosen] == [cat.name]
    assert "".join(delta.text for delta in deltas) == end.text == "Biscuit the cat"
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert isinstance(end, ChatEnd)
    assert end.answer.startswith("tenants/t/answers/")
    assert set(end.timings_ms) == {"plan", "first_token", "generate", "record", "total"}
    assert end.timings_ms["total"] >= end.timings_ms["generate"] >= 0
    assert len(desk.spans.forecasts) == 1
    assert desk.models.prompts == [((Turn("user", QUESTION),), ("the name of the cat is Biscuit",))]


async def test_the_planner_learns_what_the_memories_must_leave_room_for(desk):
    await ask(desk, "My cat is called Biscuit.", "Nice.", QUESTION, max_tokens=40)
    assert desk.planner.conversations == [(("My cat is called Biscuit.", "Nice.", QUESTION), 40)]


async def test_injected_memories_are_audited_and_their_use_is_recorded(desk):
    (cat,) = await remember(desk, "the name of the cat is Biscuit")
    plan, *_ = await ask(desk, QUESTION)
    assert desk.audit.notes == [("cube.inject", str(cat.name))]
    assert [(str(ref.name), ref.revision, at) for ref, at in desk.lifecycle.uses] == [(str(cat.name), 1, plan.name)]


async def test_the_lineage_leads_from_the_memory_over_the_plan_to_the_answer(desk):
    (cat,) = await remember(desk, "the name of the cat is Biscuit")
    plan, *_, end = await ask(desk, QUESTION, remember_in=desk.vault)
    edges = {(edge.source, edge.target): edge for edge in desk.lineage.edges}
    assert edges[str(cat.name), plan.name].relation is Relation.PLANNED
    assert edges[str(cat.name), plan.name].detail == "rank 1"
    assert edges[plan.name, end.answer].relation is Relation.GENERATED
    for name in end.recorded:
        assert edges[end.answer, name].relation is Relation.RECORDED
    assert not any("Biscuit" in node.summary for node in desk.lineage.nodes.values())


async def test_without_a_vault_nothing_is_stored(desk):
    *_, end = await ask(desk, QUESTION)
    assert end.recorded == ()
    assert not desk.storage.cubes


async def test_a_turn_is_stored_with_its_session_and_who_said_it(desk):
    desk.models.answer = "I do not know."
    *_, end = await ask(desk, QUESTION, remember_in=desk.vault, session="s7")
    recorded = turns(desk)
    assert list(end.recorded) == [str(cube.name) for cube in desk.storage.cubes.values()]
    asked, answered = recorded["question"], recorded["answer"]
    assert (asked.text, asked.origin, asked.sources[0].role) == (QUESTION, Origin.USER_INPUT, "user")
    assert (answered.text, answered.origin) == ("I do not know.", Origin.MODEL_OUTPUT)
    assert answered.sources[0].speaker == "assistant"
    assert {cube.sources[0].session for cube in recorded.values()} == {"s7"}


async def test_an_answer_is_derived_from_the_memories_in_its_prompt(desk):
    (cat,) = await remember(desk, "the name of the cat is Biscuit")
    await ask(desk, QUESTION, remember_in=desk.vault)
    recorded = turns(desk)
    assert [ref.name for ref in recorded["answer"].derived_from] == [cat.name]
    assert recorded["question"].derived_from == ()


async def test_what_was_purged_is_not_recorded_again_and_the_answer_stands(desk, monkeypatch):
    store = desk.storage.create

    async def create(cubes, vectors, **options):
        batch = await store(cubes, vectors, **options)
        return replace(batch, results=(ContentPurged("It was erased.", purge="p"), *batch.results[1:]))

    monkeypatch.setattr(desk.storage, "create", create)
    *_, end = await ask(desk, QUESTION, remember_in=desk.vault)
    assert end.text
    assert list(end.recorded) == [str(turns(desk)["answer"].name)]


async def test_question_and_answer_are_kept_but_never_evidence(desk):
    desk.models.answer = "the name of the cat is unknown"
    await ask(desk, QUESTION, remember_in=desk.vault)
    assert {cube.state for cube in desk.storage.cubes.values()} == {State.ARCHIVED}
    plan, *_ = await ask(desk, QUESTION)
    assert plan.chosen == plan.rejected == ()
    found = await desk.do.search(SearchQuery(query="name of the cat"), caller=desk.caller)
    assert found.hits == ()


async def test_what_the_user_tells_in_a_chat_is_a_memory(desk):
    desk.models.answer = "Nice to know."
    await ask(desk, "the name of my cat is Biscuit", remember_in=desk.vault)
    recorded = turns(desk)
    assert recorded["statement"].state is State.GENERATED
    assert recorded["answer"].state is State.ARCHIVED
    plan, *_ = await ask(desk, QUESTION)
    assert [memory.cube.text for memory in plan.chosen] == ["the name of my cat is Biscuit"]


async def test_an_answer_of_nothing_is_not_stored(desk):
    desk.models.answer = " "
    await ask(desk, QUESTION, remember_in=desk.vault)
    assert set(turns(desk)) == {"question"}


async def test_an_answer_that_is_too_long_for_a_cube_is_stored_in_parts(desk):
    desk.models.answer = "word\x07 " * 4_000
    *_, end = await ask(desk, QUESTION, remember_in=desk.vault)
    parts = [cube for cube in desk.storage.cubes.values() if cube.labels["memos_turn"] == "answer"]
    assert len(parts) > 1
    assert "".join(part.text for part in parts) == end.text.replace("\x07", " ")
    assert parts[1].sources[0].start_char == parts[0].sources[0].end_char


async def test_a_request_id_stores_a_turn_once(desk):
    key = RequestKey("r1", "Chat", "aa")
    *_, first = await ask(desk, QUESTION, remember_in=desk.vault, key=key)
    *_, again = await ask(desk, QUESTION, remember_in=desk.vault, key=key)
    assert again.recorded == first.recorded
    assert len(desk.storage.cubes) == 2
    told = {edge.source for edge in desk.lineage.edges if edge.relation is Relation.RECORDED}
    assert told == {first.answer}, "the second answer made none of these cubes"


async def test_a_vault_that_may_not_be_written_fails_before_anything_is_generated(desk):
    with pytest.raises(VaultNotFound):
        await ask(desk, QUESTION, remember_in=VaultName("t", "nowhere"))
    assert not desk.models.prompts


async def test_recording_gets_fresh_grants_for_the_vault_it_writes_and_for_those_it_read(desk):
    await ask(desk, QUESTION, vaults=(desk.other,), remember_in=desk.vault)
    writes = [vaults for actions, vaults in desk.delegation.granted if Action.CUBE_WRITE in actions]
    others = [vaults for actions, vaults in desk.delegation.granted if Action.LINEAGE_WRITE in actions]
    assert set(writes) == {(desk.vault,)}
    assert set(others) == {(desk.other,)}


async def test_a_caller_who_leaves_stops_the_generation_and_nothing_is_stored(desk):
    desk.models.answer = "one two three four"
    events = desk.do.chat(question(desk, QUESTION, remember_in=desk.vault), caller=desk.caller, key=NO_KEY)
    async for event in events:
        if isinstance(event, Delta):
            break
    await events.aclose()
    assert desk.models.stopped
    assert not desk.storage.cubes
    assert not desk.lineage.edges


async def test_recording_that_has_begun_is_finished_even_if_the_caller_leaves(desk, monkeypatch):
    reached, go_on = asyncio.Event(), asyncio.Event()
    store = desk.storage.create

    async def slow(*args, **kwargs):
        reached.set()
        await go_on.wait()
        return await store(*args, **kwargs)

    monkeypatch.setattr(desk.storage, "create", slow)
    call = asyncio.create_task(ask(desk, QUESTION, remember_in=desk.vault))
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await desk.do.finishing.drain()
    assert {cube.state for cube in desk.storage.cubes.values()} == {State.ARCHIVED}
    assert desk.lineage.edges
    assert desk.allowed == [finishing.SECONDS], "the caller's deadline would cut it off"


async def test_a_failure_of_the_model_is_raised_after_the_plan(desk):
    desk.models.failure = Overloaded("The engine's queue is full.", retry_after=1.0)
    events = desk.do.chat(question(desk, QUESTION), caller=desk.caller, key=NO_KEY)
    assert isinstance(await anext(events), Plan)
    with pytest.raises(Overloaded):
        await anext(events)


async def test_an_answer_whose_lineage_is_not_durable_does_not_end_well(desk, monkeypatch):
    async def away(graph):
        raise DependencyUnavailable("away", dependency="governance")

    monkeypatch.setattr(desk.lineage, "record", away)
    with pytest.raises(DependencyUnavailable):
        await ask(desk, QUESTION)


async def test_earlier_turns_reach_the_model_and_resolve_a_pronoun(desk):
    plan, *_ = await ask(desk, "Felix has moved.", "I see.", "where does he live now?")
    assert plan.call.query == "where does he live now? Felix"
    ((turns_, _),) = desk.models.prompts
    assert [turn.role for turn in turns_] == ["user", "assistant", "user"]
    assert turns_[-1].text == "where does he live now?"


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"messages": ()}, MissingField, "messages"),
        ({"messages": [Message(text="a")] * 65}, LimitExceeded, "messages"),
        ({"messages": [Message(text="a", role="assistant")]}, InvalidField, "messages[0].role"),
        ({"messages": [Message(text="a", role="system"), Message(text="b")]}, InvalidField, "messages[0].role"),
        ({"messages": [Message(text="")]}, MissingField, "messages[0].text"),
        ({"messages": [Message(text="a", time="2026-01-01T00:00:00")]}, InvalidField, "messages[0].time"),
        ({"max_tokens": 2_049}, LimitExceeded, "max_tokens"),
        ({"max_tokens": -1}, InvalidField, "max_tokens"),
        ({"memory_token_budget": -1}, InvalidField, "memory_token_budget"),
        ({"temperature": 2.1}, InvalidField, "temperature"),
        ({"temperature": float("nan")}, InvalidField, "temperature"),
        ({"session": "x" * 257}, LimitExceeded, "session"),
        ({"vaults": tuple(VaultName("t", f"v{n}") for n in range(33))}, LimitExceeded, "vaults"),
    ],
)
async def test_a_bad_question_is_refused_by_its_field(desk, fields, error, field):
    asked = ChatQuestion(**{"messages": [Message(text="a")], **fields})
    with pytest.raises(error) as caught:
        await anext(desk.do.chat(asked, caller=desk.caller, key=NO_KEY))
    assert caught.value.field == field
    assert not desk.models.prompts
