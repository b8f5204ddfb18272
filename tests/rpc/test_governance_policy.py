"""Keys, vaults, roles and grants as other services reach them, through the runtime's server."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from governance_server import ADMIN, BEN, LOCAL, MAIN, NOTES, SYSTEM, governing
from memos_api.internal.v1 import policy_service_pb2 as policy_pb
from memos_api.v1 import governance_service_pb2 as public
from memos_api.v1 import vault_pb2
from memos_kernel.errors import (
    CredentialInvalid,
    GrantInvalid,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    PageTokenMismatch,
    PeerForbidden,
    PermissionDenied,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    StateConflict,
    VaultNotFound,
)


@pytest.fixture
async def served(tmp_path):
    async with governing(tmp_path) as made:
        yield made


@pytest.fixture
def interface(served):
    return served.interface


async def test_a_key_tells_who_calls(served, interface):
    answer = await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=served.secret))
    assert (answer.principal, answer.admin) == (ADMIN, True)
    with pytest.raises(CredentialInvalid):
        await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key="mk_" + "a" * 43))
    with pytest.raises(PeerForbidden):
        await served.storage.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=served.secret))


async def test_a_grant_is_signed_for_the_service_that_asked(interface):
    answer = await interface.policy.IssueGrant(
        policy_pb.IssueGrantRequest(principal=ADMIN, actions=["cube.read", "model.use"])
    )
    grant = interface.verifier.verify(answer.grant.SerializeToString())
    assert grant.issued_to == "interface"
    assert list(answer.vaults) == [MAIN] == [str(vault) for vault in grant.vaults]
    assert answer.expire_time.ToMicroseconds() == round(grant.expire_time.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"principal": "ben", "actions": ["cube.read"]}, MalformedName, "principal"),
        ({"principal": ADMIN, "actions": ["cube.fly"]}, InvalidField, "actions[0]"),
        ({"principal": ADMIN}, MissingField, "actions"),
        ({"principal": ADMIN, "actions": ["cube.read"], "vaults": ["main"]}, MalformedName, "vaults[0]"),
    ],
)
async def test_a_bad_request_names_its_field(interface, fields, error, field):
    with pytest.raises(error) as refused:
        await interface.policy.IssueGrant(policy_pb.IssueGrantRequest(**fields))
    assert refused.value.field == field


async def test_a_refused_grant_says_what_is_missing(interface):
    await interface.create_key(BEN)
    with pytest.raises(VaultNotFound):
        await interface.grant(BEN, "cube.read", vaults=[MAIN])
    await interface.set_role(MAIN, BEN, vault_pb2.VAULT_ROLE_READER)
    with pytest.raises(PermissionDenied) as denied:
        await interface.grant(BEN, "cube.write", vaults=[MAIN])
    assert denied.value.metadata == {"action": "cube.write", "resource": MAIN}


async def test_only_the_scheduler_acts_for_the_system(served, interface):
    assert (await served.scheduler.grant(SYSTEM, "cube.expire")).all_vaults
    with pytest.raises(PermissionDenied):
        await interface.grant(SYSTEM, "cube.expire")
    answer = await served.scheduler.policy.ListTenants(policy_pb.ListTenantsRequest())
    assert list(answer.tenants) == [LOCAL]
    with pytest.raises(PeerForbidden):
        await interface.policy.ListTenants(policy_pb.ListTenantsRequest())


async def test_a_change_of_policy_needs_the_right_grant(interface):
    request = policy_pb.CreateApiKeyRequest(request=public.CreateApiKeyRequest(principal=BEN))
    with pytest.raises(GrantInvalid):
        await interface.policy.CreateApiKey(request)
    async with interface.acting(ADMIN, "cube.read"):
        with pytest.raises(GrantInvalid):
            await interface.policy.CreateApiKey(request)


async def test_a_key_is_made_once_and_its_secret_told_once(interface):
    made = await interface.create_key(BEN, request_id="r1", display_name="Ben")
    again = await interface.create_key(BEN, request_id="r1", display_name="Ben")
    assert (again.key, again.secret) == (made.key, "")
    with pytest.raises(RequestIdReused) as refused:
        await interface.create_key(BEN, request_id="r1", body="bb")
    assert refused.value.metadata["request_id"] == "r1"
    answer = await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=made.secret))
    assert (answer.principal, answer.admin) == (BEN, False)


async def test_a_revoked_key_is_refused_and_listed(interface):
    made = await interface.create_key(BEN)
    async with interface.acting(ADMIN, "tenant.admin"):
        answer = await interface.policy.RevokeApiKey(
            policy_pb.RevokeApiKeyRequest(request=public.RevokeApiKeyRequest(name=made.key.name))
        )
        listed = await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest())
    assert answer.response.key.HasField("revoke_time")
    assert answer.response.key in listed.response.keys
    with pytest.raises(CredentialInvalid):
        await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=made.secret))


async def test_nobody_can_lock_himself_out(interface):
    async with interface.acting(ADMIN, "tenant.admin"):
        listed = await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest())
        (only,) = listed.response.keys
        with pytest.raises(StateConflict):
            await interface.policy.RevokeApiKey(
                policy_pb.RevokeApiKeyRequest(request=public.RevokeApiKeyRequest(name=only.name))
            )
    with pytest.raises(StateConflict):
        await interface.set_role(MAIN, ADMIN, vault_pb2.VAULT_ROLE_UNSPECIFIED)


async def test_keys_for_the_system_and_for_other_tenants_are_refused(interface):
    with pytest.raises(InvalidField):
        await interface.create_key(SYSTEM)
    with pytest.raises(ResourceNotFound):
        await interface.create_key("tenants/globex/principals/ben")


async def test_a_vault_is_made_read_and_shared(interface):
    made = await interface.create_vault(name=NOTES, display_name="Notes", request_id="r1")
    assert (made.owner, made.caller_role) == (ADMIN, vault_pb2.VAULT_ROLE_OWNER)
    assert await interface.create_vault(name=NOTES, display_name="Notes", request_id="r1") == made
    with pytest.raises(ResourceExists):
        await interface.create_vault(name=NOTES)
    await interface.create_key(BEN)
    await interface.set_role(NOTES, BEN, vault_pb2.VAULT_ROLE_WRITER)
    async with interface.acting(BEN, "vault.read", vaults=[NOTES]):
        seen = await interface.policy.GetVault(policy_pb.GetVaultRequest(request=public.GetVaultRequest(name=NOTES)))
    assert seen.response.vault.caller_role == vault_pb2.VAULT_ROLE_WRITER


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"name": NOTES, "create_time": Timestamp(seconds=1)}, InvalidField, "vault.create_time"),
        ({"name": NOTES, "owner": ADMIN}, InvalidField, "vault.owner"),
        ({"name": NOTES, "caller_role": vault_pb2.VAULT_ROLE_OWNER}, InvalidField, "vault.caller_role"),
        ({"name": NOTES, "display_name": "x" * 129}, LimitExceeded, "vault.display_name"),
        ({"name": "notes"}, MalformedName, "vault.name"),
        ({}, MissingField, "vault.name"),
    ],
)
async def test_a_vault_that_breaks_a_rule_is_refused_with_its_field(interface, fields, error, field):
    with pytest.raises(error) as refused:
        await interface.create_vault(**fields)
    assert refused.value.field == field


async def test_a_role_that_the_contract_does_not_have_is_refused(interface):
    with pytest.raises(InvalidField) as refused:
        await interface.set_role(MAIN, ADMIN, 9)
    assert refused.value.field.endswith("permission.role")


async def test_vaults_are_paged_and_a_token_fits_its_call_alone(interface):
    await interface.create_vault(name=NOTES)
    await interface.create_key(BEN)
    async with interface.acting(ADMIN, "tenant.read", "tenant.admin", "vault.admin"):
        first = await _vaults(interface, page_size=1)
        rest = await _vaults(interface, page_size=1, page_token=first.next_page_token)
        assert [vault.name for vault in (*first.vaults, *rest.vaults)] == [MAIN, NOTES]
        assert not rest.next_page_token
        foreign = public.ListApiKeysRequest(page_token=first.next_page_token)
        with pytest.raises(PageTokenMismatch):
            await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest(request=foreign))
        with pytest.raises(LimitExceeded):
            await _vaults(interface, page_size=1_001)
    async with interface.acting(BEN, "tenant.read"):
        with pytest.raises(PageTokenMismatch):
            await _vaults(interface, page_token=first.next_page_token)


async def _vaults(peer, **fields):
    request = policy_pb.ListVaultsRequest(request=public.ListVaultsRequest(**fields))
    return (await peer.policy.ListVaults(request)).response


async def test_the_roles_in_a_vault_are_listed_for_its_owner(interface):
    await interface.create_key(BEN)
    await interface.set_role(MAIN, BEN, vault_pb2.VAULT_ROLE_READER)
    request = policy_pb.ListVaultPermissionsRequest(request=public.ListVaultPermissionsRequest(vault=MAIN))
    async with interface.acting(ADMIN, "vault.admin", vaults=[MAIN]):
        answer = await interface.policy.ListVaultPermissions(request)
    assert [(found.principal, found.role) for found in answer.response.permissions] == [(ADMIN, 3), (BEN, 1)]
