from dataclasses import replace

import pytest

from memos_governance.domain.vaults import WantedVault
from memos_kernel import limits
from memos_kernel.errors import (
    DataCorrupted,
    DependencyUnavailable,
    GrantInvalid,
    InternalError,
    InvalidField,
    MissingField,
    PermissionDenied,
    StoreFull,
    VaultNotFound,
)
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID, Action, Role
from memos_kernel.requests import RequestKey


async def test_a_grant_holds_the_caller_the_actions_and_the_vaults(world, admin, main):
    grant = await world.grant(admin, Action.CUBE_READ, Action.MODEL_USE, vaults=(main,))
    read = world.verifier.verify(grant.token)
    assert (read.principal, read.issued_to, read.vaults) == (admin, "interface", {main})
    assert read.actions == {Action.CUBE_READ, Action.MODEL_USE}
    assert not read.all_vaults


async def test_a_grant_ends_after_sixty_seconds(world, admin, main):
    grant = await world.grant(admin, Action.CUBE_READ, vaults=(main,))
    assert grant.expire_time - world.clock.now() == limits.GRANT_LIFETIME
    world.clock.advance(seconds=60)
    with pytest.raises(GrantInvalid):
        world.verifier.verify(grant.token)


async def test_without_a_role_a_vault_looks_absent(world, admin, main):
    ben = await world.person(admin, "ben", admin=True)
    with pytest.raises(VaultNotFound) as hidden:
        await world.grant(ben, Action.CUBE_READ, vaults=(main,))
    with pytest.raises(VaultNotFound) as absent:
        await world.grant(ben, Action.CUBE_READ, vaults=(VaultName("acme", "nope"),))
    assert hidden.value.message.replace("main", "nope") == absent.value.message


async def test_the_vault_of_another_tenant_looks_absent(world, admin):
    await world.tenant("globex")
    with pytest.raises(VaultNotFound):
        await world.grant(admin, Action.CUBE_READ, vaults=(VaultName("globex", "main"),))


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (Role.READER, {Action.CUBE_READ, Action.CUBE_USE, Action.VAULT_READ}, Action.CUBE_WRITE),
        (Role.WRITER, {Action.CUBE_READ, Action.CUBE_USE, Action.VAULT_READ, Action.CUBE_WRITE}, Action.VAULT_ADMIN),
    ],
)
async def test_a_role_allows_its_actions_and_no_more(world, admin, main, role, allowed, refused):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, role)
    assert (await world.grant(ben, *allowed, vaults=(main,))).actions == allowed
    with pytest.raises(PermissionDenied) as denied:
        await world.grant(ben, refused, vaults=(main,))
    assert denied.value.metadata == {"action": str(refused), "resource": str(main)}


async def test_one_vault_that_is_too_much_refuses_the_whole_grant(world, admin, main):
    with pytest.raises(VaultNotFound):
        await world.grant(admin, Action.CUBE_READ, vaults=(main, VaultName("acme", "nope")))


async def test_no_named_vaults_means_all_that_allow_every_action(world, admin, main):
    ben = await world.person(admin, "ben")
    notes = await _vault(world, admin, "notes")
    await world.share(admin, main, ben, Role.READER)
    await world.share(admin, notes, ben, Role.WRITER)
    assert (await world.grant(ben, Action.CUBE_READ)).vaults == {main, notes}
    assert (await world.grant(ben, Action.CUBE_READ, Action.CUBE_WRITE)).vaults == {notes}
    assert (await world.grant(ben, Action.VAULT_ADMIN)).vaults == set()


async def test_only_an_admin_gets_admin_actions(world, admin):
    ben = await world.person(admin, "ben")
    with pytest.raises(PermissionDenied):
        await world.grant(ben, Action.TENANT_ADMIN)
    assert (await world.grant(admin, Action.TENANT_ADMIN)).actions == {Action.TENANT_ADMIN}


async def test_an_unknown_principal_gets_nothing(world, admin):
    with pytest.raises(PermissionDenied):
        await world.grant(PrincipalName("acme", "nobody"), Action.MODEL_USE)
    with pytest.raises(PermissionDenied):
        await world.grant(PrincipalName("nowhere", "nobody"), Action.MODEL_USE)
    assert TenantName("nowhere") not in await world.ledger.chains()


async def test_a_change_of_role_counts_in_the_next_grant(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.WRITER)
    before = await world.grant(ben, Action.CUBE_WRITE, vaults=(main,))
    await world.share(admin, main, ben, Role.READER)
    with pytest.raises(PermissionDenied):
        await world.grant(ben, Action.CUBE_WRITE, vaults=(main,))
    assert (await world.grant(ben, Action.CUBE_READ)).policy_epoch > before.policy_epoch


async def test_the_system_covers_all_vaults_for_the_scheduler_alone(world, admin):
    system = PrincipalName("acme", SYSTEM_PRINCIPAL_ID)
    grant = await world.grant(system, Action.CUBE_EXPIRE, peer="scheduler")
    assert grant.all_vaults
    with pytest.raises(PermissionDenied):
        await world.grant(system, Action.CUBE_EXPIRE, peer="interface")
    with pytest.raises(PermissionDenied):
        await world.grant(system, Action.CUBE_EXPIRE, Action.CUBE_READ, peer="scheduler")
    with pytest.raises(InvalidField):
        await world.grant(system, Action.CUBE_EXPIRE, vaults=(VaultName("acme", "main"),), peer="scheduler")
    with pytest.raises(PermissionDenied):
        await world.grant(replace(system, tenant="nowhere"), Action.CUBE_EXPIRE, peer="scheduler")


async def test_nobody_else_gets_system_actions(world, admin):
    with pytest.raises(PermissionDenied):
        await world.grant(admin, Action.CUBE_EXPIRE, peer="scheduler")


async def test_a_grant_for_nothing_is_refused(world, admin):
    with pytest.raises(MissingField):
        await world.grant(admin)


async def test_as_many_vaults_as_one_may_have_fit_into_a_grant_that_names_none(world, admin):
    ben = await world.person(admin, "ben")
    vaults = await world.fill(ben, limits.PRINCIPAL_VAULTS)
    assert (await world.grant(ben, Action.CUBE_READ)).vaults == vaults
    assert len((await world.grant(ben, Action.CUBE_READ, vaults=(VaultName("acme", "v7"),))).vaults) == 1
    assert (await world.grant(ben, Action.TENANT_READ)).vaults == vaults


async def test_denials_are_audited_with_reason_and_trace(world, admin, main):
    ben = await world.person(admin, "ben")
    with pytest.raises(VaultNotFound):
        await world.grant(ben, Action.CUBE_READ, vaults=(main,))
    (entry, *_) = await world.log("acme", principal=str(ben))
    event = entry.event
    assert (event.action, event.resource, event.outcome) == ("cube.read", str(main), "denied")
    assert (event.reason, event.service) == ("VAULT_NOT_FOUND", "governance")


@pytest.mark.parametrize("failure", [StoreFull("full"), DataCorrupted("torn"), InternalError("broken")])
async def test_a_denial_stays_a_denial_when_the_log_fails(world, admin, monkeypatch, caplog, failure):
    async def fail(events):
        raise failure

    monkeypatch.setattr(world.ledger, "append", fail)
    with pytest.raises(PermissionDenied):
        await world.grant(PrincipalName("acme", "nobody"), Action.MODEL_USE)
    assert world.lost == 1
    assert failure.message in caplog.text


async def test_a_denial_stays_a_denial_when_the_tenant_cannot_be_looked_up_for_it(world, admin, monkeypatch):
    lookups = [await world.store.epoch(admin.parent)]

    async def once(tenant):
        if not lookups:
            raise DependencyUnavailable("away", dependency="database")
        return lookups.pop()

    monkeypatch.setattr(world.store, "epoch", once)
    with pytest.raises(PermissionDenied):
        await world.grant(PrincipalName("acme", "nobody"), Action.MODEL_USE)
    assert world.lost == 1


async def _vault(world, admin, id):
    name = VaultName(admin.tenant, id)
    caller = await world.admin(admin)
    await world.policy.create_vault(WantedVault(name=name), caller=caller, request=RequestKey())
    return name
