"""What inference hands over of an adapter, and what it refuses to train on."""

from contextlib import aclosing

import pytest

from memos_inference.adapters.memory import EchoEngine, EchoTraining
from memos_inference.domain.seals import Seals
from memos_inference.usecases.train_adapter import Adapted, TrainAdapter
from memos_kernel.cube import Kind, RevisionRef, State
from memos_kernel.errors import AdapterRejected, GrantInvalid, InvalidField, MissingField, StateConflict
from memos_kernel.names import CubeName, VaultName

SEALS = Seals(b"secret")
VAULT = VaultName("local", "main")


@pytest.fixture
def training():
    return EchoTraining()


@pytest.fixture
def train(clock, training, tmp_path):
    return TrainAdapter(engine=EchoEngine(), training=training, clock=clock, seals=SEALS, folder=tmp_path)


@pytest.fixture
def sources(cube):
    return cube("one two", name=CubeName("local", "c1")), cube("three", name=CubeName("local", "c2"))


async def test_an_adapter_is_sealed_for_its_vault_and_memories(train, sources, cube, grant, tmp_path):
    share, adapted, *data = [part async for part in train(sources, vault=VAULT, grant=grant())]
    assert (share, b"".join(data)) == (0.5, b"one two\nthree")
    assert isinstance(adapted, Adapted)
    assert adapted.report == {"facts": "2", "model": "echo"}
    payload = adapted.payload
    assert (payload.rank, payload.blob.name, payload.blob.size_bytes) == (4, "", 13)
    refs = tuple(RevisionRef(source.name, source.revision) for source in sources)
    made = {"kind": Kind.PARAMETRIC, "payload": payload, "derived_from": refs}
    assert SEALS.fits(cube(**made))
    assert not SEALS.fits(cube(**{**made, "derived_from": refs[::-1]}))
    assert not SEALS.fits(cube(**made, vault=VaultName("local", "other")))
    assert not Seals(b"another").fits(cube(**made))
    assert list(tmp_path.iterdir()) == []


async def test_the_seal_names_those_memories_alone_that_were_learned(train, sources, cube, grant):
    nothing = cube("nothing", name=CubeName("local", "c0"))
    _, adapted, *_ = [part async for part in train((nothing, *sources), vault=VAULT, grant=grant())]
    assert adapted.learned == [1, 2]
    refs = tuple(RevisionRef(source.name, source.revision) for source in sources)
    assert SEALS.fits(cube(kind=Kind.PARAMETRIC, payload=adapted.payload, derived_from=refs))


async def test_who_leaves_stops_the_training_and_nothing_is_left(train, training, sources, grant, tmp_path):
    async with aclosing(train(sources, vault=VAULT, grant=grant())) as parts:
        await anext(parts)
    assert training.stopped
    assert list(tmp_path.iterdir()) == []


async def test_an_exam_that_was_failed_is_told(train, training, sources, grant, tmp_path):
    training.failure = AdapterRejected("It answers wrongly.")
    with pytest.raises(AdapterRejected):
        _ = [part async for part in train(sources, vault=VAULT, grant=grant())]
    assert list(tmp_path.iterdir()) == []


async def test_memories_that_may_not_reach_the_model_are_not_trained_on(train, sources, cube, grant):
    for given, error in (
        ([], MissingField),
        ([sources[0], sources[0]], InvalidField),
        ([cube(vault=VaultName("local", "other"))], InvalidField),
        ([cube(state=State.STALE)], StateConflict),
    ):
        with pytest.raises(error):
            await anext(train(given, vault=VAULT, grant=grant()))
    with pytest.raises(GrantInvalid):
        await anext(train(sources, vault=VAULT, grant=grant(actions=frozenset())))
