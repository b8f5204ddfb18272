from dataclasses import replace

import pytest

from memos_governance.domain.credentials import digest_of, new_secret, well_formed
from memos_governance.usecases.authority import Caller
from memos_governance.usecases.create_api_key import KeyRequest
from memos_governance.usecases.denials import MOST_A_MINUTE
from memos_kernel.errors import (
    CredentialInvalid,
    InvalidField,
    LimitExceeded,
    PermissionDenied,
    RequestIdReused,
    ResourceNotFound,
    StateConflict,
)
from memos_kernel.names import KeyName, PrincipalName
from memos_kernel.permission import Action
from memos_kernel.requests import RequestKey

NO_REQUEST = RequestKey()


async def _create(world, by, id, *, request=NO_REQUEST, **options):
    wanted = KeyRequest(principal=PrincipalName(by.tenant, id), **options)
    return await world.policy.create_api_key(wanted, caller=await world.admin(by), request=request)


async def _revoke(world, by, name, *, request=NO_REQUEST):
    return await world.policy.revoke_api_key(name, caller=await world.admin(by), request=request)


def test_a_secret_is_256_random_bits_behind_a_prefix():
    secret = new_secret()
    assert well_formed(secret)
    assert len(secret) == 46
    assert secret != new_secret()


async def test_a_key_authenticates_its_principal(world, admin):
    key, secret = await _create(world, admin, "ben", display_name="Ben's laptop")
    principal = await world.policy.authenticate(secret)
    assert (principal.name, principal.admin) == (key.principal, False)


async def test_the_secret_is_stored_as_a_digest_alone(world, admin):
    _, secret = await _create(world, admin, "ben")
    assert digest_of(secret) in world.state.digests
    assert secret not in repr(world.state)


@pytest.mark.parametrize("secret", ["", "mk_short", "mk_" + "a" * 43, "mk_" + "ä" * 43])
async def test_unknown_and_malformed_keys_are_refused_alike(world, admin, secret):
    with pytest.raises(CredentialInvalid) as refused:
        await world.policy.authenticate(secret)
    assert not secret or secret not in refused.value.message


async def test_a_revoked_key_stops_working_and_its_use_is_audited(world, admin):
    key, secret = await _create(world, admin, "ben")
    revoked = await _revoke(world, admin, key.name)
    assert revoked.revoke_time == world.clock.now()
    with pytest.raises(CredentialInvalid):
        await world.policy.authenticate(secret)
    (entry, *_) = await world.log("acme")
    assert (entry.event.action, entry.event.outcome, entry.event.resource) == ("key.use", "denied", str(key.name))


async def test_a_flood_of_denials_is_counted_and_does_not_fill_the_log(world, admin):
    key, secret = await _create(world, admin, "ben")
    await _revoke(world, admin, key.name)

    async def use(times):
        for _ in range(times):
            with pytest.raises(CredentialInvalid):
                await world.policy.authenticate(secret)

    await use(MOST_A_MINUTE + 40)
    assert len(await world.log("acme", action="key.use")) == MOST_A_MINUTE
    world.clock.advance(minutes=1)
    await use(2)
    newest, told, *_ = await world.log("acme", action="key.use")
    assert told.event.reason == "CREDENTIAL_INVALID, and 40 more denials before"
    assert newest.event.reason == "CREDENTIAL_INVALID"


async def test_revoking_twice_keeps_the_first_time(world, admin):
    key, _ = await _create(world, admin, "ben")
    first = await _revoke(world, admin, key.name)
    world.clock.advance(hours=1)
    assert await _revoke(world, admin, key.name) == first


async def test_a_promotion_counts_for_older_keys_and_a_plain_key_does_not_demote(world, admin):
    _, secret = await _create(world, admin, "ben")
    await _create(world, admin, "ben", admin=True)
    assert (await world.policy.authenticate(secret)).admin
    key, _ = await _create(world, admin, "ben")
    assert key.admin


async def test_the_last_key_of_the_last_admin_stays(world, admin):
    (only,) = await world.store.keys(admin.parent, after="", limit=10)
    await _create(world, admin, "ben")
    with pytest.raises(StateConflict):
        await _revoke(world, admin, only.name)
    await _create(world, admin, "eve", admin=True)
    assert (await _revoke(world, admin, only.name)).revoke_time is not None


async def test_a_replayed_request_returns_the_key_without_its_secret(world, admin):
    request = RequestKey("r1", "/memos.v1.GovernanceService/CreateApiKey", "aa")
    key, secret = await _create(world, admin, "ben", request=request)
    assert await _create(world, admin, "ben", request=request) == (key, "")
    assert secret


async def test_a_request_id_with_another_body_is_refused(world, admin):
    method = "/memos.v1.GovernanceService/CreateApiKey"
    await _create(world, admin, "ben", request=RequestKey("r1", method, "aa"))
    with pytest.raises(RequestIdReused):
        await _create(world, admin, "eve", request=RequestKey("r1", method, "bb"))
    assert await world.store.standing(PrincipalName("acme", "eve")) is None


async def test_a_request_id_is_forgotten_after_a_week(world, admin):
    method = "/memos.v1.GovernanceService/CreateApiKey"
    await _create(world, admin, "ben", request=RequestKey("r1", method, "aa"))
    world.clock.advance(days=8)
    _, secret = await _create(world, admin, "ben", request=RequestKey("r1", method, "bb"))
    assert secret


async def test_keys_of_the_system_are_refused(world, admin):
    with pytest.raises(InvalidField):
        await _create(world, admin, "system")


async def test_a_principal_of_another_tenant_looks_absent_whether_it_exists_or_not(world, admin):
    other = await world.tenant("globex")
    caller = await world.admin(admin)
    answers = []
    for name in (other, PrincipalName("globex", "nobody"), PrincipalName("nowhere", "nobody")):
        with pytest.raises(ResourceNotFound) as refused:
            await world.policy.create_api_key(KeyRequest(principal=name), caller=caller, request=NO_REQUEST)
        answers.append(refused.value.message.replace(str(name), ""))
    assert len(set(answers)) == 1


async def test_a_key_of_another_tenant_looks_absent(world, admin):
    other = await world.tenant("globex")
    (theirs,) = await world.store.keys(other.parent, after="", limit=10)
    for name in (theirs.name, KeyName("acme", "nope")):
        with pytest.raises(ResourceNotFound):
            await _revoke(world, admin, name)


async def test_an_old_admin_grant_is_worth_nothing_to_one_who_is_no_admin(world, admin):
    ben = await world.person(admin, "ben")
    stale = replace(await world.grant(ben, Action.TENANT_READ), actions=frozenset({Action.TENANT_ADMIN}))
    with pytest.raises(PermissionDenied):
        await world.policy.create_api_key(KeyRequest(principal=ben), caller=Caller(stale), request=NO_REQUEST)


async def test_a_title_has_a_limit_and_no_control_characters(world, admin):
    with pytest.raises(LimitExceeded):
        await _create(world, admin, "ben", display_name="x" * 129)
    with pytest.raises(InvalidField):
        await _create(world, admin, "ben", display_name="a\x00b")


async def test_keys_are_listed_in_pages_and_only_of_the_own_tenant(world, admin):
    await world.tenant("globex")
    for id in ("ben", "eve"):
        await _create(world, admin, id)
    grant = await world.grant(admin, Action.TENANT_ADMIN)
    first = await world.policy.list_api_keys(grant=grant, after="", limit=2)
    rest = await world.policy.list_api_keys(grant=grant, after=first[-1].name.id, limit=2)
    assert sorted(key.principal.id for key in (*first, *rest)) == ["admin", "ben", "eve"]


async def test_changes_of_keys_are_audited(world, admin):
    key, _ = await _create(world, admin, "ben", admin=True)
    await _revoke(world, admin, key.name)
    actions = [entry.event.action for entry in await world.log("acme")]
    assert actions[:3] == ["key.revoke", "key.create", "principal.create"]


async def test_the_log_names_the_admin_who_made_a_key_and_the_principal_whom_it_is_for(world, admin):
    ben = await world.person(admin, "ben")
    eve = await world.person(admin, "eve", admin=True)
    key, secret = await _create(world, eve, "ben")
    assert (await world.policy.authenticate(secret)).name == ben
    (entry, *_) = await world.log("acme", action="key.create")
    event = entry.event
    assert (event.principal, event.resource, event.reason, event.outcome) == (str(eve), str(key.name), str(ben), "ok")
