"""What a search finds by its second hop, and how its hits hang together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.cube import Plaintext, SourceSpan
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.paths import Fact, topics
from memos_storage.domain.values import NewCube
from memos_storage.domain.walks import RareTerm, Way, most_texts, walk
from memos_storage.usecases.ranking import hops
from storage_cubes import MAIN, NOTES, NOW, vector, wanted
from storage_world import mutation

NOTES_OF_NORA = (
    "Nora works at Kestrel Labs.",
    "Kestrel Labs sits in a Bergen shipyard.",
    "Rain fell over the valley.",
    "A door creaked twice.",
    "Lunch was cold soup.",
    "The bus came late again.",
)
QUERY = "Where does Nora work?"


async def add(world, *texts, **fields):
    return [await world.add(text, seed=number, **fields) for number, text in enumerate(texts, 1)]


def texts(found):
    return [hit.cube.text for hit in found.hits]


def stage(found, name):
    (result,) = [result for result in found.stages if result.name == name]
    return result


async def test_what_shares_only_a_rare_word_with_the_first_hit_is_found(world):
    first, second, *_ = await add(world, *NOTES_OF_NORA)
    found = await world.search(QUERY, without=frozenset({"dense"}))
    assert texts(found) == [first.text, second.text]
    origin = found.hits[1].origin
    assert (origin.way, origin.source, set(origin.words)) == (Way.SHARED_WORDS, first.name, {"Kestrel", "Labs"})
    assert found.hits[0].origin is None
    assert found.hits[1].fused.features["hop"] > 0
    alone = await world.search(QUERY, without=frozenset({"dense", "hops"}))
    assert texts(alone) == [first.text]
    assert not stage(alone, "hops").ran


async def test_the_walk_ends_at_what_the_query_excludes(world):
    first, second, *_ = await add(world, *NOTES_OF_NORA, labels={"team": "a"})
    await world.update(replace(second, labels={"team": "b"}), mask=["labels"], vector=None, mutation=mutation())
    only = CubeFilter(labels={"team": "a"})
    found = await world.search(QUERY, filter=only, without=frozenset({"dense"}))
    assert texts(found) == [first.text]
    assert "hop" not in found.hits[0].fused.features


async def test_what_is_not_selected_takes_no_place_from_what_is(world, monkeypatch):
    monkeypatch.setattr(hops, "ADDED", 1)
    first, second, *_ = await add(world, *NOTES_OF_NORA, labels={"team": "a"})
    await world.add("Kestrel Labs.", seed=8, labels={"team": "b"})  # shorter, so reached more strongly
    for number in range(20):
        await world.add(f"Filler of number {number}.", seed=9)
    both = await world.search(QUERY, without=frozenset({"dense"}))
    assert texts(both) == [first.text, "Kestrel Labs."]
    only = CubeFilter(labels={"team": "a"})
    found = await world.search(QUERY, filter=only, without=frozenset({"dense"}))
    assert texts(found) == [first.text, second.text]


async def test_of_the_past_nothing_is_walked(world):
    await add(world, *NOTES_OF_NORA)
    moment = world.clock.now()
    world.clock.advance(hours=1)
    found = await world.search(QUERY, as_of=moment, without=frozenset({"dense"}))
    assert stage(found, "hops").reason == "which words texts shared then is not kept"
    assert all(hit.origin is None for hit in found.hits)


async def test_answers_of_an_assistant_lead_nowhere(world):
    begin = datetime(2025, 5, 1, tzinfo=UTC)
    for minute, (role, text) in enumerate(
        zip(("user", "assistant", "assistant", "user", "assistant", "assistant"), NOTES_OF_NORA, strict=True)
    ):
        at = begin + timedelta(minutes=minute)
        source = SourceSpan(speaker=role, role=role, session="c1", event_time=at, message_id=str(minute))
        await world.add(text, seed=1, sources=(source,))
    found = await world.search("Nora, rain, door, lunch, bus", without=frozenset({"dense", "neighbours"}))
    assert set(texts(found)) == set(NOTES_OF_NORA) - {NOTES_OF_NORA[1]}


async def test_an_update_that_was_not_found_tells_what_it_supersedes(world):
    older, newer = "Nora lives in Oslo.", "Bergen it is."
    world.evidence[newer, older] = 0.9
    made = []
    for minutes, text in enumerate((older, newer)):
        at = SourceSpan(event_time=NOW + timedelta(minutes=minutes))
        item = NewCube(wanted(text, sources=(at,)), vector(minutes + 1))
        made += (await world.create([item], return_existing=True, supersede=True, mutation=mutation())).answer.outcomes
    found = await world.search("Oslo", without=frozenset({"dense", "hops"}))
    assert texts(found) == [newer, older]
    assert (found.hits[0].origin.way, found.hits[0].origin.source) == (Way.UPDATE, made[0].cube.name)


async def test_a_neighbour_tells_beside_what_it_stands(world):
    begin = datetime(2025, 5, 1, tzinfo=UTC)
    cubes = []
    for minute, (speaker, text) in enumerate((("Nora", "Which instrument?"), ("Tom", "Cello."))):
        at = begin + timedelta(minutes=minute)
        cubes.append(
            await world.add(text, seed=minute, sources=(SourceSpan(speaker=speaker, session="s", event_time=at),))
        )
    found = await world.search("instrument", without=frozenset({"dense"}))
    origin = found.hits[texts(found).index("Cello.")].origin
    assert (origin.way, origin.source, origin.words) == (Way.NEIGHBOUR, cubes[0].name, ())


async def test_several_good_turns_lift_their_conversation(world):
    begin = datetime(2025, 5, 1, tzinfo=UTC)
    lines = {
        "about": ("The heron stood in the pond.", "That pond heron again.", "Nothing more of it."),
        "other": ("My heron mug broke.", "I bought bread.", "Nothing more of bread."),
    }
    for session, said in lines.items():
        for minute, text in enumerate(said):
            at = begin + timedelta(minutes=minute)
            await world.add(text, seed=1, sources=(SourceSpan(speaker="Nora", session=session, event_time=at),))
    found = await world.search("the heron in the pond", top_k=6)
    value = {hit.cube.text: hit.fused.features["session"] for hit in found.hits}
    assert value["Nothing more of it."] == value["That pond heron again."] > value["My heron mug broke."]
    without = await world.search("the heron in the pond", without=frozenset({"sessions"}))
    assert "session" not in without.hits[0].fused.features


async def test_hits_are_told_as_topic_concept_and_fact(world):
    cubes = await add(world, *NOTES_OF_NORA)
    nora = await world.add(
        "I sail from Kestrel pier.", seed=9, sources=(SourceSpan(speaker="Nora", session="s1", message_id="m1"),)
    )
    found = await world.search("Who has to do with Kestrel?", paths=True, without=frozenset({"dense"}))
    tree = {
        path.about: [(named.word, [fact.name for fact in named.facts]) for named in path.concepts]
        for path in found.paths
    }
    assert tree["Nora"] == [("Kestrel", [nora.name, cubes[0].name])]
    assert tree["Kestrel Labs"][0][1] == [cubes[1].name]
    told = [fact.name for path in found.paths for named in path.concepts for fact in named.facts]
    assert sorted(told, key=str) == sorted((hit.cube.name for hit in found.hits), key=str)
    assert (await world.search("Kestrel")).paths == ()


async def test_nothing_found_has_no_topics(world):
    assert (await world.search("heron", paths=True)).paths == ()


async def test_the_tree_is_of_the_vaults_that_are_searched(world):
    await add(world, *NOTES_OF_NORA)
    await world.add("Kestrel Labs is closed.", seed=3, vault=NOTES)
    found = await world.search("Kestrel Labs", vaults=(MAIN,), paths=True)
    told = [fact.name for path in found.paths for named in path.concepts for fact in named.facts]
    assert sorted(told, key=str) == sorted((hit.cube.name for hit in found.hits), key=str)
    assert "Kestrel Labs is closed." not in texts(found)


async def test_of_the_past_no_word_of_a_later_text_is_told(world):
    cube = await world.add("Nora met Tarquin.", seed=1)
    moment = world.clock.now()
    world.clock.advance(hours=1)
    changed = replace(cube, payload=Plaintext("Nora met Zebedee secretly."))
    await world.update(changed, mask=["plaintext.text"], vector=vector(2), mutation=mutation())
    found = await world.search("Nora", as_of=moment, paths=True)
    assert texts(found) == ["Nora met Tarquin."]
    assert [(path.about, [named.word for named in path.concepts]) for path in found.paths] == [("Nora", [""])]


def test_facts_of_a_subject_are_together_and_those_that_share_most_first():
    facts = [
        Fact("a", "Nora", {"boat": 2.0, "oslo": 3.0}),
        Fact("b", "Tom", {"tuna": 3.0}),
        Fact("c", "nora", {"boat": 2.0}),
        Fact("d", "Nora", {}),
        Fact("e", "Nora", {"oslo": 3.0, "rain": 4.0}),
    ]
    tree = [
        (topic.about, [(one.word, [fact.name for fact in one.facts]) for one in topic.concepts])
        for topic in topics(facts)
    ]
    assert tree == [("Nora", [("oslo", ["a", "e"]), ("boat", ["c"]), ("", ["d"])]), ("Tom", [("tuna", ["b"])])]


def test_a_walk_adds_up_what_each_seed_shares():
    terms = [
        RareTerm("kestrel", 2.0, [("a", 4), ("b", 9)]),
        RareTerm("oslo", 1.0, [("b", 9), ("c", 16), ("a", 4)]),
    ]
    found = walk(terms, {"a": 1.0, "c": 0.5})
    assert found.scores["b"] == pytest.approx((4 + 1) / 2 / 3 + 0.5 / 4 / 3)
    assert found.scores["c"] == pytest.approx(1 / 2 / 4)
    assert found.scores["a"] == pytest.approx(0.5 / 4 / 2)
    steps = found.steps({"b", "a"})
    assert (steps["b"].source, steps["b"].terms) == ("a", ("kestrel", "oslo"))
    assert steps["a"].source == "c"


@pytest.mark.parametrize(("documents", "most"), [(0, 0), (3, 1), (4, 2), (40, 5), (10_000, 20)])
def test_how_common_a_word_may_be_grows_with_the_vault(documents, most):
    assert most_texts(documents) == most
