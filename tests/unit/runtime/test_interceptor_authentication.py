import pytest

from memos_kernel.errors import CredentialInvalid, PeerForbidden
from memos_kernel.names import PrincipalName
from memos_kernel.permission import Principal
from memos_runtime.interceptors.authentication import ApiKeyAuthentication, PeerAuthentication

GET = "/memos.v1.MemoryService/GetMemory"
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
