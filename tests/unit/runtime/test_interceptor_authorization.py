from datetime import timedelta

import pytest

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel.errors import GrantInvalid, LimitExceeded, MalformedName, PeerForbidden
from memos_kernel.names import PrincipalName
from memos_kernel.permission import Action, Principal
from memos_runtime.context import current_grant
from memos_runtime.interceptors.authorization import EdgeAuthorization, GrantAuthorization

SEARCH = "/memos.v1.MemoryService/SearchMemories"
CREATE = "/memos.v1.MemoryService/CreateMemory"
EMBED = "/memos.internal.v1.InferenceService/Embed"
DESCRIBE = "/memos.internal.v1.InferenceService/DescribeEngine"
STORAGE_TRANSITION = "/memos.internal.v1.StorageService/ApplyTransition"
A, B = "tenants/acme/vaults/a", "tenants/acme/vaults/b"
NORA = Principal(PrincipalName("acme", "nora"))


class Edge:
    def __init__(self):
        self.asked = []

    async def grant(self, principal, actions, vaults):
        self.asked.append((principal, actions, vaults))
        return "grant"


async def ask(run, method, request):
    edge = Edge()

    class WithPrincipal:
        def wrap(self, row, proceed):
            inner = EdgeAuthorization(edge).wrap(row, proceed)

            async def known(call):
                call.principal = NORA
                return await inner(call)

            return known

    call = await run(WithPrincipal(), method, request)
    return call, edge.asked[0]


async def test_the_edge_asks_for_the_rows_actions_in_the_vaults_that_the_request_names(run):
    request = pb.SearchMemoriesRequest(query="tea", vaults=[B, A, B, ""])
    call, asked = await ask(run, SEARCH, request)
    assert asked == (NORA, frozenset({Action.CUBE_READ, Action.MODEL_USE}), (B, A))
    assert call.grant == "grant"


async def test_a_vault_inside_of_a_message_is_found(run):
    _, asked = await ask(run, CREATE, pb.CreateMemoryRequest(cube={"vault": A}))
    assert asked[2] == (A,)


async def test_a_request_that_names_no_vault_narrows_nothing(run):
    _, asked = await ask(run, SEARCH, pb.SearchMemoriesRequest(query="tea"))
    assert asked[2] == ()


async def test_too_many_vaults_are_refused_before_anybody_is_asked(run):
    with pytest.raises(LimitExceeded) as caught:
        await ask(run, SEARCH, pb.SearchMemoriesRequest(query="tea", vaults=[f"{A}{n}" for n in range(33)]))
    assert caught.value.field == "vaults"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        (SEARCH, pb.SearchMemoriesRequest(query="tea", vaults=[A, "b"]), "vaults[1]"),
        (CREATE, pb.CreateMemoryRequest(cube={"vault": "b"}), "cube.vault"),
    ],
)
async def test_a_malformed_vault_is_refused_by_the_field_that_holds_it(run, method, request_, field):
    with pytest.raises(MalformedName) as caught:
        await ask(run, method, request_)
    assert caught.value.field == field


@pytest.fixture
def authorization(mint, clock):
    return GrantAuthorization(mint.verifier, clock=clock)


async def test_a_grant_that_allows_the_action_becomes_the_calls(run, mint, authorization):
    async def endpoint(call):
        return current_grant()

    token = mint.token(Action.MODEL_USE)
    grant = await run(authorization, EMBED, endpoint=endpoint, peer="scheduler", metadata={"memos-grant-bin": token})
    assert str(grant.principal) == "tenants/acme/principals/nora"
    assert grant.token == token


async def test_a_call_without_a_grant_is_refused(run, authorization):
    with pytest.raises(GrantInvalid):
        await run(authorization, EMBED, peer="interface")


async def test_a_grant_that_lacks_the_action_is_refused(run, mint, authorization):
    with pytest.raises(GrantInvalid):
        await run(authorization, EMBED, peer="interface", metadata={"memos-grant-bin": mint.token(Action.CUBE_READ)})


async def test_a_changed_grant_is_refused(run, mint, authorization):
    token = bytearray(mint.token(Action.MODEL_USE))
    token[10] ^= 1
    with pytest.raises(GrantInvalid):
        await run(authorization, EMBED, peer="interface", metadata={"memos-grant-bin": bytes(token)})


async def test_a_grant_that_was_good_is_refused_once_it_has_expired(run, mint, clock, authorization):
    metadata = {"memos-grant-bin": mint.token(Action.MODEL_USE)}
    await run(authorization, EMBED, peer="interface", metadata=metadata)
    clock.time += timedelta(seconds=31)
    with pytest.raises(GrantInvalid):
        await run(authorization, EMBED, peer="interface", metadata=metadata)


class CountingVerifier:
    """Counts the signatures that are looked at."""

    def __init__(self, verifier):
        self.verifier = verifier
        self.count = 0

    def verify(self, token):
        self.count += 1
        return self.verifier.verify(token)


def shown(token):
    return {"peer": "interface", "metadata": {"memos-grant-bin": token}}


async def test_a_signature_is_looked_at_once_as_long_as_its_grant_is_kept(run, mint, clock):
    tokens = [mint.token(Action.MODEL_USE, action) for action in (Action.CUBE_READ, Action.CUBE_USE, Action.JOB_READ)]
    verifier = CountingVerifier(mint.verifier)
    authorization = GrantAuthorization(verifier, clock=clock, most_bytes=len(tokens[1]) + len(tokens[2]))
    for token in tokens:
        await run(authorization, EMBED, **shown(token))
    for token in tokens[1:]:
        await run(authorization, EMBED, **shown(token))
    assert verifier.count == 3
    await run(authorization, EMBED, **shown(tokens[0]))
    assert verifier.count == 4


async def test_grants_that_have_expired_are_not_kept(run, mint, clock, authorization):
    for action in (Action.CUBE_READ, Action.CUBE_USE):
        await run(authorization, EMBED, **shown(mint.token(Action.MODEL_USE, action)))
    clock.time += timedelta(seconds=31)
    await run(authorization, EMBED, **shown(mint.token(Action.MODEL_USE)))
    assert len(authorization._verified) == 1


async def test_a_grant_of_the_scheduler_does_not_serve_the_interface(run, mint, authorization):
    token = mint.token(Action.MODEL_USE, issued_to="scheduler")
    with pytest.raises(GrantInvalid):
        await run(authorization, EMBED, peer="interface", metadata={"memos-grant-bin": token})


@pytest.mark.parametrize(("method", "peer"), [(EMBED, "governance"), (STORAGE_TRANSITION, "interface"), (EMBED, "")])
async def test_a_service_that_has_no_business_here_is_refused(run, mint, authorization, method, peer):
    metadata = {"memos-grant-bin": mint.token(*Action)}
    with pytest.raises(PeerForbidden):
        await run(authorization, method, peer=peer, metadata=metadata)


async def test_where_the_peer_is_enough_a_bad_grant_counts_for_nothing(run, mint, authorization):
    assert (await run(authorization, DESCRIBE, peer="interface")).grant is None
    assert (await run(authorization, DESCRIBE, peer="interface", metadata={"memos-grant-bin": b"junk"})).grant is None
    good = {"memos-grant-bin": mint.token()}
    assert (await run(authorization, DESCRIBE, peer="interface", metadata=good)).grant is not None
