"""The inference service behind a real server: what its callers see."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from checkpoints import write_checkpoint
from hosting import hosted
from memos_api.internal.v1 import inference_service_pb2 as pb
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_api.v1 import memcube_pb2
from memos_inference.config import InferenceConfig
from memos_inference.wiring import build
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan, State
from memos_kernel.errors import (
    AdapterRejected,
    ContextExceeded,
    DependencyUnavailable,
    GrantInvalid,
    InvalidField,
    LimitExceeded,
    MissingField,
    PeerForbidden,
    StateConflict,
)
from memos_kernel.ids import SystemClock
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.context import use_grant
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_wire.cubes import cube_to_proto
from memos_wire.grants import GrantSigner, GrantVerifier

TOKEN = "shared"
CLOCK = SystemClock()
KEY = Ed25519PrivateKey.generate()
VAULT = VaultName("local", "main")
QUESTION = [pb.PromptTurn(role="user", text="Where is Nora?")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "random")


@asynccontextmanager
async def serving(
    state_dir: Path, *, caller: str = "scheduler", **settings: object
) -> AsyncIterator[InferenceServiceStub]:
    """Yield a stub for a service of the given settings."""
    telemetry, pool = Telemetry(), ChannelPool({})
    verifier = GrantVerifier([KEY.public_key()], clock=CLOCK)
    context = ServiceContext(
        name="inference",
        state_dir=state_dir,
        channels=Channels(service="inference", pool=pool, telemetry=telemetry, peer_token=TOKEN),
        clock=CLOCK,
        telemetry=telemetry,
        verifier=verifier,
    )
    service = build(InferenceConfig(threads=1, **settings), context)
    async with hosted(service, verifier=verifier, clock=CLOCK, token=TOKEN, telemetry=telemetry, grace=1) as channels:
        yield channels(caller).stub(InferenceServiceStub, "inference")


@pytest.fixture
async def stub(checkpoint, tmp_path):
    async with serving(tmp_path, model=str(checkpoint)) as stub:
        yield stub


def granted(*actions: Action, vaults: frozenset[VaultName] = frozenset({VAULT})):
    """Let the calls inside carry a signed grant."""
    grant = Grant(
        id="g",
        principal=PrincipalName("local", "admin"),
        issued_to="scheduler",
        vaults=vaults,
        all_vaults=False,
        actions=frozenset(actions or {Action.MODEL_USE, Action.CUBE_USE}),
        policy_epoch=1,
        expire_time=CLOCK.now() + timedelta(seconds=30),
    )
    token = GrantSigner(KEY).sign(grant, clock=CLOCK).SerializeToString()
    return use_grant(Grant(**{name: getattr(grant, name) for name in Grant.__slots__ if name != "token"}, token=token))


def injection(text: str = "Nora is in Oslo.", *, form: str = "text", **fields) -> pb.Injection:
    cube = MemCube(
        **{
            "name": CubeName("local", "c1"),
            "vault": VAULT,
            "kind": Kind.PLAINTEXT,
            "payload": Plaintext(text),
            "sources": (SourceSpan(speaker="Nora", event_time=CLOCK.now()),),
            **fields,
        }
    )
    return pb.Injection(cube=cube_to_proto(cube), form=form)


async def collect(stub, **fields) -> list[pb.GenerateResponse]:
    request = pb.GenerateRequest(**{"turns": QUESTION, "max_tokens": 8, **fields})
    return [event async for event in stub.Generate(request)]


async def test_texts_are_embedded_with_the_bundled_model(stub):
    with granted():
        answer = await stub.Embed(pb.EmbedRequest(texts=["Nora is in Oslo.", "It rains."]))
    assert [len(item.values) for item in answer.embeddings] == [384, 384]
    assert answer.embedder == "all-MiniLM-L6-v2@53aa51172d14"


async def test_an_answer_streams_pieces_and_then_its_end(stub):
    with granted():
        *pieces, last = await collect(stub, injections=[injection()])
    assert {piece.WhichOneof("event") for piece in pieces} <= {"delta"}
    assert last.end.finish_reason in ("stop", "length")
    assert last.end.prompt_tokens > 100
    assert last.end.completion_tokens <= 8


async def test_memories_change_what_the_model_reads(stub):
    with granted():
        bare, told = await collect(stub), await collect(stub, injections=[injection()])
    assert told[-1].end.prompt_tokens > bare[-1].end.prompt_tokens


async def test_the_engine_tells_what_it_is(stub):
    answer = await stub.DescribeEngine(pb.DescribeEngineRequest())
    assert answer.model.startswith("random@")
    assert (answer.context_length, answer.memories_read_well, answer.embedding_dimensions) == (256, 32, 384)
    assert answer.identity.weights_sha256
    assert answer.embedder == "all-MiniLM-L6-v2@53aa51172d14"


async def test_tokens_are_counted(stub):
    with granted():
        answer = await stub.CountTokens(pb.CountTokensRequest(texts=["abc", ""]))
    assert list(answer.counts) == [3, 0]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"injections": [injection(vault=VaultName("local", "other"))]}, GrantInvalid),
        ({"injections": [injection(state=State.STALE)]}, StateConflict),
        ({"injections": [injection(delete_time=CLOCK.now())]}, StateConflict),
        ({"injections": [injection(form="kv")]}, InvalidField),
        ({"turns": []}, MissingField),
        ({"turns": [pb.PromptTurn(role="system", text="Obey.")]}, InvalidField),
        ({"turns": [pb.PromptTurn(role="user", text="x" * 300)]}, ContextExceeded),
        ({"max_tokens": 100_000}, LimitExceeded),
        ({"temperature": -1.0}, InvalidField),
    ],
)
async def test_what_is_wrong_with_a_generation_comes_as_a_typed_error(stub, fields, error):
    with granted(), pytest.raises(error):
        await collect(stub, **fields)


@pytest.mark.parametrize(
    ("texts", "error"),
    [([], MissingField), ([" "], MissingField), (["x"] * 257, LimitExceeded), (["x" * 16_385], LimitExceeded)],
)
async def test_what_is_wrong_with_a_batch_comes_as_a_typed_error(stub, texts, error):
    with granted(), pytest.raises(error):
        await stub.Embed(pb.EmbedRequest(texts=texts))


async def test_without_a_grant_the_models_are_not_used(stub):
    with pytest.raises(GrantInvalid):
        await stub.Embed(pb.EmbedRequest(texts=["x"]))
    with granted(Action.CUBE_READ), pytest.raises(GrantInvalid):
        await collect(stub)


async def test_memories_need_the_right_to_use_them(stub):
    with granted(Action.MODEL_USE):
        assert await collect(stub)
        with pytest.raises(GrantInvalid):
            await collect(stub, injections=[injection()])


async def test_a_service_outside_of_the_call_graph_is_refused(checkpoint, tmp_path):
    async with serving(tmp_path, caller="storage", model=str(checkpoint)) as stub:
        with pytest.raises(PeerForbidden):
            await stub.DescribeEngine(pb.DescribeEngineRequest())


async def test_a_client_that_leaves_frees_the_engine_for_the_next(stub):
    request = pb.GenerateRequest(turns=QUESTION, max_tokens=100)
    with granted():
        for _ in range(5):
            events = stub.Generate(request)
            await anext(events)
            await events.aclose()
        assert (await collect(stub))[-1].end.queue_ms < 1000


async def test_concurrent_calls_of_every_kind_are_all_answered(stub):
    with granted():
        results = await asyncio.gather(
            *(stub.Embed(pb.EmbedRequest(texts=[f"text {index}"])) for index in range(8)),
            *(collect(stub) for _ in range(4)),
            *(stub.CountTokens(pb.CountTokensRequest(texts=["abc"])) for _ in range(4)),
        )
    assert len(results) == 16


async def test_without_its_model_the_service_embeds_and_says_why_it_cannot_generate(tmp_path):
    (tmp_path / "empty").mkdir()
    async with serving(tmp_path, model=str(tmp_path / "empty")) as stub:
        with granted():
            assert (await stub.Embed(pb.EmbedRequest(texts=["x"]))).embeddings
            with pytest.raises(DependencyUnavailable, match="safetensors"):
                await collect(stub)


async def test_a_cache_is_streamed_with_what_it_is_first_and_then_its_bytes(stub):
    request = pb.BuildActivationRequest(vault=str(VAULT), cubes=[injection().cube])
    with granted():
        first, *rest = [part async for part in stub.BuildActivation(request)]
    payload = first.payload
    data = b"".join(part.chunk.data for part in rest)
    assert [part.chunk.offset for part in rest][:1] == [0]
    assert (payload.blob.size_bytes, payload.blob.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (payload.blob.name, payload.blob.media_type) == ("", SAFETENSORS)
    assert payload.token_count > 10
    assert len(payload.seal) == len(payload.identity.token_ids_sha256) == 64


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"vault": "tenants/local/vaults/other"}, InvalidField),
        ({"cubes": []}, MissingField),
        ({"cubes": [injection().cube] * 2}, InvalidField),
        ({"cubes": [injection(state=State.STALE).cube]}, StateConflict),
        ({"cubes": [injection("word " * 100).cube]}, ContextExceeded),
        ({"cubes": [injection(vault=VaultName("local", "other")).cube]}, InvalidField),
    ],
)
async def test_what_is_wrong_with_a_cache_to_build_comes_as_a_typed_error(stub, fields, error):
    request = pb.BuildActivationRequest(**{"vault": str(VAULT), "cubes": [injection().cube], **fields})
    with granted(), pytest.raises(error):
        await anext(stub.BuildActivation(request))


async def test_an_adapter_that_a_model_cannot_learn_comes_as_a_typed_error(stub):
    request = pb.TrainAdapterRequest(vault=str(VAULT), cubes=[injection("Nora's dog is called Biscuit.").cube])
    with granted(), pytest.raises(AdapterRejected, match="In none of the memories did the model find a fact"):
        _ = [part async for part in stub.TrainAdapter(request)]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"vault": "tenants/local/vaults/other"}, InvalidField),
        ({"cubes": []}, MissingField),
        ({"cubes": [injection(state=State.STALE).cube]}, StateConflict),
    ],
)
async def test_what_no_adapter_is_trained_on_comes_as_a_typed_error(stub, fields, error):
    request = pb.TrainAdapterRequest(**{"vault": str(VAULT), "cubes": [injection().cube], **fields})
    with granted(), pytest.raises(error):
        await anext(stub.TrainAdapter(request))


async def test_a_cache_whose_bytes_cannot_be_had_costs_nothing_but_the_reading(stub):
    told = injection()
    request = pb.BuildActivationRequest(vault=str(VAULT), cubes=[told.cube])
    with granted():
        payload = (await anext(stub.BuildActivation(request))).payload
        cache = memcube_pb2.MemCube(name="tenants/local/cubes/kv", uid="kv", vault=str(VAULT), activation=payload)
        cache.derived_from.add(name=told.cube.name, revision=told.cube.revision)
        *_, plain = await collect(stub, injections=[told])
        *_, last = await collect(stub, injections=[told], caches=[cache])
    assert [refusal.reason for refusal in last.end.refusals] == ["DEPENDENCY_UNAVAILABLE"]
    assert (last.end.prompt_tokens, last.end.cached_tokens) == (plain.end.prompt_tokens, 0)
