import asyncio

import pytest

from memos_kernel.errors import CredentialInvalid, DependencyUnavailable, InternalError, PeerForbidden
from memos_kernel.names import PrincipalName
from memos_kernel.permission import Principal
from memos_runtime.interceptors.authentication import ApiKeyAuthentication, PeerAuthentication

GET = "/memos.v1.MemoryService/GetMemory"
WATCH = "/memos.v1.JobService/WatchJob"
EMBED = "/memos.internal.v1.InferenceService/Embed"
NORA = Principal(PrincipalName("acme", "nora"))


class Edge:
    async def authenticate(self, api_key):
        if api_key != "right":
            raise CredentialInvalid("Unknown key.")
        return NORA


@pytest.mark.parametrize("value", ["Bearer right", "bearer right", "Bearer  right "])
async def test_a_key_names_the_principal(run, value):
    call = await run(ApiKeyAuthentication(Edge()), GET, metadata={"authorization": value})
    assert call.principal == NORA


@pytest.mark.parametrize("value", ["", "right", "Bearer ", "Bearer wrong", "Basic right"])
async def test_a_call_without_a_good_key_is_refused(run, value):
    with pytest.raises(CredentialInvalid):
        await run(ApiKeyAuthentication(Edge()), GET, metadata={"authorization": value} if value else {})


class EdgeInTime(Edge):
    """Answers one look-up after the other from a list; the last answer stays."""

    def __init__(self, *failures):
        self.failures = [None, *failures]

    async def authenticate(self, api_key):
        failure = self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        if failure is not None:
            raise failure
        return NORA


async def wait_for_ever(call):
    await asyncio.Event().wait()


async def ends_at_once(call):
    return call


async def times_out(call):
    raise TimeoutError("the handler's own")


def watch(run, edge, endpoint, **seconds):
    authentication = ApiKeyAuthentication(edge, recheck_seconds=0.001, **seconds)
    return run(authentication, WATCH, metadata={"authorization": "Bearer right"}, endpoint=endpoint)


async def test_a_long_call_ends_when_its_key_is_revoked(run):
    away, revoked = DependencyUnavailable("governance is away"), CredentialInvalid("Revoked.")
    with pytest.raises(CredentialInvalid, match="Revoked"):
        await watch(run, EdgeInTime(None, away, revoked), wait_for_ever)


async def test_a_long_call_ends_when_nobody_can_say_for_too_long_that_its_key_is_good(run):
    broken = InternalError("governance is broken")
    with pytest.raises(InternalError, match="broken"):
        await watch(run, EdgeInTime(None, broken), wait_for_ever, unseen_seconds=0.01)


async def test_a_long_call_with_a_good_key_ends_as_it_likes(run):
    before = asyncio.all_tasks()
    call = await watch(run, EdgeInTime(), ends_at_once)
    with pytest.raises(TimeoutError, match="own"):
        await watch(run, EdgeInTime(), times_out)
    await asyncio.sleep(0)
    assert call.principal == NORA
    assert asyncio.all_tasks() == before


async def test_the_shared_token_names_the_peer(run):
    call = await run(PeerAuthentication("secret"), EMBED, metadata={"memos-peer": "scheduler:secret"})
    assert call.peer == "scheduler"


@pytest.mark.parametrize("value", ["", "scheduler", "scheduler:", "scheduler:othër", "mallory:secret"])
async def test_a_peer_without_the_token_is_refused(run, value):
    with pytest.raises(PeerForbidden):
        await run(PeerAuthentication("secret"), EMBED, metadata={"memos-peer": value})


async def test_a_certificate_names_the_peer_and_metadata_does_not(run):
    identities = {"peer_spiffe_id": [b"spiffe://memos/scheduler"]}
    metadata = {"memos-peer": "interface:"}
    call = await run(PeerAuthentication(None), EMBED, metadata=metadata, identities=identities)
    assert call.peer == "scheduler"


@pytest.mark.parametrize("identity", [b"spiffe://other/scheduler", b"spiffe://memos/mallory", b"\xff"])
async def test_a_certificate_of_anybody_else_is_refused(run, identity):
    with pytest.raises(PeerForbidden):
        await run(PeerAuthentication(None), EMBED, identities={"peer_spiffe_id": [identity]})


async def test_under_certificates_a_token_does_not_help(run):
    with pytest.raises(PeerForbidden):
        await run(PeerAuthentication(None), EMBED, metadata={"memos-peer": "scheduler:secret"})


def test_an_empty_token_is_no_secret():
    with pytest.raises(ValueError, match="empty"):
        PeerAuthentication("")
