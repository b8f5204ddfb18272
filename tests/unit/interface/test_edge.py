"""The edge: what is remembered of governance, for how long, and by how many calls at once."""

import asyncio
from dataclasses import replace

import pytest

from memos_interface.edge import Edge
from memos_kernel.errors import CredentialInvalid, DeadlineExceeded, DependencyUnavailable, VaultNotFound
from memos_kernel.permission import Action

READ = frozenset({Action.CUBE_READ})


@pytest.fixture
def edge(desk):
    return Edge(desk.authority, clock=desk.clock, auth_seconds=10, capacity=3)


async def test_a_key_is_asked_for_once_in_its_time(desk, edge):
    for _ in range(3):
        assert await edge.authenticate("mk_nora") == desk.caller
    assert desk.authority.calls == ["authenticate"]
    desk.clock.pass_(10)
    await edge.authenticate("mk_nora")
    assert desk.authority.calls == ["authenticate"] * 2


async def test_a_revoked_key_opens_nothing_after_its_time(desk, edge):
    await edge.authenticate("mk_nora")
    del desk.authority.keys["mk_nora"]
    desk.clock.pass_(10)
    with pytest.raises(CredentialInvalid):
        await edge.authenticate("mk_nora")


async def test_a_refusal_is_not_remembered(desk, edge):
    with pytest.raises(CredentialInvalid):
        await edge.authenticate("mk_new")
    desk.authority.keys["mk_new"] = desk.caller
    assert await edge.authenticate("mk_new") == desk.caller


async def test_the_secret_is_not_kept(desk, edge):
    await edge.authenticate("mk_nora")
    assert "mk_nora" not in repr(vars(edge._principals._kept))


async def test_a_grant_is_handed_out_until_thirty_seconds_before_its_end(desk, edge):
    first = await edge.grant(desk.caller, READ, ())
    desk.clock.pass_(29)
    assert await edge.grant(desk.caller, READ, ()) is first
    desk.clock.pass_(1)
    fresh = await edge.grant(desk.caller, READ, ())
    assert (fresh.expire_time - desk.clock.now()).total_seconds() == 60


async def test_grants_differ_by_actions_and_vaults_but_not_by_their_order(desk, edge):
    a, b = str(desk.vault), str(desk.other)
    one = await edge.grant(desk.caller, READ, (a, b))
    assert await edge.grant(desk.caller, READ, (b, a, b)) is one
    assert await edge.grant(desk.caller, READ, (a,)) is not one
    assert await edge.grant(desk.caller, READ | {Action.CUBE_WRITE}, (a, b)) is not one


async def test_a_new_vault_is_seen_at_once_after_forgetting(desk, edge):
    with pytest.raises(VaultNotFound):
        await edge.grant(desk.caller, READ, ("tenants/t/vaults/new",))
    before = await edge.grant(desk.caller, READ, ())
    new = type(desk.vault)("t", "new")
    desk.authority.vaults[desk.caller.name].add(new)
    edge.forget()
    assert new not in before.vaults
    assert new in (await edge.grant(desk.caller, READ, ())).vaults


async def test_calls_at_the_same_time_share_one_question(desk, edge, monkeypatch):
    asked = desk.authority.issue_grant

    async def slow(*args):
        await asyncio.sleep(0.01)
        return await asked(*args)

    monkeypatch.setattr(desk.authority, "issue_grant", slow)
    grants = await asyncio.gather(*(edge.grant(desk.caller, READ, ()) for _ in range(20)))
    assert desk.authority.calls == ["issue_grant"]
    assert len({grant.id for grant in grants}) == 1


async def test_a_caller_who_leaves_does_not_take_the_others_along(desk, edge, monkeypatch):
    release = asyncio.Event()
    asked = desk.authority.authenticate

    async def slow(key):
        await release.wait()
        return await asked(key)

    monkeypatch.setattr(desk.authority, "authenticate", slow)
    first, second = (asyncio.create_task(edge.authenticate("mk_nora")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    release.set()
    assert await second == desk.caller
    assert desk.authority.calls == ["authenticate"]


async def test_the_deadline_of_one_caller_is_not_that_of_the_others(desk, edge, monkeypatch):
    asked = desk.authority.authenticate
    failures = [DeadlineExceeded("late")]

    async def slow(key):
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()
        return await asked(key)

    monkeypatch.setattr(desk.authority, "authenticate", slow)
    first, second = (asyncio.create_task(edge.authenticate("mk_nora")) for _ in range(2))
    with pytest.raises(DeadlineExceeded):
        await first
    assert await second == desk.caller


async def test_a_failure_is_not_remembered(desk, edge, monkeypatch):
    async def away(key):
        raise DependencyUnavailable("away", dependency="governance")

    with monkeypatch.context() as patch:
        patch.setattr(desk.authority, "authenticate", away)
        with pytest.raises(DependencyUnavailable):
            await edge.authenticate("mk_nora")
    assert await edge.authenticate("mk_nora") == desk.caller


async def test_what_is_loaded_while_forgetting_is_not_kept(desk, edge, monkeypatch):
    asked = desk.authority.issue_grant
    release = asyncio.Event()

    async def slow(*args):
        grant = await asked(*args)
        await release.wait()
        return grant

    monkeypatch.setattr(desk.authority, "issue_grant", slow)
    stale = asyncio.create_task(edge.grant(desk.caller, READ, ()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    edge.forget()
    release.set()
    assert await edge.grant(desk.caller, READ, ()) is not await stale


async def test_the_cache_is_bounded(desk, edge):
    for number in range(5):
        desk.authority.keys[f"mk_{number}"] = desk.caller
        await edge.authenticate(f"mk_{number}")
    desk.authority.calls.clear()
    await edge.authenticate("mk_4")
    assert desk.authority.calls == []
    await edge.authenticate("mk_0")
    assert desk.authority.calls == ["authenticate"]


async def test_what_has_ended_leaves_with_the_next_that_comes(desk, edge):
    for number in range(3):
        desk.authority.keys[f"mk_{number}"] = desk.caller
        await edge.authenticate(f"mk_{number}")
    desk.clock.pass_(10)
    await edge.authenticate("mk_nora")
    assert len(edge._principals._kept) == 1


async def test_grants_are_bounded_by_the_bytes_of_their_tokens(desk):
    token = (await desk.authority.issue_grant(desk.caller.name, READ, ())).token
    edge = Edge(desk.authority, clock=desk.clock, auth_seconds=10, capacity=100, most_bytes=2 * len(token))
    vaults = [(), (str(desk.vault),), (str(desk.other),)]
    for named in vaults:
        await edge.grant(desk.caller, READ, named)
    desk.authority.calls.clear()
    for named in vaults[1:]:
        await edge.grant(desk.caller, READ, named)
    assert desk.authority.calls == []
    await edge.grant(desk.caller, READ, vaults[0])
    assert desk.authority.calls == ["issue_grant"]


async def test_an_admin_sees_the_jobs_of_the_tenant_and_nobody_else_does(desk, edge, monkeypatch):
    asked = []
    issue = desk.authority.issue_grant

    async def noting(principal, actions, vaults):
        asked.append(actions)
        return await issue(principal, actions & READ, vaults)

    monkeypatch.setattr(desk.authority, "issue_grant", noting)
    await edge.grant(replace(desk.caller, admin=True), frozenset({Action.JOB_READ}), ())
    await edge.grant(replace(desk.caller, admin=False), frozenset({Action.JOB_READ}), ())
    await edge.grant(replace(desk.caller, admin=True), READ, ())
    assert asked == [frozenset({Action.JOB_READ, Action.TENANT_ADMIN}), frozenset({Action.JOB_READ}), READ]
