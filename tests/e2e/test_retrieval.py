"""What a search finds in long chats of a user with an assistant, against its legs alone."""

import random
from dataclasses import replace

from arrangements import in_one_process
from assistant_chats import assistant_chats
from bridge_facts import bridge_facts
from dated_notes import dated_notes
from memos_api.v1 import memory_service_pb2 as memory
from retrieval import BASELINES, STAGES, ask, by_category, ingest, measures

WORDS = ("river", "lantern", "copper", "orchard", "violin", "ladder", "harbour", "kettle", "meadow", "thimble", "anvil")
OTHERS = ("Rain fell over the valley.", "A door creaked twice.", "Lunch was cold soup.", "The bus came late again.")


@in_one_process
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


@in_one_process
async def test_the_second_hop_finds_what_the_question_does_not_name(caller, vault):
    facts = bridge_facts()
    await ingest(caller, facts, vault)
    found = {}
    for name, without in {"default": (), "without_hops": ("hops",), **BASELINES}.items():
        answers, _, _ = await ask(caller, facts, vault, without=without)
        found[name] = measures(answers)
    assert found["default"]["all@5"] >= 60
    assert all(found["default"]["all@5"] > 2 * found[name]["all@5"] for name in found.keys() - {"default"})


@in_one_process
async def test_times_are_read_and_counted_from_what_happened(caller, vault):
    diaries = dated_notes()
    await ingest(caller, diaries, vault)
    asked = replace(diaries, questions=diaries.questions[::2])
    found = {}
    for name, without in {"default": (), "without_time": ("time",)}.items():
        answers, _, _ = await ask(caller, asked, vault, without=without)
        found[name] = by_category(answers)
    for sort, least in {"date": 95, "distance": 90, "side": 80}.items():
        assert found["default"][sort]["recall@10"] >= least
        assert found["default"][sort]["mrr"] > 1.3 * found["without_time"][sort]["mrr"]


async def test_times_are_told_as_they_were_understood(system, caller, vault):
    said = [
        ("2025-03-01T21:00:00+02:00", "I saw the comet today."),
        ("2025-03-18T00:30:00+02:00", "I ate dumplings yesterday."),
        ("2025-05-20T10:00:00+02:00", "I ate pancakes."),
    ]
    messages = [memory.Message(speaker="Nora", session="s1", time=time, text=text) for time, text in said]
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=messages))
    query = "What did Nora eat two weeks after she saw the comet?"
    request = memory.SearchMemoriesRequest(vaults=[vault], query=query, time_zone="+02:00")
    answer = await caller.memory.SearchMemories(request)
    hits = {hit.cube.plaintext.text: hit for hit in answer.hits}
    assert answer.hits[0].cube.plaintext.text == said[1][1]
    (asked,) = answer.times
    assert (asked.text, asked.counted_from) == ("two weeks after she saw the comet", hits[said[0][1]].cube.name)
    (told,) = hits[said[1][1]].times
    assert (told.text, told.start_time.ToJsonString()) == ("yesterday", "2025-03-16T22:00:00Z")
    ran = system.memosctl("search", query, "--vault", vault, "--time-zone", "+02:00")
    assert "yesterday = 2025-03-17" in " ".join(ran.stdout.split())
    assert "after she saw the comet = 2025-03-12 to 2025-03-18" in " ".join(ran.stdout.split())
    async with system.client() as client:
        found = await client.search(query, vaults=[vault], time_zone="+02:00")
    assert found.times[0].counted_from == asked.counted_from
    assert found.hits[0].times[0].text == "yesterday"


async def test_the_hits_are_told_as_a_tree(system, caller, vault):
    notes = ["Nora works at Kestrel Labs.", "Kestrel Labs has its office in Bergen.", *OTHERS]
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=notes))
    request = memory.SearchMemoriesRequest(vaults=[vault], query="Where does Nora work?", paths=True)
    request.ranking.without.append("dense")
    answer = await caller.memory.SearchMemories(request)
    first, second, *_ = answer.hits
    assert [hit.cube.plaintext.text for hit in (first, second)] == notes[:2]
    assert (second.origin.way, second.origin.source) == (memory.SEARCH_WAY_SHARED_WORDS, first.cube.name)
    assert set(second.origin.words) == {"Kestrel", "Labs"}
    assert [topic.topic for topic in answer.topics] == ["Nora", "Kestrel Labs"]
    told = [name for topic in answer.topics for concept in topic.concepts for name in concept.facts]
    assert told == [hit.cube.name for hit in answer.hits]
    request.paths = False
    assert not (await caller.memory.SearchMemories(request)).topics
    ran = system.memosctl("search", request.query, "--vault", vault, "--without", "dense", "--tree")
    assert ran.stdout.startswith("Nora\n└── works\n")
    assert "\nKestrel Labs\n└── Bergen\n" in ran.stdout
    async with system.client() as client:
        found = await client.search(request.query, vaults=[vault], without=["dense"], paths=True)
    assert found.hits[1].origin.way == "shared_words"
    assert found.topics[0].topic == "Nora"


@in_one_process
async def test_a_text_is_the_first_hit_for_the_code_that_it_alone_has(system, caller, vault):
    """Vectors know nothing of such words, and near ones are not what was asked for."""
    rng = random.Random(11)
    codes = [f"zq{rng.getrandbits(44):011x}" for _ in range(150)]
    texts = [f"A remark on {code}: {' '.join(rng.sample(WORDS, 9))}." for code in codes]
    for first in range(0, len(texts), 50):
        await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=texts[first : first + 50]))
    await system.settled(caller)

    async def first_hit(query):
        request = memory.SearchMemoriesRequest(vaults=[vault], query=query, top_k=10)
        return (await caller.memory.SearchMemories(request)).hits[0].cube.plaintext.text

    for query in ("{}", "What did somebody remark on {} in the garden?"):
        missed = [code for code, text in zip(codes, texts, strict=True) if await first_hit(query.format(code)) != text]
        assert missed == []


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
    told = " ".join(ran.stdout.split())
    assert "The cello." in told
    assert "late_interaction: not run" in told
    assert "token_budget: 1 in" in told


async def test_a_stage_that_is_not_there_is_refused(caller, vault):
    from grpc import StatusCode

    request = memory.SearchMemoriesRequest(vaults=[vault], query="x", ranking=memory.Ranking(without=["taste"]))
    call = caller.memory.SearchMemories(request)
    await caller.refused(call, StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", field="ranking.without")
