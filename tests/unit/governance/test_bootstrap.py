import pytest

from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action


async def test_the_first_start_makes_an_admin_with_a_vault_and_a_key(world):
    secret = await world.bootstrap(TenantName("local"), admin="admin", vault="main")
    principal = await world.policy.authenticate(secret)
    assert (principal.name, principal.admin) == (PrincipalName("local", "admin"), True)
    grant = await world.grant(principal.name, Action.VAULT_ADMIN)
    assert grant.vaults == {VaultName("local", "main")}


async def test_the_second_start_makes_nothing(world):
    await world.bootstrap(TenantName("local"), admin="admin", vault="main")
    before = repr(world.state)
    assert await world.bootstrap(TenantName("local"), admin="admin", vault="main") is None
    assert repr(world.state) == before


async def test_a_lost_key_is_replaced_without_a_new_tenant(world):
    await world.bootstrap(TenantName("local"), admin="admin", vault="main")
    secret = await world.bootstrap.recover(PrincipalName("local", "admin"))
    assert (await world.policy.authenticate(secret)).admin


async def test_there_is_no_way_in_for_one_who_is_no_admin(world):
    admin = await world.tenant("local")
    ben = await world.person(admin, "ben")
    for name in (ben, PrincipalName("local", "nobody"), PrincipalName("nowhere", "admin")):
        with pytest.raises(LookupError):
            await world.bootstrap.recover(name)


async def test_tenants_are_listed_by_name(world):
    for name in ("globex", "acme"):
        await world.tenant(name)
    assert [str(name) for name in await world.policy.list_tenants()] == ["tenants/acme", "tenants/globex"]
