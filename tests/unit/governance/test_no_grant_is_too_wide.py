"""Random policy calls of two tenants against a model of the rules that shares no code with the real ones."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memos_governance.domain.records import Permission
from memos_governance.usecases.authority import Caller
from memos_governance.usecases.create_api_key import KeyRequest
from memos_kernel.errors import MemosError
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Role
from memos_kernel.requests import RequestKey

TENANTS = ("acme", "globex")
PEOPLE = ("admin", "ben", "eve", "system", "nobody")
VAULTS = ("main", "notes", "plans")

READ = {"cube.read", "cube.use", "vault.read"}
MAY = {0: set(), 1: READ, 2: READ | {"cube.write"}, 3: READ | {"cube.write", "vault.admin"}}
MEMBER = {"model.use", "lineage.read", "lineage.write", "job.read", "job.write", "tenant.read"}

tenants = st.sampled_from(TENANTS)
people = st.builds(PrincipalName, tenants, st.sampled_from(PEOPLE))
vaults = st.builds(VaultName, tenants, st.sampled_from(VAULTS))
actions = st.frozensets(st.sampled_from(list(Action)), min_size=1, max_size=3)
calls = st.one_of(
    st.tuples(st.just("key"), people, people, st.booleans()),
    st.tuples(st.just("revoke"), people, st.integers(0, 5)),
    st.tuples(st.just("vault"), people, vaults),
    st.tuples(st.just("role"), people, vaults, people, st.sampled_from(list(Role))),
    st.tuples(
        st.just("grant"), people, actions, st.lists(vaults, max_size=2), st.sampled_from(("interface", "scheduler"))
    ),
)


@dataclass
class Model:
    """What should be true, in plain sets; names are texts."""

    admins: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    roles: dict[tuple[str, str], int] = field(default_factory=dict)
    vaults: set[str] = field(default_factory=set)

    def tenant(self, id: str) -> None:
        admin, vault = f"tenants/{id}/principals/admin", f"tenants/{id}/vaults/main"
        self.admins.add(admin)
        self.known.add(admin)
        self.vaults.add(vault)
        self.roles[vault, admin] = 3

    def allows(self, who: str, action: str, vault: str) -> bool:
        return action in MAY[self.roles.get((vault, who), 0)]

    def check(self, who: str, grant) -> None:
        """Fail if the grant allows anything that the rules do not."""
        asked = {str(action) for action in grant.actions}
        if who.endswith("/system"):
            assert asked == {"cube.expire"}
            assert grant.issued_to == "scheduler"
            return
        assert not grant.all_vaults
        assert who in self.known
        assert asked <= MEMBER | MAY[3] | {"tenant.admin"}
        assert "tenant.admin" not in asked or who in self.admins
        for vault in map(str, grant.vaults):
            assert self.roles.get((vault, who), 0) > 0
            assert all(self.allows(who, action, vault) for action in asked & MAY[3])


def _same_tenant(*names: object) -> bool:
    return len({str(name).split("/")[1] for name in names}) == 1


class Run:
    """Sends calls to a world and keeps the model in step with those that succeed."""

    def __init__(self, world, model: Model) -> None:
        self.world = world
        self.model = model

    async def send(self, call) -> str:
        """Return what the caller sees, without ids and secrets."""
        try:
            return await getattr(self, f"_{call[0]}")(*call[1:])
        except MemosError as error:
            return f"{error.reason} {error.message}"

    async def _key(self, by, who, admin):
        caller = Caller(await self.world.grant(by, Action.TENANT_ADMIN))
        wanted = KeyRequest(principal=who, admin=admin)
        key, _ = await self.world.policy.create_api_key(wanted, caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        assert _same_tenant(by, who)
        assert who.id != "system"
        self.model.known.add(str(who))
        self.model.admins |= {str(who)} if admin else set()
        return f"{who} {key.admin}"

    async def _revoke(self, by, index):
        caller = Caller(await self.world.grant(by, Action.TENANT_ADMIN))
        made = [name for name in self.world.state.keys if name.tenant == by.tenant]
        name = made[index] if index < len(made) else KeyName(by.tenant, "nope")
        key = await self.world.policy.revoke_api_key(name, caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        assert any(
            key.revoke_time is None and str(key.principal) in self.model.admins
            for key in self.world.state.keys.values()
            if key.name.tenant == by.tenant
        )
        return str(key.principal)

    async def _vault(self, by, name):
        caller = Caller(await self.world.grant(by, Action.TENANT_ADMIN))
        await self.world.policy.create_vault(name, display_name="", caller=caller, request=RequestKey())
        assert str(by) in self.model.admins
        assert _same_tenant(by, name)
        assert str(name) not in self.model.vaults
        self.model.vaults.add(str(name))
        self.model.roles[str(name), str(by)] = 3
        return str(name)

    async def _role(self, by, vault, who, role):
        caller = Caller(await self.world.grant(by, Action.VAULT_ADMIN, vaults=(vault,)))
        await self.world.policy.set_vault_permission(Permission(vault, who, role), caller=caller, request=RequestKey())
        assert self.model.roles.get((str(vault), str(by))) == 3
        assert _same_tenant(by, vault, who)
        assert str(who) in self.model.known
        self.model.roles[str(vault), str(who)] = int(role)
        assert 3 in [found for (owned, _), found in self.model.roles.items() if owned == str(vault)]
        return f"{vault} {who} {role}"

    async def _grant(self, who, wanted, named, peer):
        grant = await self.world.grant(who, *wanted, vaults=tuple(named), peer=peer)
        self.model.check(str(who), grant)
        assert not named or set(grant.vaults) == set(named)
        assert all(_same_tenant(who, vault) for vault in grant.vaults)
        return f"{sorted(map(str, grant.vaults))} {sorted(grant.actions)} {grant.all_vaults} {grant.policy_epoch}"


def _fresh(make_world) -> Run:
    model = Model()
    for id in TENANTS:
        model.tenant(id)
    return Run(make_world(), model)


async def _play(make_world, sequence) -> tuple[dict[str, list[str]], Run]:
    run = _fresh(make_world)
    for id in TENANTS:
        await run.world.bootstrap(TenantName(id), admin="admin", vault="main")
    seen: dict[str, list[str]] = {id: [] for id in TENANTS}
    for call in sequence:
        seen[call[1].tenant].append(await run.send(call))
    return seen, run


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(calls, max_size=25))
def test_no_sequence_of_calls_widens_a_grant(world, sequence):
    async def check():
        _, run = await _play(type(world), sequence)
        for tenant in TENANTS:
            for person in PEOPLE:
                for action in Action:
                    await run.send(("grant", PrincipalName(tenant, person), {action}, [], "interface"))

    asyncio.run(check())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(calls, max_size=25))
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
