"""The rules of vaults: what they are made with, who changes them, and what grants make of them."""

from datetime import timedelta

import pytest

from memos_governance.domain.records import Permission
from memos_governance.domain.vaults import WantedVault
from memos_governance.usecases.authority import Caller
from memos_kernel import limits
from memos_kernel.errors import (
    ImmutableField,
    InvalidField,
    LimitExceeded,
    MissingField,
    PermissionDenied,
    RequestIdReused,
    VaultNotFound,
)
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID, Action, Role
from memos_kernel.quotas import VaultQuota
from memos_kernel.requests import RequestKey
from memos_kernel.vaults import DEFAULT_POLICIES, VaultPolicy, VaultType

POOL, NOTES = VaultName("acme", "pool"), VaultName("acme", "notes")
NO_REQUEST = RequestKey()


@pytest.fixture
async def ben(world, admin):
    return await world.person(admin, "ben")


async def make(world, by, name=POOL, *, kind=VaultType.USER_PRIVATE, **policy):
    wanted = WantedVault(name=name, type=kind, policy=VaultPolicy(**policy))
    caller = await world.admin(by)
    return (await world.policy.create_vault(wanted, caller=caller, request=NO_REQUEST)).vault


async def update(world, by, *paths, name=POOL, title="", request=NO_REQUEST, **policy):
    wanted = WantedVault(name=name, display_name=title, policy=VaultPolicy(**policy))
    caller = await world.owner(by, name)
    return (await world.policy.update_vault(wanted, paths=paths, caller=caller, request=request)).vault


@pytest.mark.parametrize("kind", VaultType)
def test_each_type_has_rules_that_a_vault_may_be_made_with(kind):
    policy = DEFAULT_POLICIES[kind]
    assert policy.member_role is not Role.OWNER
    assert all(age is None or age >= limits.VAULT_AGE for age in (policy.cold_after, policy.delete_after))


async def test_what_nobody_shares_nobody_else_sees(world, admin, ben):
    await make(world, admin)
    with pytest.raises(VaultNotFound):
        await world.grant(ben, Action.CUBE_READ, vaults=(POOL,))


async def test_a_role_for_everybody_is_everybodys(world, admin, ben):
    await make(world, admin, member_role=Role.READER)
    grant = await world.grant(ben, Action.CUBE_READ, Action.VAULT_READ)
    assert POOL in grant.vaults
    seen = await world.policy.get_vault(POOL, grant=grant)
    assert seen.role is Role.READER
    assert [one.vault.name for one in await world.policy.list_vaults(grant=grant, after="", limit=9)] == [POOL]
    with pytest.raises(PermissionDenied):
        await world.grant(ben, Action.CUBE_WRITE, vaults=(POOL,))


async def test_people_of_another_tenant_are_not_everybody(world, admin):
    await make(world, admin, member_role=Role.WRITER)
    eve = await world.tenant("globex")
    with pytest.raises(VaultNotFound):
        await world.grant(eve, Action.CUBE_READ, vaults=(POOL,))
    assert POOL not in (await world.grant(eve, Action.CUBE_READ)).vaults


async def test_the_greater_role_counts(world, admin, ben):
    await make(world, admin, member_role=Role.READER)
    await world.share(admin, POOL, ben, Role.WRITER)
    assert POOL in (await world.grant(ben, Action.CUBE_WRITE, vaults=(POOL,))).vaults
    await update(world, admin, "policy.member_role", member_role=Role.WRITER)
    await world.share(admin, POOL, ben, Role.READER)
    assert POOL in (await world.grant(ben, Action.CUBE_WRITE, vaults=(POOL,))).vaults


async def test_to_take_the_role_from_everybody_ends_it_with_the_next_grant(world, admin, ben):
    await make(world, admin, member_role=Role.READER)
    await world.grant(ben, Action.CUBE_READ, vaults=(POOL,))
    await update(world, admin, "policy.member_role")
    with pytest.raises(VaultNotFound):
        await world.grant(ben, Action.CUBE_READ, vaults=(POOL,))


async def test_everybody_does_not_own_a_vault(world, admin, ben):
    with pytest.raises(InvalidField) as caught:
        await make(world, admin, member_role=Role.OWNER)
    assert caught.value.field == "vault.policy.member_role"
    await make(world, admin, member_role=Role.WRITER)
    with pytest.raises(PermissionDenied):
        await world.policy.set_vault_permission(
            Permission(POOL, ben, Role.OWNER), caller=await _reader(world, ben), request=NO_REQUEST
        )


async def _reader(world, who):
    return Caller(await world.grant(who, Action.VAULT_READ, vaults=(POOL,)))


async def test_who_may_read_a_vault_may_not_change_it(world, admin, ben):
    await make(world, admin, member_role=Role.WRITER)
    wanted = WantedVault(name=POOL, policy=VaultPolicy())
    with pytest.raises(PermissionDenied):
        await world.policy.update_vault(wanted, paths=["policy"], caller=await _reader(world, ben), request=NO_REQUEST)


@pytest.mark.parametrize(
    ("policy", "error", "field"),
    [
        ({"quota": VaultQuota(max_cubes=-1)}, InvalidField, "max_cubes"),
        ({"quota": VaultQuota(max_bytes=-1)}, InvalidField, "max_bytes"),
        ({"quota": VaultQuota(max_bytes=2**60)}, LimitExceeded, "max_bytes"),
        ({"cold_after": timedelta(minutes=59)}, InvalidField, "cold_after"),
        ({"delete_after": timedelta(days=-3)}, InvalidField, "delete_after"),
        ({"delete_after": timedelta(days=40_000)}, InvalidField, "delete_after"),
        ({"cold_after": timedelta(hours=2, microseconds=1)}, InvalidField, "cold_after"),
    ],
)
async def test_a_rule_that_there_cannot_be_is_refused_by_name(world, admin, policy, error, field):
    for change in (
        make(world, admin, **policy),
        update(world, admin, "policy", name=VaultName("acme", "main"), **policy),
    ):
        with pytest.raises(error) as caught:
            await change
        assert caught.value.field == f"vault.policy.{field}"


async def test_an_update_changes_what_its_mask_names_and_nothing_else(world, admin):
    made = await make(
        world, admin, quota=VaultQuota(5, 6), cold_after=timedelta(days=2), delete_after=timedelta(days=3)
    )
    changed = await update(world, admin, "policy.max_cubes", "display_name", title="Pool", quota=VaultQuota(7, 8))
    assert changed.display_name == "Pool"
    assert changed.policy.quota == VaultQuota(7, 6)
    assert (changed.policy.cold_after, changed.policy.delete_after) == (timedelta(days=2), timedelta(days=3))
    assert (changed.owner, changed.create_time, changed.type) == (made.owner, made.create_time, made.type)
    cleared = await update(world, admin, "policy")
    assert cleared.policy == VaultPolicy()
    grant = await world.grant(admin, Action.VAULT_READ, vaults=(POOL,))
    assert (await world.policy.get_vault(POOL, grant=grant)).vault == cleared


@pytest.mark.parametrize(
    ("paths", "error"), [((), MissingField), (("type",), ImmutableField), (("owner",), ImmutableField)]
)
async def test_what_cannot_be_changed_is_said(world, admin, paths, error):
    await make(world, admin)
    with pytest.raises(error) as caught:
        await update(world, admin, *paths)
    assert caught.value.field == "update_mask"


async def test_a_change_is_in_the_audit_log_once(world, admin):
    await make(world, admin)
    request = RequestKey("r1", "/memos.v1.GovernanceService/UpdateVault", "aa")
    for _ in range(2):
        changed = await update(world, admin, "policy.max_cubes", quota=VaultQuota(9), request=request)
        assert changed.policy.quota == VaultQuota(9)
    (entry,) = await world.log("acme", action="vault.update")
    assert (entry.event.resource, entry.event.reason) == (str(POOL), "max_cubes 0 -> 9")
    with pytest.raises(RequestIdReused):
        await update(world, admin, "policy.max_cubes", request=RequestKey("r1", request.method, "bb"))


async def test_a_change_that_changes_nothing_is_not_told(world, admin):
    await make(world, admin)
    await update(world, admin, "policy.max_cubes")
    assert await world.log("acme", action="vault.update") == ()


async def test_a_tenant_has_so_many_vaults_for_everybody_and_no_more(world, admin, monkeypatch):
    monkeypatch.setattr(limits, "SHARED_VAULTS", 2)
    for name in ("a", "b"):
        await make(world, admin, VaultName("acme", name), member_role=Role.READER)
    with pytest.raises(LimitExceeded) as caught:
        await make(world, admin, member_role=Role.READER)
    assert caught.value.field == "vault.policy.member_role"
    await make(world, admin)
    with pytest.raises(LimitExceeded):
        await update(world, admin, "policy.member_role", member_role=Role.READER)
    await update(world, admin, "policy.member_role", name=VaultName("acme", "a"), member_role=Role.WRITER)


async def test_a_grant_that_allows_to_write_carries_the_limits_of_its_vaults(world, admin, ben):
    await make(world, admin, quota=VaultQuota(3, 400), member_role=Role.WRITER)
    await make(world, admin, NOTES, quota=VaultQuota(1))
    grant = await world.grant(ben, Action.CUBE_WRITE)
    assert world.verifier.verify(grant.token).quotas == {POOL: VaultQuota(3, 400)}
    assert (await world.grant(admin, Action.CUBE_WRITE, vaults=(NOTES,))).quotas == {NOTES: VaultQuota(1)}
    assert (await world.grant(ben, Action.CUBE_READ)).quotas == {}


async def test_the_systems_jobs_are_told_whose_cubes_age(world, admin):
    await make(world, admin, cold_after=timedelta(days=1))
    await make(world, admin, NOTES, delete_after=timedelta(days=2), member_role=Role.READER)
    system = await world.grant(_system(admin), Action.CUBE_EXPIRE, peer="scheduler")
    listed = await world.policy.list_swept_vaults(grant=system, after="", limit=0)
    assert [vault.name for vault in listed] == [NOTES, POOL]
    assert await world.policy.list_swept_vaults(grant=system, after="notes", limit=1) == listed[1:]
    with pytest.raises(InvalidField):
        await world.policy.list_swept_vaults(grant=system, after="", limit=2_000)


def _system(person):
    return PrincipalName(person.tenant, SYSTEM_PRINCIPAL_ID)
