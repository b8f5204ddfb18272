from contextlib import aclosing

import pytest

from memos_inference.adapters.memory import EchoEngine, RecordingTracer
from memos_inference.domain import Delta, Ended, Injection, Role, Sampling, Turn
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_kernel.cube import State
from memos_kernel.errors import ContextExceeded, StateConflict

QUESTION = [Turn(Role.USER, "What colour is the bicycle?")]


@pytest.fixture
def tracer():
    return RecordingTracer()


@pytest.fixture
def generate(clock, tracer):
    return GenerateAnswer(EchoEngine(context_length=64), tracer, clock)


async def test_the_pieces_join_to_the_answer_and_the_end_comes_last(generate, grant):
    *pieces, end = [event async for event in generate(QUESTION, [], Sampling(), grant=grant())]
    assert "".join(piece.text for piece in pieces) == "What colour is the bicycle?"
    assert isinstance(end, Ended)


async def test_memories_take_room_in_the_prompt(generate, grant, cube):
    memory = Injection(cube("one two three"), "text")
    ends = [
        [event async for event in generate(QUESTION, given, Sampling(), grant=grant())][-1]
        for given in ([memory], [memory, memory])
    ]
    assert ends[1].prompt_tokens == ends[0].prompt_tokens + 4


async def test_the_trace_links_to_every_injected_cube_and_takes_the_end(generate, grant, cube, tracer):
    given = cube()
    async for _ in generate(QUESTION, [Injection(given, "text")], Sampling(max_tokens=2), grant=grant()):
        pass
    (recorded,) = tracer.generations
    assert (recorded.model, recorded.cubes, recorded.max_tokens) == ("echo", (given,), 2)
    assert [end.completion_tokens for end in recorded.ends] == [2]


async def test_one_cube_that_may_not_be_injected_stops_the_generation_before_it_begins(generate, grant, cube, tracer):
    injections = [Injection(cube(), "text"), Injection(cube(state=State.STALE), "text")]
    with pytest.raises(StateConflict):
        await anext(generate(QUESTION, injections, Sampling(), grant=grant()))
    assert not tracer.generations


async def test_a_prompt_that_does_not_fit_names_its_tokens_and_the_limit(generate, grant, cube):
    with pytest.raises(ContextExceeded) as caught:
        await anext(generate(QUESTION, [Injection(cube("word " * 80), "text")], Sampling(), grant=grant()))
    assert int(caught.value.metadata["tokens"]) > int(caught.value.metadata["limit"]) == 64


async def test_a_caller_that_leaves_ends_the_generation_without_an_end(generate, grant, tracer):
    async with aclosing(generate(QUESTION, [], Sampling(), grant=grant())) as events:
        assert await anext(events) == Delta("What")
    assert tracer.generations[0].ends == []
