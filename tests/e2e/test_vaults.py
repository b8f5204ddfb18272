"""Vaults with rules, as people and agents meet them: roles for everybody, limits, cubes that go cold or are deleted."""

import asyncio
import json
import sqlite3
import uuid
from contextlib import closing
from datetime import timedelta

import pytest

from memos_client import AsyncClient, Filter, NewMemory, NotFound, QuotaExceeded, VaultPolicy

_DAY = 86_400_000_000
"""Microseconds."""

ARCHIVE = Filter(states=["ARCHIVED"])


@pytest.fixture
async def client(system):
    async with system.client() as opened:
        yield opened


@pytest.fixture
def name():
    return f"v{uuid.uuid4().hex[:12]}"


def make_older(system, vault: str, *, days: int) -> None:
    """Let the cubes of a vault be older than they are, where storage looks for their age."""
    (path,) = system.state.parent.rglob("catalogue.db")
    columns = ", ".join(f"{name} = {name} - {days * _DAY}" for name in ("create_time", "update_time", "last_used_time"))
    of_vault = "(SELECT key FROM vaults WHERE vault = ?)"
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        database.execute(f"UPDATE cubes SET {columns} WHERE vault_key = {of_vault}", (vault,))


async def until(condition):
    for _ in range(300):
        if await condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen within 30 seconds")


async def texts(client, question, vault, **options):
    answer = await client.search(question, vaults=[vault], **options)
    return [hit.cube.text for hit in answer.hits]


async def test_a_pool_is_shared_by_all_agents_of_a_tenant_and_with_nobody_else(system, client, name):
    vault = await client.create_vault(name, type="CONTEXTUAL_POOL")
    policy = VaultPolicy.of(vault)
    assert (policy.member_role, policy.cold_after) == ("WRITER", timedelta(days=30))
    key = await client.create_key("agent")
    async with AsyncClient(**{**system.client_settings(), "api_key": key.secret}) as agent:
        await agent.add(name, ["The tide is high at noon."])
        assert await texts(client, "when is high tide?", name) == ["The tide is high at noon."]
        await client.update_vault(name, policy=VaultPolicy(member_role=""))

        async def is_shut_out():
            try:
                await agent.get_vault(name)
            except NotFound:
                return True
            return False

        await until(is_shut_out)


async def test_a_vault_takes_what_fits_and_says_what_to_do_about_the_rest(client, name):
    await client.create_vault(name, policy=VaultPolicy(max_cubes=2))
    await client.add(name, ["The tide is high at noon."])
    with pytest.raises(QuotaExceeded, match=r"holds 1 cubes, and may hold 2; 2 more do not fit.*purge") as caught:
        await client.add(name, ["The tide is low at dusk.", "The moon is full."])
    assert caught.value.metadata["limit"] == "2"
    usage = await client.vault_usage(name)
    assert (usage.cubes, usage.bytes) == (1, 25)
    await client.update_vault(name, policy=VaultPolicy(max_cubes=3))
    answer = await client.add(name, ["The tide is low at dusk.", "The moon is full."])
    assert len(answer.added) == 2


async def test_an_import_stops_at_a_batch_that_does_not_fit_and_goes_on_once_it_does(client, name):
    await client.create_vault(name, policy=VaultPolicy(max_cubes=280))
    items = [NewMemory(text=f"Ticket {number} was sold.") for number in range(300)]

    async def load():
        return [answer async for answer in client.import_memories(name, items)]

    with pytest.raises(QuotaExceeded):
        await load()
    assert (await client.vault_usage(name)).cubes <= 280
    await client.update_vault(name, policy=VaultPolicy(max_cubes=300))
    assert all(result.error is None for answer in await load() for result in answer.results)
    assert (await client.vault_usage(name)).cubes == 300


async def test_what_nobody_uses_goes_cold_and_comes_back_with_its_use(system, client, name):
    await client.create_vault(name, policy=VaultPolicy(cold_after=timedelta(days=30)))
    fact = "Nora keeps the lighthouse key under the blue flowerpot."
    await client.add(name, [fact])
    question = "Where does Nora keep the lighthouse key?"
    assert await texts(client, question, name) == [fact]
    make_older(system, name, days=31)

    async def is_cold():
        return (await client.vault_usage(name)).cold_cubes == 1

    await until(is_cold)
    assert await texts(client, question, name) == []
    assert await texts(client, question, name, filter=ARCHIVE) == [fact]
    async for _ in client.chat(question, vaults=[name], filter=ARCHIVE):
        pass

    async def is_warm():
        return await texts(client, question, name) == [fact]

    await until(is_warm)
    assert (await client.vault_usage(name)).cold_cubes == 0
    (cube,) = [one async for one in client.list(name)]
    revisions = [one async for one in client.revisions(cube.name)]
    assert [one.state for one in revisions] == ["ACTIVATED", "ARCHIVED", "GENERATED"]


async def test_what_is_too_old_is_deleted_for_a_reason_that_the_audit_log_tells(system, client, name):
    await client.create_vault(name, type="PIPELINE_CACHE")
    added = await client.add(name, ["Step one returned 42."])
    cube = added.added[0].cube.name
    make_older(system, name, days=2)

    async def is_gone():
        return (await client.vault_usage(name)).deleted_cubes == 1

    await until(is_gone)
    with pytest.raises(NotFound):
        await client.get(cube)
    deletions = []

    async def is_told():
        deletions[:] = [one async for one in client.audit(resource=cube, action="cube.delete")]
        return bool(deletions)

    await until(is_told)
    (event,) = deletions
    assert event.principal.endswith("/system")
    assert event.reason == "It is older than 1 day, 0:00:00, which is the age that the vault keeps cubes to."


def test_the_command_line_makes_changes_and_shows_them(system, name):
    made = system.memosctl("vault", "create", name, "--type", "expert", "--max-bytes", "2GiB", "--json")
    policy = json.loads(made.stdout)["vault"]["policy"]
    assert policy["max_bytes"] == str(2 * 1024**3)
    assert policy["member_role"] == "VAULT_ROLE_READER"
    rules = ("--everybody", "none", "--max-bytes", "none", "--cold-after", "4w", "--delete-after", "never")
    changed = json.loads(system.memosctl("vault", "update", name, *rules, "--json").stdout)["vault"]["policy"]
    assert changed["cold_after"] == f"{28 * 86_400}s"
    assert changed["max_bytes"] == "0"
    assert changed["member_role"] == "VAULT_ROLE_UNSPECIFIED"
    shown = system.memosctl("vault", "get", name).stdout
    assert "expert" in shown
    assert "cold after 28d" in shown
    system.memosctl("add", "A fact.", "--vault", name)
    assert "no limit" in system.memosctl("vault", "usage", name).stdout
    assert json.loads(system.memosctl("vault", "usage", name, "--json").stdout)["usage"]["bytes"] == "7"
    refused = system.memosctl("vault", "update", name, "--delete-after", "5m", check=False)
    assert refused.returncode != 0
    assert "vault.policy.delete_after" in refused.stderr
    assert "nothing to change" in system.memosctl("vault", "update", name, check=False).stderr
