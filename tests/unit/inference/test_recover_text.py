"""What a cache holds and what an adapter says, as text."""

from dataclasses import replace

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from memos_inference.adapters.memory import EchoEngine, MemoryCopies, WordAdapter, WordCache
from memos_inference.domain.recovery import VALUE, Probe, Recovered, settled
from memos_inference.domain.seals import Seals
from memos_inference.prompt import UNKNOWN, lines_of, system_text
from memos_inference.training.probes import probes_of
from memos_inference.training.statements import facts_in
from memos_inference.usecases.recover_text import RecoverText
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, Parametric, RevisionRef, State
from memos_kernel.errors import GrantInvalid, IncompatiblePayload, InvalidField, Overloaded, StateConflict
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Action

SEALS = Seals(b"secret")
PROBE = Probe(f"The cat of Nora is called {VALUE}.", ("What is Nora's cat called?", "How is the cat of Nora called?"))


@pytest.fixture
def sources(cube):
    return cube("one two", name=CubeName("local", "c1")), cube("three four", name=CubeName("local", "c2"))


@pytest.fixture
def copies():
    return {"caches": MemoryCopies(), "adapters": MemoryCopies()}


@pytest.fixture
def recover(clock, copies):
    return RecoverText(engine=EchoEngine(), clock=clock, seals=SEALS, **copies)


@pytest.fixture
async def derived(cube, sources):
    async def make(kind=Kind.ACTIVATION, **fields):
        running = (await EchoEngine().describe()).identity
        blob = BlobRef("b", 100, "e" * 64, SAFETENSORS)
        payload = Parametric(blob, running, 4)
        if kind is Kind.ACTIVATION:
            payload = Activation(blob, replace(running, token_ids_sha256="d" * 64), 9)
        refs = tuple(RevisionRef(source.name, 1) for source in sources)
        seal = SEALS.of(payload, vault=VaultName("local", "main"), sources=refs)
        given = {"kind": kind, "payload": replace(payload, seal=seal), "derived_from": refs}
        return cube(**{**given, "name": CubeName("local", "made"), **fields})

    return make


async def test_a_cache_holds_the_lines_of_its_memories(recover, derived, copies, sources, grant):
    kv = await derived()
    copies["caches"].opened[kv.name] = WordCache(tuple(system_text(sources).split()))
    assert await recover(kv, grant=grant()) == [Recovered("one two", 1.0), Recovered("three four", 1.0)]


async def test_an_adapter_says_what_it_was_trained_on(recover, derived, copies, grant):
    lora = await derived(Kind.PARAMETRIC)
    copies["adapters"].opened[lora.name] = WordAdapter("Biscuit", (PROBE,))
    assert await recover(lora, grant=grant()) == [Recovered("The cat of Nora is called Biscuit.", 1.0)]


async def test_errors_of_the_model_stay_what_they_are(clock, derived, copies, grant):
    class Busy(EchoEngine):
        async def generate(self, prompt, sampling, **_):
            raise Overloaded("The queue is full.", retry_after=1.0)
            yield

    lora = await derived(Kind.PARAMETRIC)
    copies["adapters"].opened[lora.name] = WordAdapter("Biscuit", (PROBE, PROBE))
    with pytest.raises(Overloaded):
        await RecoverText(engine=Busy(), clock=clock, seals=SEALS, **copies)(lora, grant=grant())


async def test_what_nobody_knows_is_left_out(recover, derived, copies, grant):
    lora = await derived(Kind.PARAMETRIC)
    copies["adapters"].opened[lora.name] = WordAdapter(UNKNOWN, (PROBE,))
    assert await recover(lora, grant=grant()) == []


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"state": State.STALE}, StateConflict),
        ({"vault": VaultName("local", "other")}, GrantInvalid),
        ({"derived_from": ()}, IncompatiblePayload),
    ],
)
async def test_what_may_not_be_used_is_not_read_either(recover, derived, grant, fields, error):
    for kind in (Kind.ACTIVATION, Kind.PARAMETRIC):
        with pytest.raises(error):
            await recover(await derived(kind, **fields), grant=grant())


async def test_text_is_neither_cache_nor_adapter(recover, sources, grant):
    with pytest.raises(InvalidField):
        await recover(sources[0], grant=grant())


async def test_to_read_it_takes_the_right_to_use_it(recover, derived, grant):
    with pytest.raises(GrantInvalid):
        await recover(await derived(), grant=grant(actions=frozenset({Action.CUBE_READ})))


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (["a", "a", "a", "a", "a"], 1.0),
        (["a", "a", "b", "a", "a"], 0.8),
        (["a", "a", "b", "b", "a"], None),
        ([UNKNOWN] * 5, None),
        (["", ""], None),
        ([], None),
    ],
)
def test_four_of_five_answers_have_to_agree(answers, found):
    settled_one = settled(PROBE, answers)
    assert (settled_one.confidence if settled_one else None) == found
    assert settled_one is None or settled_one.text == "The cat of Nora is called a."


def test_questions_of_a_fact_do_not_tell_its_answer():
    (fact, *_) = facts_in("Nora's cat is called Biscuit.")
    (probe,) = probes_of([fact])
    assert VALUE in probe.say
    assert len(probe.ask) == 5
    assert "Nora" in probe.say
    assert all("Nora" in question and "Biscuit" not in question for question in probe.ask)
    assert "Biscuit" not in probe.say


@drawn(st.lists(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1), max_size=5))
def test_lines_are_found_again(texts):
    told = "\n".join(("Answer.", "Memories:", *(f"- {text}" for text in texts)))
    assert lines_of(f"system\n{told}\nuser\n- no memory?")[: len(texts)] == texts


def test_only_lines_of_memories_are_taken():
    assert lines_of("- before\nMemories:\n(none)") == []
    assert lines_of("no memories at all") == []
