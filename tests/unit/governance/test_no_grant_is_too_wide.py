"""Random policy calls of two tenants against a model of the rules that shares no code with the real ones."""

import asyncio
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memos_governance.domain.records import Permission
from memos_governance.domain.vaults import WantedVault
from memos_governance.usecases.authority import Caller
from memos_governance.usecases.create_api_key import KeyRequest
from memos_kernel.errors import MemosError
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Role
from memos_kernel.requests import RequestKey
from memos_kernel.vaults import VaultPolicy

TENANTS = ("acme", "globex")
PEOPLE = ("admin", "ben", "eve", "system", "nobody")
VAULTS = ("main", "notes")

READ = {"cube.read", "cube.use", "vault.read"}
MAY = {0: set(), 1: READ, 2: READ | {"cube.write"}, 3: READ | {"cube.write", "cube.purge", "vault.admin"}}
MEMBER = {"model.use", "lineage.read", "lineage.write", "job.read", "job.write", "tenant.read"}
SYSTEM = {"cube.expire", "cube.embed", "model.use"}
PROBES = [
    frozenset({probe})
    for probe in ("cube.read", "cube.write", "cube.purge", "vault.admin", "tenant.admin", "cube.expire")
]


@st.composite
def calls(draw) -> tuple[Any, ...]:
    """Draw a call that has a chance to succeed: mostly inside one tenant, mostly by its admin."""
    tenant = draw(st.sampled_from(TENANTS))
    tenants = st.sampled_from([tenant] * 5 + list(TENANTS))
    by = PrincipalName(tenant, draw(st.sampled_from((*["admin"] * 6, "ben", *PEOPLE))))
    who = PrincipalName(draw(tenants), draw(st.sampled_from(("ben", "eve", "eve", *PEOPLE))))
    vault = VaultName(draw(tenants), draw(st.sampled_from(VAULTS)))
    stale = draw(st.sampled_from((False, False, True)))
    kind = draw(st.sampled_from(("key", "revoke", "vault", "role", "role", "role", "everybody", "grant")))
    if kind == "key":
        return kind, by, stale, who, draw(st.sampled_from((False, False, True)))
    if kind == "revoke":
        return kind, by, stale, draw(st.integers(0, 3))
    if kind == "vault":
        return kind, by, stale, vault
    if kind == "role":
        return kind, by, stale, vault, who, draw(st.sampled_from(list(Role)))
    if kind == "everybody":
        return kind, by, stale, vault, draw(st.sampled_from(list(Role)))
    actions = draw(st.frozensets(st.sampled_from(list(Action)), min_size=1, max_size=3))
    named = draw(st.sampled_from(((), (vault,), (vault, VaultName(tenant, "main")))))
    return kind, who, named, actions, draw(st.sampled_from(("interface", "scheduler")))


@dataclass
class Model:
    """What should be true, in plain sets; names are texts."""

    admins: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    roles: dict[tuple[str, str], int] = field(default_factory=dict)
    vaults: set[str] = field(default_factory=set)
    everybody: dict[str, int] = field(default_factory=dict)

    def tenant(self, id: str) -> None:
        admin, vault = f"tenants/{id}/principals/admin", f"tenants/{id}/vaults/main"
        self.admins.add(admin)
        self.known.add(admin)
        self.vaults.add(vault)
        self.roles[vault, admin] = 3

    def role(self, who: str, vault: str) -> int:
        if who not in self.known or not _same_tenant(who, vault):
            return 0
        return max(self.roles.get((vault, who), 0), self.everybody.get(vault, 0))

    def allows(self, who: str, action: str, vault: str) -> bool:
        return action in MAY[self.role(who, vault)]

    def check(self, who: str, grant) -> None:
        """Fail if the grant allows anything that the rules do not."""
        asked = {str(action) for action in grant.actions}
        if who.endswith("/system"):
            assert asked <= SYSTEM
            assert grant.issued_to == "scheduler"
            return
        assert not grant.all_vaults
        assert who in self.known
        assert asked <= MEMBER | MAY[3] | {"tenant.admin"}
        assert "tenant.admin" not in asked or who in self.admins
        for vault in map(str, grant.vaults):
            assert self.role(who, vault) > 0
            assert all(self.allows(who, action, vault) for action in asked & MAY[3])


def _same_tenant(*names: object) -> bool:
    return len({str(name).split("/")[1] for name in names}) == 1


class Run:
    """Sends calls to a world and keeps the model in step with those that succeed."""

    def __init__(self, world, model: Model) -> None:
        self.world = world
        self.model = model
        self.callers: dict[tuple[object, ...], Caller] = {}

    async def send(self, call) -> str:
        """Return what the caller sees, without ids and secrets."""
        try:
            return await getattr(self, f"_{call[0]}")(*call[1:])
        except MemosError as error:
            return f"{error.reason} {error.message}"

    async def _caller(self, stale: bool, by: PrincipalName, action: Action, *vaults: VaultName) -> Caller:
        """Return the caller with a fresh grant, or with the first that it ever got for this."""
        known = self.callers.get((by, action, vaults))
        if not stale or known is None:
            known = Caller(await self.world.grant(by, action, vaults=vaults))
        return self.callers.setdefault((by, action, vaults), known) if stale else known

    async def _key(self, by, stale, who, admin):
        caller = await self._caller(stale, by, Action.TENANT_ADMIN)
        wanted = KeyRequest(principal=who, admin=admin)
        key, _ = await self.world.policy.create_api_key(wanted, caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        assert _same_tenant(by, who)
        assert who.id != "system"
        self.model.known.add(str(who))
        self.model.admins |= {str(who)} if admin else set()
        return f"{who} {key.admin}"

    async def _revoke(self, by, stale, index):
        caller = await self._caller(stale, by, Action.TENANT_ADMIN)
        made = [name for name in self.world.state.keys if name.tenant == by.tenant]
        name = made[index] if index < len(made) else KeyName(by.tenant, "nope")
        key = await self.world.policy.revoke_api_key(name, caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        live = [key for key in self.world.state.keys.values() if key.revoke_time is None]
        assert any(_same_tenant(key.name, by) and str(key.principal) in self.model.admins for key in live)
        return str(key.principal)

    async def _vault(self, by, stale, name):
        caller = await self._caller(stale, by, Action.TENANT_ADMIN)
        await self.world.policy.create_vault(WantedVault(name=name), caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        assert _same_tenant(by, name)
        assert str(name) not in self.model.vaults
        self.model.vaults.add(str(name))
        self.model.roles[str(name), str(by)] = 3
        return str(name)

    async def _role(self, by, stale, vault, who, role):
        caller = await self._caller(stale, by, Action.VAULT_ADMIN, vault)
        wanted = Permission(vault, who, role)
        await self.world.policy.set_vault_permission(wanted, caller=caller, request=RequestKey())
        assert self.model.roles.get((str(vault), str(by))) == 3
        assert _same_tenant(by, vault, who)
        assert str(who) in self.model.known
        self.model.roles[str(vault), str(who)] = int(role)
        assert 3 in [found for (owned, _), found in self.model.roles.items() if owned == str(vault)]
        for actions in PROBES[:3]:
            await self.send(("grant", who, (vault,), actions, "interface"))
        return f"{vault} {who} {role}"

    async def _everybody(self, by, stale, vault, role):
        caller = await self._caller(stale, by, Action.VAULT_ADMIN, vault)
        wanted = WantedVault(name=vault, policy=VaultPolicy(member_role=role))
        paths = ["policy.member_role"]
        await self.world.policy.update_vault(wanted, paths=paths, caller=caller, request=RequestKey())
        assert self.model.roles.get((str(vault), str(by))) == 3
        assert _same_tenant(by, vault)
        assert role is not Role.OWNER
        self.model.everybody[str(vault)] = int(role)
        for person, actions in product(PEOPLE, PROBES[:3]):
            await self.send(("grant", PrincipalName(by.tenant, person), (vault,), actions, "interface"))
        return f"{vault} {role}"

    async def _grant(self, who, named, actions, peer):
        grant = await self.world.grant(who, *map(Action, actions), vaults=named, peer=peer)
        self.model.check(str(who), grant)
        assert not named or set(grant.vaults) == set(named)
        assert all(_same_tenant(who, vault) for vault in grant.vaults)
        return f"{sorted(map(str, grant.vaults))} {sorted(grant.actions)} {grant.all_vaults} {grant.policy_epoch}"


async def _play(make_world, sequence) -> tuple[dict[str, list[str]], Run]:
    """Return what each tenant saw."""
    run = Run(make_world(), Model())
    for id in TENANTS:
        run.model.tenant(id)
        await run.world.bootstrap(TenantName(id), admin="admin", vault="main")
        await run.send(("key", PrincipalName(id, "admin"), False, PrincipalName(id, "ben"), False))
    seen: dict[str, list[str]] = {id: [] for id in TENANTS}
    for call in sequence:
        seen[call[1].tenant].append(await run.send(call))
    return seen, run


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(calls(), min_size=15, max_size=40))
def test_no_sequence_of_calls_widens_a_grant(world, sequence):
    async def check():
        _, run = await _play(type(world), sequence)
        for tenant, person, actions, vault in product(TENANTS, PEOPLE, PROBES, (None, *VAULTS)):
            named = () if vault is None else (VaultName(tenant, vault),)
            await run.send(("grant", PrincipalName(tenant, person), named, actions, "interface"))

    asyncio.run(check())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(calls(), min_size=15, max_size=40))
def test_nothing_a_tenant_sees_depends_on_another(world, sequence):
    async def check():
        together, with_acme = await _play(type(world), sequence)
        alone, without = await _play(type(world), [call for call in sequence if call[1].tenant == "globex"])
        assert together["globex"] == alone["globex"]
        assert await _logged(with_acme, "globex") == await _logged(without, "globex")

    asyncio.run(check())


async def _logged(run, tenant):
    """Return the tenant's audit log without ids that are drawn at random."""
    entries = await run.world.log(tenant)
    return [
        (entry.sequence, entry.event.principal, entry.event.action, entry.event.outcome, entry.event.reason)
        for entry in entries
    ]
