from dataclasses import replace
from datetime import timedelta

import pytest

from memos_governance.domain.audit import AuditEvent, AuditFilter, TenantEvent
from memos_governance.usecases.verify_chain import VerifyChain
from memos_kernel.errors import InvalidField, LimitExceeded, MalformedName, MissingField
from memos_kernel.names import TenantName
from memos_kernel.permission import Action

ACME = TenantName("acme")


def _event(world, id="e1", **members):
    values = {
        "event_id": id,
        "time": world.clock.now(),
        "principal": "tenants/acme/principals/admin",
        "service": "storage",
        "action": "cube.create",
        "resource": "tenants/acme/cubes/c1",
    }
    return AuditEvent(**{**values, **members})


async def _append(world, *events, tenant=ACME):
    return await world.records.append_audit([TenantEvent(tenant, event) for event in events])


async def test_an_event_counts_once_however_often_it_is_sent(world):
    assert await _append(world, _event(world), _event(world)) == 1
    assert await _append(world, _event(world), _event(world, "e2")) == 1
    assert [entry.event.event_id for entry in await world.log("acme")] == ["e2", "e1"]


async def test_the_same_id_in_another_tenant_is_another_event(world):
    assert await _append(world, _event(world)) == 1
    theirs = _event(world, principal="tenants/globex/principals/admin")
    assert await _append(world, theirs, tenant=TenantName("globex")) == 1


async def test_the_log_is_filtered_and_paged_newest_first(world, admin):
    for number in range(4):
        world.clock.advance(minutes=1)
        await _append(world, _event(world, f"e{number}", action=f"cube.{number % 2}", resource=f"r{number}"))
    grant = await world.grant(admin, Action.TENANT_ADMIN)

    async def query(*, before_sequence=None, limit=10, **wanted):
        found = await world.records.query_audit(
            AuditFilter(**wanted), grant=grant, before_sequence=before_sequence, limit=limit
        )
        return [entry.event.event_id for entry in found]

    middle = world.clock.now() - timedelta(minutes=1)
    newest, *_ = await world.log("acme")
    assert await query(limit=2) == ["e3", "e2"]
    assert await query(limit=1, before_sequence=newest.sequence) == ["e2"]
    assert await query(action="cube.1") == ["e3", "e1"]
    assert await query(resource="r2") == ["e2"]
    assert await query(after=middle) == ["e3", "e2"]
    assert await query(before=middle, action="cube.0") == ["e0"]


async def test_a_log_is_read_with_a_grant_of_its_tenant(world, admin):
    other = await world.tenant("globex")
    grant = await world.grant(other, Action.TENANT_ADMIN)
    found = await world.records.query_audit(AuditFilter(), grant=grant, before_sequence=None, limit=100)
    assert {entry.event.principal for entry in found} == {str(other)}


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"id": ""}, MissingField),
        ({"service": ""}, MissingField),
        ({"action": ""}, MissingField),
        ({"outcome": "maybe"}, InvalidField),
        ({"reason": "x" * 513}, LimitExceeded),
        ({"resource": "a\x00b"}, InvalidField),
        ({"principal": "somebody"}, MalformedName),
        ({"principal": "tenants/globex/principals/admin"}, InvalidField),
    ],
)
async def test_an_event_that_breaks_a_rule_is_refused_with_its_place(world, members, error):
    with pytest.raises(error) as refused:
        await _append(world, _event(world, "good"), _event(world, **members))
    assert refused.value.field.startswith("events[1].event.")
    assert await world.log("acme") == ()


async def test_a_call_has_at_most_a_thousand_events(world):
    with pytest.raises(LimitExceeded):
        await _append(world, *(_event(world, str(number)) for number in range(1_001)))


async def test_an_untouched_chain_holds(world, admin):
    await _append(world, *(_event(world, str(number)) for number in range(20)))
    assert await VerifyChain(world.ledger)(ACME) is None


@pytest.mark.parametrize("damage", ["change", "remove", "swap", "cut", "rehash"])
async def test_damage_to_a_chain_is_found_where_it_is(world, damage):
    await _append(world, *(_event(world, str(number)) for number in range(5)))
    entries = list(world.state.chains[ACME])
    third = entries[2]
    recorded = await world.ledger.head(ACME)
    if damage == "change":
        entries[2] = replace(third, event=replace(third.event, action="cube.read"))
    elif damage == "remove":
        del entries[2]
    elif damage == "swap":
        entries[2] = replace(entries[3], sequence=3)
    elif damage == "cut":
        del entries[2:]
    else:
        forged = replace(third.event, action="cube.read")
        entries[2] = replace(third, event=forged, hash="f" * 64)
    world.state.chains[ACME] = tuple(entries)

    async def head(_):
        return recorded

    world.ledger.head = head
    problem = await VerifyChain(world.ledger)(ACME)
    assert (problem.tenant, problem.sequence) == (ACME, 3)
