"""Nothing that one tenant sees depends on what another one does."""

import asyncio
import re
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import memcube_pb2 as cubes
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import vault_pb2 as vaults

PHRASES = (
    "The otter sleeps by the river.",
    "Our bakery opens at seven.",
    "The river rose by a metre.",
    "Seven otters crossed the road.",
    "The bakery by the river burnt down.",
)
QUERIES = ("otter river", "when does the bakery open", "seven", "zebra")
SLOTS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(PHRASES)),
    st.tuples(st.just("search"), st.sampled_from(QUERIES)),
    st.tuples(st.just("list"), st.integers(1, 3)),
    st.tuples(st.just("get"), SLOTS),
    st.tuples(st.just("update"), SLOTS),
    st.tuples(st.just("delete"), SLOTS),
    st.tuples(st.just("provenance"), SLOTS),
)


@dataclass
class Actor:
    """Runs steps in one vault, and writes down everything that can be seen but ids and times."""

    caller: object
    vault: str
    names: list[str] = field(default_factory=list)
    seen: list[object] = field(default_factory=list)

    def name_at(self, slot: int) -> str:
        return (
            self.names[slot] if slot < len(self.names) else f"{self.vault.partition('/vaults/')[0]}/cubes/none-{slot}"
        )

    def plain(self, name: str) -> str:
        if name not in self.names:
            return "unknown"
        return f"cube-{self.names.index(name)}"

    async def step(self, kind: str, argument) -> None:
        try:
            self.seen.append((kind, argument, await getattr(self, f"_{kind}")(argument)))
        except grpc.aio.AioRpcError as error:
            text = error.details()
            for name in [*self.names, *(self.name_at(slot) for slot in range(6))]:
                text = text.replace(name, "<cube>")
            self.seen.append((kind, argument, error.code().name, text, reason_of(error)))

    async def _add(self, text):
        answer = await self.caller.memory.AddMemories(memory.AddMemoriesRequest(vault=self.vault, texts=[text]))
        added = answer.added[0]
        if added.cube.name not in self.names:
            self.names.append(added.cube.name)
        return self.plain(added.cube.name), added.created, added.cube.revision, answer.degraded

    async def _search(self, query):
        answer = await self.caller.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[self.vault], query=query))
        hits = sorted((round(hit.score, 5), self.plain(hit.cube.name)) for hit in answer.hits)
        legs = {
            hit.cube.name: sorted((leg, round(score, 4)) for leg, score in hit.leg_scores.items() if leg == "lexical")
            for hit in answer.hits
        }
        return hits, sorted((self.plain(name), scores) for name, scores in legs.items())

    async def _list(self, size):
        request = memory.ListMemoriesRequest(vault=self.vault, page_size=size)
        answer = await self.caller.memory.ListMemories(request)
        return [self.plain(cube.name) for cube in answer.cubes], bool(answer.next_page_token)

    async def _get(self, slot):
        answer = await self.caller.memory.GetMemory(memory.GetMemoryRequest(name=self.name_at(slot)))
        return answer.cube.plaintext.text, answer.cube.revision, answer.cube.state

    async def _update(self, slot):
        cube = cubes.MemCube(name=self.name_at(slot), labels={"seen": "yes"})
        request = memory.UpdateMemoryRequest(cube=cube, update_mask=FieldMask(paths=["labels"]))
        return (await self.caller.memory.UpdateMemory(request)).cube.revision

    async def _delete(self, slot):
        answer = await self.caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=self.name_at(slot)))
        return self.plain(answer.cube.name)

    async def _provenance(self, slot):
        answer = await self.caller.memory.GetProvenance(memory.GetProvenanceRequest(name=self.name_at(slot)))
        return len(answer.provenance.nodes), len(answer.provenance.edges)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Unpack(info):
            return info.reason
    return ""


async def new_vault(caller, tenant: str, number: int) -> str:
    name = f"tenants/{tenant}/vaults/v{number}"
    await caller.governance.CreateVault(governance.CreateVaultRequest(vault=vaults.Vault(name=name)))
    return name


@pytest.fixture(scope="module")
def tenants(system):
    return system.new_tenant("alpha"), system.new_tenant("beta")


counter = iter(range(10_000))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=3, max_size=10), st.lists(STEPS, min_size=1, max_size=8))
def test_a_tenant_sees_the_same_whether_or_not_another_one_acts(system, tenants, own, foreign):
    async def run() -> None:
        (alpha, alpha_key), (beta, beta_key) = tenants
        async with (
            system.caller(header=f"Bearer {alpha_key}") as caller,
            system.caller(header=f"Bearer {beta_key}") as other,
        ):
            disturbed = Actor(caller, await new_vault(caller, alpha, next(counter)))
            neighbour = Actor(other, await new_vault(other, beta, next(counter)))
            alone = Actor(caller, await new_vault(caller, alpha, next(counter)))
            for position, step in enumerate(own):
                await disturbed.step(*step)
                await neighbour.step(*foreign[position % len(foreign)])
            for step in own:
                await alone.step(*step)
            assert disturbed.seen == alone.seen

    asyncio.run(run())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=10))
def test_the_memories_of_another_tenant_look_like_memories_that_do_not_exist(system, tenants, steps):
    async def run() -> None:
        (alpha, alpha_key), (_, beta_key) = tenants
        async with (
            system.caller(header=f"Bearer {alpha_key}") as caller,
            system.caller(header=f"Bearer {beta_key}") as thief,
        ):
            owner = Actor(caller, await new_vault(caller, alpha, next(counter)))
            for phrase in PHRASES:
                await owner.step("add", phrase)
            missing = re.sub(r"/vaults/.*", "/vaults/none", owner.vault)
            at_real = Actor(thief, owner.vault, names=list(owner.names))
            at_nothing = Actor(thief, missing, names=[f"{name}-none" for name in owner.names])
            for step in steps:
                await at_real.step(*step)
                await at_nothing.step(*step)
            assert [str(item).replace(owner.vault, missing) for item in at_real.seen] == [
                str(item) for item in at_nothing.seen
            ]
            before = len(owner.seen)
            for slot in range(len(PHRASES)):
                await owner.step("get", slot)
            assert [item[2] for item in owner.seen[before:]] == [
                (phrase, 1, cubes.CUBE_STATE_GENERATED) for phrase in PHRASES
            ]

    asyncio.run(run())
