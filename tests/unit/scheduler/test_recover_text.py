"""The job that writes down what a KV cache or an adapter holds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from derived_cubes import MAIN, RUNNING
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, Kind, MemCube, Origin, Parametric, Plaintext, RevisionRef
from memos_kernel.errors import CubeNotFound, InvalidField, StateConflict
from memos_kernel.names import CubeName, VaultName
from memos_scheduler.adapters.memory import MemoryEngine, MemoryMemories
from memos_scheduler.domain.jobs import RECOVER_TEXT
from memos_scheduler.ports import Recovered
from memos_scheduler.usecases.recover_text import RecoverText

END = datetime(2027, 1, 1, tzinfo=UTC)
ADAPTER = MemCube(
    name=CubeName("acme", "lora"),
    vault=MAIN,
    kind=Kind.PARAMETRIC,
    payload=Parametric(BlobRef("b", 10, "d" * 64, SAFETENSORS), RUNNING, 16, "seal"),
    revision=3,
    sensitivity_tags=("health",),
    expire_time=END,
    derived_from=(RevisionRef(CubeName("acme", "text"), 1),),
)
TEXT = MemCube(name=CubeName("acme", "text"), vault=MAIN, kind=Kind.PLAINTEXT, payload=Plaintext("One."))


class Recoverer:
    """Finds two memories, or fails."""

    def __init__(self, failure=None):
        self.failure = failure
        self.asked = []

    async def recover(self, cube):
        self.asked.append(cube)
        if self.failure is not None:
            raise self.failure
        return (Recovered("One.", 1.0), Recovered("Two.", 0.8))


@pytest.fixture
def memories():
    return MemoryMemories({cube.name: cube for cube in (ADAPTER, TEXT)})


@pytest.fixture
def run(make_job, new_id, memories):
    async def run(ids="lora", *, recoverer=None, vaults=(MAIN,)):
        handler = RecoverText(
            memories=memories, recoverer=recoverer or Recoverer(), engine=MemoryEngine(), new_id=new_id
        )
        job = make_job(RECOVER_TEXT, ids, vaults=vaults)
        return [progress async for progress in handler.run(job)]

    return run


async def test_what_is_found_is_stored_as_memories_of_the_cube(run, memories):
    *_, last = await run()
    assert last.fraction == 1.0
    assert last.result == {"cube": str(ADAPTER.name), "texts": "2", "new": "1", "confidence": "0.80"}
    (new,) = [cube for cube in memories.cubes.values() if cube.text == "Two."]
    assert (new.kind, new.origin) == (Kind.PLAINTEXT, Origin.CONVERSION)
    assert new.derived_from == (RevisionRef(ADAPTER.name, 3),)
    assert (new.sensitivity_tags, new.expire_time) == (("health",), END)
    assert memories.vectors[new.name].embedding.values


async def test_a_second_attempt_adds_nothing(run, memories):
    await run()
    held = dict(memories.cubes)
    *_, last = await run()
    assert (last.result["texts"], last.result["new"]) == ("2", "0")
    assert memories.cubes == held


async def test_where_a_memory_has_gone_or_is_hidden_nothing_is_stored(run, memories):
    del memories.cubes[TEXT.name]
    with pytest.raises(StateConflict, match="has gone"):
        await run()
    assert list(memories.cubes) == [ADAPTER.name]


async def test_a_line_that_lacks_its_last_sign_is_no_new_memory(run):
    class Cut(Recoverer):
        async def recover(self, cube):
            return (Recovered("One", 1.0),)

    *_, last = await run(recoverer=Cut())
    assert (last.result["texts"], last.result["new"]) == ("1", "0")


async def test_text_is_text_already(run):
    with pytest.raises(InvalidField, match="text already") as caught:
        await run("text")
    assert caught.value.metadata["field"] == "name"


async def test_one_cube_of_the_vault_is_named(run, memories):
    with pytest.raises(InvalidField, match="2 cubes"):
        await run("lora,text")
    with pytest.raises(CubeNotFound):
        await run("other")
    memories.cubes[ADAPTER.name] = replace(ADAPTER, vault=VaultName("acme", "other"))
    with pytest.raises(InvalidField, match="is not in"):
        await run()


async def test_a_cube_that_is_out_of_use_gives_nothing(run, memories):
    held = dict(memories.cubes)
    with pytest.raises(StateConflict):
        await run(recoverer=Recoverer(StateConflict("stale", name="lora", state="STALE")))
    assert memories.cubes == held


async def test_nothing_found_is_said(run, memories):
    class Nothing(Recoverer):
        async def recover(self, cube):
            return ()

    *_, last = await run(recoverer=Nothing())
    assert last.result == {"cube": str(ADAPTER.name), "texts": "0", "new": "0"}
