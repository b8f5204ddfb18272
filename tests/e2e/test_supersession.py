"""Facts that change: which statements end the validity of which, what a search finds first, and how it is undone."""

import json

from grpc import StatusCode

from arrangements import in_one_process
from memos_api.v1 import memory_service_pb2 as memory
from supersession_eval import tell_and_ask
from updated_facts import HELD_OUT, updated_facts


async def add(caller, vault, *texts, **fields):
    answer = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=texts, **fields))
    return answer.added


@in_one_process
async def test_the_current_statement_is_found_before_the_stale_one(system, caller, vault):
    found = await tell_and_ask(caller, vault, updated_facts(HELD_OUT))
    assert found.above >= 0.9 * found.facts
    assert found.above_without_both < found.above_without < 0.2 * found.facts
    assert found.by_own_words > 0.95 * found.facts
    assert found.superseded >= 0.1 * found.facts
    assert found.wrongly <= 0.02 * found.statements


async def test_a_fact_is_ended_listed_and_reopened(system, caller, vault):
    (first,) = await add(caller, vault, "Nora drives a Toyota.")
    (second,) = await add(caller, vault, "Nora has traded the old car for a Honda and drives that now.")
    (link,) = second.links
    assert (link.newer, link.older) == (second.cube.name, first.cube.name)
    assert 0 < link.evidence < 1
    settled = system.memosctl("settle", second.cube.name, first.cube.name, "supersedes")
    assert "supersedes" in settled.stdout
    ended = (await caller.memory.GetMemory(memory.GetMemoryRequest(name=first.cube.name))).cube
    assert ended.HasField("valid_until")
    request = memory.SearchMemoriesRequest(vaults=[vault], query="Which car does Nora drive?")
    hits = (await caller.memory.SearchMemories(request)).hits
    assert [(hit.cube.name, hit.superseded_by) for hit in hits] == [
        (second.cube.name, ""),
        (first.cube.name, second.cube.name),
    ]
    assert "superseded by" in system.memosctl("search", request.query, "--vault", vault).stdout
    await caller.memory.SettleMemoryLink(
        memory.SettleMemoryLinkRequest(newer=second.cube.name, older=first.cube.name, kind=memory.LINK_KIND_UNRELATED)
    )
    reopened = (await caller.memory.GetMemory(memory.GetMemoryRequest(name=first.cube.name))).cube
    assert not reopened.HasField("valid_until")
    (told,) = json.loads(system.memosctl("links", first.cube.name, "--json").stdout)["links"]
    assert (told["kind"], told["evidence"]) == ("LINK_KIND_UNRELATED", 1.0)


async def test_what_was_said_before_can_be_kept(caller, vault):
    await add(caller, vault, "Nora drives a Toyota.")
    (second,) = await add(caller, vault, "Nora has traded the old car for a Honda.", keep_earlier=True)
    assert not second.links


async def test_the_same_in_other_words_is_linked_and_both_hold(system, caller, vault):
    (first,) = await add(caller, vault, "Nora lives in Oslo.")
    (second,) = await add(caller, vault, "Nora is living in Oslo.")
    assert [(link.older, link.kind) for link in second.links] == [(first.cube.name, memory.LINK_KIND_RESTATES)]
    assert 0.8 <= second.links[0].evidence <= 1
    request = memory.SearchMemoriesRequest(vaults=[vault], query="Where does Nora live?")
    assert {hit.superseded_by for hit in (await caller.memory.SearchMemories(request)).hits} == {""}
    assert "restates" in system.memosctl("links", second.cube.name).stdout


async def test_the_same_words_are_one_memory(caller, vault):
    (first,) = await add(caller, vault, "The gate code is 4711.")
    (again,) = await add(caller, vault, "the gate code is 4711")
    assert (again.created, again.cube.name) == (False, first.cube.name)


async def test_what_cannot_be_settled_is_refused(caller, vault):
    (one,) = await add(caller, vault, "The gate code is 4711.")

    async def refused(code, reason, **fields):
        call = caller.memory.SettleMemoryLink(memory.SettleMemoryLinkRequest(**fields.pop("request")))
        await caller.refused(call, code, reason, **fields)

    same = {"newer": one.cube.name, "older": one.cube.name, "kind": memory.LINK_KIND_SUPERSEDES}
    await refused(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", request=same, field="older")
    strange = {**same, "older": "tenants/local/cubes/nobody"}
    await refused(StatusCode.NOT_FOUND, "CUBE_NOT_FOUND", request=strange)
    untold = {"newer": one.cube.name, "older": one.cube.name}
    await refused(StatusCode.INVALID_ARGUMENT, "MISSING_FIELD", request=untold, field="kind")
