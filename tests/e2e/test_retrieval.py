"""What a search finds in long chats of a user with an assistant, against its legs alone."""

from assistant_chats import assistant_chats
from memos_api.v1 import memory_service_pb2 as memory
from retrieval import BASELINES, STAGES, ask, ingest, measures


async def test_among_long_answers_all_stages_find_more_than_either_leg(system, caller, vault):
    (chat,) = assistant_chats(chats=1, sessions=24)
    await ingest(caller, chat, vault)
    await system.settled(caller)
    found = {}
    arms = {"default": (), **BASELINES, "without_neighbours": ("neighbours",)}
    for name, without in arms.items():
        answers, _, _ = await ask(caller, chat, vault, without=without)
        found[name] = measures(answers)
    assert found["default"]["recall@10"] >= max(found[leg]["recall@10"] for leg in ("bm25", "pooled_vectors"))
    assert found["default"]["mrr"] >= max(found[leg]["mrr"] for leg in ("bm25", "pooled_vectors"))
    assert found["default"]["recall@10"] >= found["without_neighbours"]["recall@10"]
    assert found["default"]["recall@10"] >= 80


async def test_an_answer_tells_what_each_stage_did_and_found(system, caller, vault):
    said = [("Nora", "Which instrument do you play?"), ("Tom", "The cello."), ("Nora", "Since when?"), ("Tom", "May.")]
    messages = [
        memory.Message(speaker=speaker, session="s1", time=f"2025-05-0{day}T10:00:00+00:00", text=text)
        for day, (speaker, text) in enumerate(said, 1)
    ]
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=messages))
    request = memory.SearchMemoriesRequest(vaults=[vault], query="Which instrument does Tom play?")
    answer = await caller.memory.SearchMemories(request)
    assert answer.hits[0].cube.plaintext.text == "The cello."
    assert [stage.name for stage in answer.stages] == list(STAGES)
    assert all(stage.ran and not stage.reason for stage in answer.stages)
    assert {"context", "dense", "late_interaction", "speaker"} <= set(answer.hits[0].features)
    ran = system.memosctl("search", request.query, "--vault", vault, "--without", "late_interaction", "--tokens", "3")
    assert "The cello." in ran.stdout
    assert "late_interaction: not run" in ran.stdout
    assert "token_budget: 1 in" in ran.stdout


async def test_a_stage_that_is_not_there_is_refused(caller, vault):
    from grpc import StatusCode

    request = memory.SearchMemoriesRequest(vaults=[vault], query="x", ranking=memory.Ranking(without=["taste"]))
    call = caller.memory.SearchMemories(request)
    await caller.refused(call, StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", field="ranking.without")
