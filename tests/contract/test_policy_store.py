"""What every PolicyStore does."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from governance_databases import KINDS, opened
from memos_governance.adapters.memory import MemoryPolicyStore, MemoryState
from memos_governance.adapters.sql.policy_store import SqlPolicyStore
from memos_governance.adapters.standing_cache import CachedStandings
from memos_governance.domain.audit import AuditEvent
from memos_governance.domain.records import ApiKey, Membership, Permission, PrincipalRecord, Vault
from memos_governance.ports import StoredRequest
from memos_kernel.errors import StateConflict
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role
from memos_kernel.quotas import VaultQuota
from memos_kernel.requests import RequestKey
from memos_kernel.vaults import VaultPolicy, VaultType

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
ACME, GLOBEX = TenantName("acme"), TenantName("globex")
ADMIN, BEN = PrincipalName("acme", "admin"), PrincipalName("acme", "ben")
MAIN, NOTES = VaultName("acme", "main"), VaultName("acme", "notes")


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryPolicyStore(MemoryState())
        return
    async with opened(request.param, tmp_path) as database:
        yield SqlPolicyStore(database)


def _tenant(tenant=ACME):
    def change(tx):
        tx.add_tenant(create_time=NOW)
        for id, admin in (("admin", True), ("ben", False)):
            tx.put_principal(PrincipalRecord(name=PrincipalName(tenant.tenant, id), admin=admin), create_time=NOW)
        for id in ("main", "notes"):
            owner = PrincipalName(tenant.tenant, "admin")
            tx.add_vault(
                Vault(name=VaultName(tenant.tenant, id), display_name=id.title(), create_time=NOW, owner=owner)
            )

    return change


def _key(id, principal=ADMIN, **members):
    values = {"name": KeyName("acme", id), "principal": principal, "admin": principal == ADMIN}
    return ApiKey(**{**values, "display_name": "Laptop", "create_time": NOW, **members})


async def test_a_new_store_is_empty(store):
    assert await store.tenants() == ()
    assert await store.epoch(ACME) is None
    assert await store.standing(ADMIN) is None
    assert await store.key_by_digest("d") is None
    assert not await store.write(ACME, lambda tx: tx.tenant_exists())


async def test_what_was_written_is_read_back_exactly(store):
    key, vault = _key("k1"), Vault(name=MAIN, display_name="Main", create_time=NOW, owner=ADMIN)

    def change(tx):
        _tenant()(tx)
        tx.add_key(key, digest="d1")
        return tx.principal(ADMIN), tx.key(key.name), tx.vault(MAIN)

    assert await store.write(ACME, change) == (PrincipalRecord(name=ADMIN, admin=True), key, vault)
    assert await store.key_by_digest("d1") == key
    assert await store.keys(ACME, after="", limit=9) == (key,)
    assert await store.tenants() == (ACME,)


async def test_a_change_that_raises_leaves_nothing(store):
    await store.write(ACME, _tenant())
    before = await store.epoch(ACME)

    def change(tx):
        tx.set_role(Permission(MAIN, BEN, Role.OWNER))
        tx.append_audit(_event())
        raise StateConflict("no")

    with pytest.raises(StateConflict):
        await store.write(ACME, change)
    assert await store.epoch(ACME) == before
    assert await store.permissions(MAIN, after="", limit=9) == ()


async def test_changes_at_the_same_time_follow_one_another(store):
    await store.write(ACME, _tenant())
    before = await store.epoch(ACME)

    def change(number):
        def work(tx):
            tx.put_principal(PrincipalRecord(name=PrincipalName("acme", f"p{number}"), admin=False), create_time=NOW)
            if number % 5 == 0:
                raise StateConflict(str(number))
            return number

        return work

    found = await asyncio.gather(*(store.write(ACME, change(n)) for n in range(20)), return_exceptions=True)
    assert [value for value in found if isinstance(value, int)] == [n for n in range(20) if n % 5]
    assert await store.epoch(ACME) == before + 16
    assert await store.standing(PrincipalName("acme", "p5")) is None
    assert await store.standing(PrincipalName("acme", "p6")) is not None


async def test_roles_and_admins_change_the_epoch_of_their_tenant_alone(store):
    for tenant in (ACME, GLOBEX):
        await store.write(tenant, _tenant(tenant))
    other = await store.epoch(GLOBEX)
    for change in (
        lambda tx: tx.set_role(Permission(MAIN, BEN, Role.READER)),
        lambda tx: tx.set_role(Permission(MAIN, BEN, Role.NONE)),
        lambda tx: tx.put_principal(PrincipalRecord(name=BEN, admin=True), create_time=NOW),
    ):
        before = await store.epoch(ACME)
        await store.write(ACME, change)
        assert await store.epoch(ACME) == before + 1
    assert await store.epoch(GLOBEX) == other


async def test_a_role_is_set_changed_and_taken(store):
    await store.write(ACME, _tenant())
    for role in (Role.READER, Role.OWNER):
        await store.write(ACME, lambda tx, role=role: tx.set_role(Permission(MAIN, BEN, role)))
        assert await store.write(ACME, lambda tx: tx.role(MAIN, BEN)) is role
        assert (await store.standing(BEN)).roles == {MAIN: role}
    await store.write(ACME, lambda tx: tx.set_role(Permission(MAIN, BEN, Role.NONE)))
    assert await store.write(ACME, lambda tx: tx.role(MAIN, BEN)) is Role.NONE
    assert (await store.standing(BEN)).roles == {}
    assert await store.membership(MAIN, BEN) is None


async def test_the_vaults_of_a_principal_are_counted_in_its_tenant_alone(store):
    for tenant in (ACME, GLOBEX):
        await store.write(tenant, _tenant(tenant))
    roles = [
        Permission(MAIN, BEN, Role.READER),
        Permission(NOTES, BEN, Role.OWNER),
        Permission(MAIN, ADMIN, Role.OWNER),
    ]
    for role in roles:
        await store.write(ACME, lambda tx, role=role: tx.set_role(role))
    assert await store.write(ACME, lambda tx: tx.vaults_of(BEN)) == 2
    await store.write(ACME, lambda tx: tx.set_role(Permission(MAIN, BEN, Role.NONE)))
    assert await store.write(ACME, lambda tx: (tx.vaults_of(BEN), tx.vaults_of(ADMIN))) == (1, 1)
    assert await store.write(GLOBEX, lambda tx: tx.vaults_of(PrincipalName("globex", "ben"))) == 0


async def test_another_owner_is_somebody_else_with_that_role_in_that_vault(store):
    await store.write(ACME, _tenant())
    await store.write(ACME, lambda tx: tx.set_role(Permission(MAIN, ADMIN, Role.OWNER)))
    await store.write(ACME, lambda tx: tx.set_role(Permission(MAIN, BEN, Role.WRITER)))
    await store.write(ACME, lambda tx: tx.set_role(Permission(NOTES, BEN, Role.OWNER)))
    assert not await store.write(ACME, lambda tx: tx.another_owner(MAIN, ADMIN))
    assert await store.write(ACME, lambda tx: tx.another_owner(MAIN, BEN))


async def test_another_admin_key_is_live_and_an_admins(store):
    def change(tx):
        _tenant()(tx)
        tx.add_key(_key("k1"), digest="d1")
        tx.add_key(_key("k2", BEN), digest="d2")
        tx.add_key(_key("k3", revoke_time=NOW), digest="d3")

    await store.write(ACME, change)
    assert not await store.write(ACME, lambda tx: tx.another_admin_key(KeyName("acme", "k1")))
    assert await store.write(ACME, lambda tx: tx.another_admin_key(KeyName("acme", "k2")))
    await store.write(ACME, lambda tx: tx.put_principal(PrincipalRecord(name=BEN, admin=True), create_time=NOW))
    assert await store.write(ACME, lambda tx: tx.another_admin_key(KeyName("acme", "k1")))
    assert (await store.key_by_digest("d2")).admin


async def test_a_revoked_key_is_found_with_its_time(store):
    await store.write(ACME, lambda tx: (_tenant()(tx), tx.add_key(_key("k1"), digest="d1")))
    later = NOW + timedelta(microseconds=1)
    await store.write(ACME, lambda tx: tx.revoke_key(KeyName("acme", "k1"), revoke_time=later))
    assert (await store.key_by_digest("d1")).revoke_time == later


async def test_lists_are_paged_by_id_and_stay_in_their_tenant(store):
    def change(tenant):
        def work(tx):
            _tenant(tenant)(tx)
            for vault in ("main", "notes"):
                for who in ("admin", "ben"):
                    tx.set_role(
                        Permission(VaultName(tenant.tenant, vault), PrincipalName(tenant.tenant, who), Role.READER)
                    )

        return work

    for tenant in (ACME, GLOBEX):
        await store.write(tenant, change(tenant))
    (first,) = await store.memberships(BEN, after="", limit=1)
    assert first == Membership(Vault(name=MAIN, display_name="Main", create_time=NOW, owner=ADMIN), Role.READER)
    assert [found.vault.name for found in await store.memberships(BEN, after="main", limit=9)] == [NOTES]
    assert await store.permissions(MAIN, after="admin", limit=9) == (Permission(MAIN, BEN, Role.READER),)
    assert await store.membership(VaultName("globex", "main"), BEN) is None


async def test_a_request_is_remembered_until_it_is_forgotten(store):
    await store.write(ACME, _tenant())
    request, week = RequestKey("r1", "/m", "aa"), timedelta(days=7)

    def remember(now):
        return lambda tx: tx.remember_request(ADMIN, request, result="x", create_time=now, forget=now - week)

    def find(who, key, since):
        return lambda tx: tx.find_request(who, key, since=since)

    await store.write(ACME, remember(NOW))
    assert await store.write(ACME, find(ADMIN, request, NOW)) == StoredRequest("aa", "x")
    later = NOW + timedelta(microseconds=1)
    for missed in (
        find(BEN, request, NOW),
        find(ADMIN, RequestKey("r2", "/m", "aa"), NOW),
        find(ADMIN, RequestKey("r1", "/n", "aa"), NOW),
        find(ADMIN, request, later),
    ):
        assert await store.write(ACME, missed) is None
    await store.write(ACME, remember(later + week))
    assert await store.write(ACME, find(ADMIN, request, later)) == StoredRequest("aa", "x")


async def test_cached_standings_follow_every_change(store):
    await store.write(ACME, _tenant())
    standings = CachedStandings(store, capacity=1)
    assert (await standings.standing(BEN)).roles == {}
    assert await standings.standing(BEN) is await standings.standing(BEN)
    await store.write(ACME, lambda tx: tx.set_role(Permission(MAIN, BEN, Role.READER)))
    assert (await standings.standing(BEN)).roles == {MAIN: Role.READER}
    assert (await standings.standing(ADMIN)).admin
    assert await standings.standing(PrincipalName("acme", "nobody")) is None


def _event():
    return AuditEvent(
        event_id="e1",
        time=NOW,
        principal=str(ADMIN),
        service="governance",
        action="permission.set",
        resource=str(MAIN),
    )


def _shared(id, role=Role.READER, **policy):
    name = VaultName("acme", id)
    policy = VaultPolicy(member_role=role, **policy)
    return Vault(name=name, display_name=id, create_time=NOW, owner=ADMIN, type=VaultType.EXPERT, policy=policy)


async def test_a_vault_keeps_its_type_and_every_rule(store):
    await store.write(ACME, _tenant())
    vault = _shared(
        "pool", quota=VaultQuota(2**40, 2**41), cold_after=timedelta(days=3), delete_after=timedelta(hours=5)
    )
    await store.write(ACME, lambda tx: tx.add_vault(vault))
    assert await store.write(ACME, lambda tx: tx.vault(vault.name)) == vault
    before = await store.epoch(ACME)
    changed = replace(vault, display_name="Pool", policy=VaultPolicy())
    await store.write(ACME, lambda tx: tx.replace_vault(changed))
    assert await store.write(ACME, lambda tx: tx.vault(vault.name)) == changed
    assert await store.epoch(ACME) > before


async def test_everybodys_role_is_seen_by_all_of_the_tenant_and_counted(store):
    await store.write(ACME, _tenant())
    await store.write(GLOBEX, _tenant(GLOBEX))
    pool, board = _shared("pool", quota=VaultQuota(7)), _shared("board", Role.WRITER)

    def change(tx):
        for vault in (pool, board):
            tx.add_vault(vault)
        tx.set_role(Permission(MAIN, BEN, Role.READER))
        tx.set_role(Permission(pool.name, BEN, Role.WRITER))
        tx.set_role(Permission(board.name, BEN, Role.READER))
        return tx.shared_vaults(), tx.vaults_of(BEN), tx.role(board.name, BEN)

    assert await store.write(ACME, change) == (2, 3, Role.READER)
    standing = await store.standing(BEN)
    assert standing.roles == {MAIN: Role.READER, pool.name: Role.WRITER, board.name: Role.WRITER}
    assert standing.quotas == {pool.name: VaultQuota(7)}
    assert await store.membership(board.name, ADMIN) == Membership(board, Role.WRITER)
    assert await store.membership(board.name, PrincipalName("globex", "ben")) is None
    assert (await store.standing(PrincipalName("globex", "ben"))).roles == {}
    assert await store.write(GLOBEX, lambda tx: tx.shared_vaults()) == 0


async def test_pages_of_vaults_hold_own_and_everybodys_in_one_order(store):
    await store.write(ACME, _tenant())
    names = ["a", "c", "e"]

    def change(tx):
        for id in names:
            tx.add_vault(_shared(id))
        for id in ("b", "d"):
            tx.add_vault(replace(_shared(id), policy=VaultPolicy()))
            tx.set_role(Permission(VaultName("acme", id), BEN, Role.OWNER))

    await store.write(ACME, change)
    seen, after = [], ""
    while page := await store.memberships(BEN, after=after, limit=2):
        assert len(page) <= 2
        seen += [one.vault.name.id for one in page]
        after = seen[-1]
    assert seen == ["a", "b", "c", "d", "e"]


async def test_vaults_whose_cubes_age_are_listed_by_id(store):
    await store.write(ACME, _tenant())
    old, cold = _shared("old", Role.NONE, delete_after=timedelta(days=1)), _shared("cold", cold_after=timedelta(days=1))

    def change(tx):
        for vault in (old, cold, _shared("calm")):
            tx.add_vault(vault)

    await store.write(ACME, change)
    assert await store.swept_vaults(ACME, after="", limit=9) == (cold, old)
    assert await store.swept_vaults(ACME, after="", limit=1) == (cold,)
    assert await store.swept_vaults(ACME, after="cold", limit=9) == (old,)
    assert await store.swept_vaults(GLOBEX, after="", limit=9) == ()
