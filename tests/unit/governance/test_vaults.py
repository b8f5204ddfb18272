import pytest

from memos_governance.domain.records import Permission
from memos_governance.domain.vaults import WantedVault
from memos_kernel import limits
from memos_kernel.errors import (
    InvalidField,
    LimitExceeded,
    PermissionDenied,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Role
from memos_kernel.requests import RequestKey

NO_REQUEST = RequestKey()
NOTES = VaultName("acme", "notes")


async def _create(world, by, name, *, request=NO_REQUEST, display_name=""):
    caller = await world.admin(by)
    return await world.policy.create_vault(
        WantedVault(name=name, display_name=display_name), caller=caller, request=request
    )


async def test_the_maker_of_a_vault_owns_it(world, admin):
    made = await _create(world, admin, NOTES, display_name="Notes")
    assert (made.vault.owner, made.role) == (admin, Role.OWNER)
    grant = await world.grant(admin, Action.VAULT_READ, vaults=(NOTES,))
    assert await world.policy.get_vault(NOTES, grant=grant) == made


async def test_a_name_is_taken_once(world, admin):
    await _create(world, admin, NOTES)
    with pytest.raises(ResourceExists):
        await _create(world, admin, NOTES)


async def test_a_replay_returns_the_vault_and_another_body_is_refused(world, admin):
    method = "/memos.v1.GovernanceService/CreateVault"
    made = await _create(world, admin, NOTES, request=RequestKey("r1", method, "aa"))
    assert await _create(world, admin, NOTES, request=RequestKey("r1", method, "aa")) == made
    with pytest.raises(RequestIdReused):
        await _create(world, admin, VaultName("acme", "other"), request=RequestKey("r1", method, "bb"))


async def test_no_vault_is_made_in_another_tenant(world, admin):
    await world.tenant("globex")
    for tenant in ("globex", "nowhere"):
        with pytest.raises(ResourceNotFound):
            await _create(world, admin, VaultName(tenant, "notes"))


async def test_an_admin_without_a_role_sees_no_vault(world, admin, main):
    eve = await world.person(admin, "eve", admin=True)
    grant = await world.grant(eve, Action.TENANT_READ, Action.TENANT_ADMIN)
    assert await world.policy.list_vaults(grant=grant, after="", limit=10) == ()
    with pytest.raises(VaultNotFound):
        await world.policy.get_vault(main, grant=grant)


async def test_a_role_that_was_taken_hides_the_vault_from_an_older_grant(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.READER)
    grant = await world.grant(ben, Action.VAULT_READ, vaults=(main,))
    await world.share(admin, main, ben, Role.NONE)
    with pytest.raises(VaultNotFound):
        await world.policy.get_vault(main, grant=grant)


async def test_vaults_are_listed_in_pages_with_the_callers_role(world, admin, main):
    ben = await world.person(admin, "ben")
    await _create(world, admin, NOTES)
    await world.share(admin, main, ben, Role.READER)
    await world.share(admin, NOTES, ben, Role.WRITER)
    grant = await world.grant(ben, Action.TENANT_READ)
    first = await world.policy.list_vaults(grant=grant, after="", limit=1)
    rest = await world.policy.list_vaults(grant=grant, after=first[-1].vault.name.id, limit=5)
    assert [(found.vault.name, found.role) for found in (*first, *rest)] == [(main, Role.READER), (NOTES, Role.WRITER)]


async def test_only_an_owner_gives_roles(world, admin, main):
    ben, eve = await world.person(admin, "ben"), await world.person(admin, "eve")
    await world.share(admin, main, ben, Role.WRITER)
    with pytest.raises(PermissionDenied):
        await world.share(ben, main, eve, Role.READER)
    with pytest.raises(VaultNotFound):
        await world.share(eve, main, eve, Role.OWNER)


async def test_an_owner_who_was_demoted_cannot_use_an_older_grant(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.OWNER)
    stale = await world.owner(ben, main)
    await world.share(admin, main, ben, Role.READER)
    wanted = Permission(main, ben, Role.OWNER)
    with pytest.raises(PermissionDenied):
        await world.policy.set_vault_permission(wanted, caller=stale, request=NO_REQUEST)


async def test_one_principal_has_a_role_in_no_more_vaults_than_fit_into_a_grant(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.fill(ben, limits.PRINCIPAL_VAULTS - 1)
    await world.share(admin, main, ben, Role.READER)
    await _create(world, admin, NOTES)
    with pytest.raises(LimitExceeded) as refused:
        await world.share(admin, NOTES, ben, Role.READER)
    assert (refused.value.field, refused.value.metadata["limit"]) == ("permission.principal", "1000")
    assert (await world.share(admin, main, ben, Role.WRITER)).role is Role.WRITER
    await world.share(admin, main, ben, Role.NONE)
    assert (await world.share(admin, NOTES, ben, Role.READER)).role is Role.READER


async def test_who_has_a_role_in_as_many_vaults_as_one_may_makes_no_other(world, admin):
    await world.fill(admin, limits.PRINCIPAL_VAULTS - 1)
    method = "/memos.v1.GovernanceService/CreateVault"
    with pytest.raises(LimitExceeded) as refused:
        await _create(world, admin, NOTES, request=RequestKey("r1", method, "aa"))
    assert (refused.value.field, refused.value.metadata["limit"]) == ("vault", "1000")
    assert NOTES not in world.state.vaults


async def test_the_last_owner_stays(world, admin, main):
    for role in (Role.NONE, Role.READER, Role.WRITER):
        with pytest.raises(StateConflict):
            await world.share(admin, main, admin, role)
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.OWNER)
    assert (await world.share(admin, main, admin, Role.NONE)).role is Role.NONE


async def test_roles_go_to_known_people_of_the_tenant_alone(world, admin, main):
    other = await world.tenant("globex")
    for name in (other, PrincipalName("nowhere", "ben"), PrincipalName("acme", "nobody")):
        with pytest.raises(ResourceNotFound):
            await world.share(admin, main, name, Role.READER)
    with pytest.raises(InvalidField):
        await world.share(admin, main, PrincipalName("acme", "system"), Role.READER)


async def test_a_replayed_permission_changes_nothing_again(world, admin, main):
    ben = await world.person(admin, "ben")
    wanted = Permission(main, ben, Role.READER)
    request = RequestKey("r1", "/memos.v1.GovernanceService/SetVaultPermission", "aa")

    async def send():
        return await world.policy.set_vault_permission(wanted, caller=await world.owner(admin, main), request=request)

    assert await send() == wanted
    await world.share(admin, main, ben, Role.NONE)
    assert await send() == wanted
    assert (await world.grant(ben, Action.CUBE_READ)).vaults == set()


async def test_the_roles_in_a_vault_are_shown_to_its_owner(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.READER)
    grant = await world.grant(admin, Action.VAULT_ADMIN, vaults=(main,))
    shown = await world.policy.list_vault_permissions(main, grant=grant, after="", limit=10)
    assert [(found.principal, found.role) for found in shown] == [(admin, Role.OWNER), (ben, Role.READER)]
    reader = await world.grant(ben, Action.VAULT_READ, vaults=(main,))
    with pytest.raises(PermissionDenied):
        await world.policy.list_vault_permissions(main, grant=reader, after="", limit=10)


async def test_changes_of_roles_are_audited_with_the_old_and_the_new(world, admin, main):
    ben = await world.person(admin, "ben")
    await world.share(admin, main, ben, Role.READER)
    (entry, *_) = await world.log("acme", action="permission.set")
    assert entry.event.reason == f"{ben} NONE -> READER"
    assert entry.event.resource == str(main)
