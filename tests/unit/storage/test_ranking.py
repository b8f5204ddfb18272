"""How what was found is ranked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from memos_kernel.cube import Plaintext, SourceSpan
from memos_kernel.errors import InvalidField
from memos_kernel.token_codes import QueryTokens, pack_tokens, rotation, to_bytes
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.fusion import DENSE, LEXICAL
from memos_storage.domain.pool import Pool, Seen, SeenTurn, VaultWords, standardized
from memos_storage.domain.turns import Mark, Role, Turn
from memos_storage.domain.values import Vector
from storage_cubes import DIMENSIONS, EMBEDDER, NOW, vector
from storage_world import mutation

STAGES = (
    *("neighbours", "speaker", "form", "late_interaction", "time", "validity", "hops", "sessions"),
    *("identifiers", "updates"),
)
BEGIN = datetime(2025, 5, 1, 10, 0, tzinfo=UTC)


async def talk(world, *lines, session="s1", at=BEGIN):
    """Store lines of `Speaker: text` as turns of one conversation, and return the cubes."""
    cubes = []
    for minute, line in enumerate(lines):
        speaker, _, text = line.partition(": ")
        source = SourceSpan(speaker=speaker, session=session, event_time=at + timedelta(minutes=minute), role="user")
        cubes.append(await world.add(text, seed=1, sources=(source,)))
    return cubes


async def chat(world, *lines, session="c1"):
    """Store lines of `role: text` as turns of one chat with an assistant."""
    cubes = []
    for minute, line in enumerate(lines):
        role, _, text = line.partition(": ")
        source = SourceSpan(speaker=role, role=role, session=session, event_time=BEGIN + timedelta(minutes=minute))
        cubes.append(await world.add(text, seed=1, sources=(source,)))
    return cubes


def texts(found):
    return [hit.cube.text for hit in found.hits]


def stage(found, name):
    (result,) = [result for result in found.stages if result.name == name]
    return result


async def test_an_answer_is_found_by_the_question_before_it(world):
    await talk(world, "Nora: Which instrument do you play these days?", "Tom: The cello, badly.", "Nora: Ha!")
    await talk(world, "Tom: My bicycle broke.", "Nora: Again?", session="s2")
    found = await world.search("Which instrument does Tom play?")
    assert texts(found)[0] == "The cello, badly."
    assert found.hits[0].fused.legs == {"lexical": pytest.approx(found.hits[0].fused.legs["lexical"])}
    assert found.hits[0].fused.features["context"] > found.hits[0].fused.features["lexical"]
    alone = await world.search("Which instrument does Tom play?", without=frozenset({"neighbours"}))
    assert "context" not in alone.hits[0].fused.features
    assert not stage(alone, "neighbours").ran


async def test_a_neighbour_that_shares_no_word_comes_in(world):
    await talk(world, "Nora: Which instrument?", "Tom: Cello.", "Nora: Ha!")
    assert "Cello." in texts(await world.search("instrument"))
    assert texts(await world.search("instrument", without=frozenset({"neighbours"}))) == ["Which instrument?"]


async def test_turns_that_the_filter_excludes_take_no_places(world):
    for number in range(60):
        lines = ("Bob: heron so", "Bob: heron no", f"Alice: heron {number}", "Bob: heron yes", "Bob: heron ah")
        await talk(world, *(f"{line} {number}" for line in lines), session=f"s{number}")
    only = CubeFilter(speakers=frozenset({"Alice"}))
    for top_k in (10, 50):
        found = await world.search("What did Bob say of the heron?", filter=only, top_k=top_k)
        assert len(found.hits) == top_k
        assert all(hit.cube.sources[0].speaker == "Alice" for hit in found.hits)
        assert all(hit.fused.features for hit in found.hits)


async def test_whom_the_query_names_has_said_it(world):
    await talk(world, "Nora: I painted a heron and a lake.", "Tom: I painted a heron and a lake too.")
    found = await world.search("What did Tom paint?")
    assert texts(found)[0].endswith("too.")
    found = await world.search("What did NORA's brush paint?")
    assert texts(found)[0].endswith("lake.")
    assert stage(found, "speaker").ran


@pytest.mark.parametrize(
    ("query", "nora", "tom"),
    [
        ("What did Nora show Tom?", 1.0, 0.4),
        ("What did Tom show Nora Li?", 0.4, 1.0),
        ("What did Nora Li and Tom paint?", 1.0, 1.0),
        ("What did Tom, or Nora paint?", 1.0, 1.0),
        ("What did Li paint?", 1.0, 0.0),
        ("Tom和Nora画了什么", 1.0, 1.0),
    ],
)
async def test_who_is_named_first_has_done_it(world, query, nora, tom):
    await talk(world, "Nora Li: I painted a heron, 画", "Tom: I painted a lake, 画", "Eve: Is this paint, 画?")
    found = await world.search(query)
    values = {hit.cube.text.split()[-2]: hit.fused.features["speaker"] for hit in found.hits}
    assert (values["heron,"], values["lake,"], values["paint,"]) == (nora, tom, 0.0)


@pytest.mark.parametrize(
    ("speaker", "query", "named"),
    [
        ("José", "What did Jose\u0301 paint?", True),
        ("ＮＡＤＩＡ", "what did nadia paint", True),
        ("Will", "When will Tom paint?", False),
        ("Will", "What did Will paint?", True),
        ("小明", "小明画了什么", True),
        ("An Li", "Is this an egg?", False),
    ],
)
async def test_a_name_is_known_as_it_is_written(world, speaker, query, named):
    await talk(
        world, f"{speaker}: I painted an egg, 画", "Tom: I painted 小 an egg, 画 too", "Tom: Is this paint? 画什么"
    )
    found = await world.search(query)
    values = {hit.cube.text: hit.fused.features.get("speaker", 0.0) for hit in found.hits}
    assert (values["I painted an egg, 画"] == 1.0) is named


async def test_a_month_in_the_query_is_that_of_the_turn(world):
    for month in (3, 5, 9):
        at = BEGIN.replace(month=month)
        await talk(world, f"Nora: The concert of number {month} was loud.", session=f"s{month}", at=at)
    for month, name in ((3, "March"), (5, "May"), (9, "September")):
        found = await world.search(f"Which concert was loud in {name} 2025?")
        assert texts(found)[0] == f"The concert of number {month} was loud."
    without = await world.search("Which concert in May 2025?", without=frozenset({"time"}))
    assert "time" not in without.hits[0].fused.features


async def test_yesterday_is_that_of_the_callers_zone(world):
    world.clock.time = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)  # in Auckland it is the 11th, half past twelve
    for hour, name in ((8, "first"), (14, "second")):
        at = datetime(2026, 3, 9, hour, tzinfo=UTC)
        await talk(world, f"Nora: The {name} parade was loud.", session=name, at=at)
    near = {}
    for zone in ("UTC", "Pacific/Auckland"):
        found = await world.search("Which parade was loud yesterday?", zone=ZoneInfo(zone))
        near[zone] = {hit.cube.text: hit.fused.features["time"] for hit in found.hits}
    assert set(near["UTC"].values()) == {1.0}
    assert near["Pacific/Auckland"]["The second parade was loud."] == 1.0
    assert near["Pacific/Auckland"]["The first parade was loud."] < 1.0


async def test_at_the_first_day_that_there_is_any_zone_is_answered(world):
    await world.add("The parade was loud yesterday.", seed=1)
    first = datetime(1, 1, 1, tzinfo=UTC)
    found = await world.search("Which parade was loud yesterday?", as_of=first, zone=ZoneInfo("America/New_York"))
    assert found.hits == ()


async def test_relative_times_count_from_the_moment_that_is_asked_about(world):
    await talk(world, "Nora: The parade was loud.", session="s1", at=NOW - timedelta(days=1))
    await talk(world, "Nora: The parade was loud as well.", session="s2", at=NOW - timedelta(days=40))
    assert texts(await world.search("Which parade was loud yesterday?"))[0] == "The parade was loud."


async def test_beside_an_assistant_the_user_is_believed_and_nothing_is_read_around(world):
    answer = "Allergies to cashews, kiwi and shrimp are common; ask a doctor about an allergy before a meal of food. "
    await chat(
        world,
        "user: How do I cook rice? I have an allergy to kiwi by the way.",
        f"assistant: {answer * 3}",
        "user: And noodles?",
        f"assistant: {answer * 2}",
    )
    found = await world.search("Which food am I allergic to, which allergy do I have?")
    assert texts(found)[0].startswith("How do I cook rice?")
    assert "context" not in found.hits[0].fused.features
    assert found.hits[0].fused.features["role"] == 1.0


async def test_without_any_stage_the_order_is_that_of_the_legs(world):
    await talk(world, "Nora: The heron stands.", "Tom: A heron and another heron fly.")
    found = await world.search("heron", vector=vector(1), without=frozenset(STAGES))
    assert [hit.fused.features for hit in found.hits] == [{}, {}]
    assert all(not result.ran and result.reason for result in found.stages)
    assert not found.degraded


@pytest.mark.parametrize(("left", "stays"), [("dense", "lexical"), ("lexical", "pending")])
async def test_a_leg_can_be_left_out_and_nothing_is_degraded(world, left, stays):
    await world.add("heron", seed=1)
    found = await world.search("heron", vector=vector(1), without=frozenset({left}))
    assert [leg.name for leg in found.legs if leg.ran and leg.scores] == [stays]
    assert not found.degraded
    assert left not in found.hits[0].fused.features
    assert "context" not in found.hits[0].fused.features or left != "lexical"


@pytest.mark.parametrize(
    ("without", "message"), [({"colour"}, "colour"), ({"dense", "lexical"}, "keep one"), ({"pending"}, "there are")]
)
async def test_what_cannot_be_left_out_is_refused(world, without, message):
    with pytest.raises(InvalidField, match=message) as refused:
        await world.search("heron", without=frozenset(without))
    assert refused.value.field == "ranking.without"


async def test_a_budget_takes_the_best_that_fit(world):
    await world.add("heron " * 40, seed=1)
    await world.add("one heron", seed=2)
    await world.add("a heron there", seed=3)
    whole = await world.search("heron")
    assert len(whole.hits) == 3
    assert not [result for result in whole.stages if result.name == "token_budget"]
    found = await world.search("heron", token_budget=7)
    assert sorted(texts(found)) == ["a heron there", "one heron"]
    assert stage(found, "token_budget").candidates == 2
    none = await world.search("heron", token_budget=1)
    assert none.hits == ()
    assert "no memory fits into 1 tokens; the smallest that was found has about 3" in stage(none, "token_budget").reason
    with pytest.raises(InvalidField, match="token_budget"):
        await world.search("heron", token_budget=-1)


async def test_a_code_of_the_query_that_few_texts_have_comes_first(world):
    for number in range(12):
        await world.add(f"the parcel of customer {number} was sent", seed=1)
    wanted = await world.add("X4711B was handed to the neighbour", seed=9)
    query = "where is the parcel of customer x4711b"
    found = await world.search(query, vector=vector(1))
    assert found.hits[0].cube == wanted
    assert [hit.fused.features["identifiers"] for hit in found.hits[:2]] == [1.0, 0.0]
    assert found.hits[0].fused.score > found.hits[1].fused.score
    without = await world.search(query, vector=vector(1), without=frozenset({"identifiers"}))
    assert without.hits[0].cube != wanted
    others = [[hit.cube for hit in answer.hits if hit.cube != wanted][:5] for answer in (found, without)]
    assert others[0] == others[1]


async def test_a_text_with_one_of_two_codes_is_before_all_that_have_none(world):
    for number in range(12):
        await world.add(f"the parcel of customer {number} was sent", seed=1)
    first = await world.add("X4711B lay in the shed", seed=9)
    second = await world.add("Y8822C lay in the attic", seed=9)
    both = await world.add("Y8822C and X4711B are gone", seed=9)
    found = await world.search("which customer has parcel x4711b and which has y8822c", vector=vector(1))
    assert found.hits[0].cube == both
    assert [hit.cube for hit in found.hits[1:3]] in ([first, second], [second, first])
    assert [hit.fused.features["identifiers"] for hit in found.hits[:4]] == [1.0, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("top_k", [10, 100])
async def test_what_a_leg_is_surest_of_is_ranked_however_many_are_wanted(world, top_k):
    for number in range(300):
        await world.add(f"the parcel of customer {number} was sent", seed=1)
    wanted = await world.add("X4711B went away", seed=9)
    found = await world.search("where is the parcel of the customer x4711b", vector=vector(1), top_k=top_k)
    assert found.hits[0].cube == wanted


@pytest.mark.parametrize(
    "number",
    [
        "2023",
        "1848",
        "1645",
        "1800s",
        "10am",
        "20th",
        "42",
        "1500",
        "100km",
        "250ml",
        "128gb",
        "1080p",
        "30days",
        "500mg",
        "250c",
    ],
)
async def test_years_times_and_amounts_are_no_codes(world, number):
    await world.add(f"nora said something of {number}", seed=9)
    await world.add("the parcel was sent", seed=1)
    found = await world.search(f"which parcel has {number}", vector=vector(1))
    assert len(found.hits) == 2
    assert all("identifiers" not in hit.fused.features for hit in found.hits)


@pytest.mark.parametrize("code", ["4711", "X4711B", "zq04f", "iphone15", "8822c", "b2b4", "120394"])
async def test_numbers_and_codes_that_are_nothing_else_are_codes(world, code):
    await world.add(f"nora said something of {code}", seed=9)
    await world.add("the parcel was sent", seed=1)
    found = await world.search(f"which parcel has {code}", vector=vector(1))
    assert found.hits[0].fused.features["identifiers"] == 1.0


async def test_a_code_that_many_texts_have_tells_nothing(world):
    for number in range(4):
        await world.add(f"the iphone15 of customer {number} is here", seed=number)
    found = await world.search("the iphone15", vector=vector(1))
    assert len(found.hits) == 4
    assert all("identifiers" not in hit.fused.features for hit in found.hits)


def coded(*words, tokens=None):
    """Return a vector with codes of some words; every word has a vector of its own."""
    table = np.random.default_rng(7).standard_normal((20, DIMENSIONS)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    rotated = table[list(words)] @ rotation(DIMENSIONS)
    codes = to_bytes(pack_tokens(rotated), DIMENSIONS) if tokens is None else tokens
    return Vector(EMBEDDER, vector(1).values, codes), rotated


async def test_vectors_of_tokens_tell_texts_of_equal_words_and_vectors_apart(world):
    await world.add("the grey bird", vector=coded(1, 2, 3)[0])
    await world.add("the grey beak", vector=coded(4, 5, 6)[0])
    asked = QueryTokens(coded(1, 2)[1], ("the", "grey"))
    found = await world.search("the grey", vector=vector(1), tokens=asked)
    assert texts(found)[0] == "the grey bird"
    assert stage(found, "late_interaction").ran
    late = [hit.fused.features["late_interaction"] for hit in found.hits]
    assert late[0] > late[1]


async def test_vectors_of_another_codebook_are_as_if_there_were_none(world):
    codes = coded(1, 2)[0].tokens
    await world.add("grey one", vector=coded(1, 2)[0])
    await world.add("grey two", vector=replace(coded(1, 2)[0], tokens=bytes([7]) + codes[1:]))
    found = await world.search("grey", vector=vector(1), tokens=QueryTokens(coded(1, 2)[1], ("grey", "grey")))
    one, two = (hit.fused.features["late_interaction"] for hit in found.hits)
    assert one == two


async def test_texts_without_vectors_of_tokens_are_neither_first_nor_last_for_it(world):
    await world.add("grey one", vector=coded(1, 2)[0])
    await world.add("grey two", vector=coded(4, 5)[0])
    await world.add("grey three", vector=coded(1, tokens=b"")[0])
    asked = QueryTokens(coded(1, 2)[1], ("grey", "grey"))
    found = await world.search("grey", vector=vector(1), tokens=asked)
    values = {hit.cube.text: hit.fused.features["late_interaction"] for hit in found.hits}
    assert values["grey one"] > values["grey three"] > values["grey two"]
    assert stage(found, "late_interaction").reason == "1 of the candidates have no vectors of tokens"
    assert not found.degraded


async def test_without_an_embedder_the_words_are_ranked(world):
    await talk(world, "Nora: Which instrument?", "Tom: Cello.")
    found = await world.search("Which instrument does Tom play?")
    assert texts(found)[0] == "Cello."
    assert stage(found, "late_interaction").reason == "the query has no vectors of tokens"


async def test_of_the_past_nothing_around_is_read(world):
    await talk(world, "Nora: Which instrument?", "Tom: Cello.")
    world.clock.advance(seconds=60)
    found = await world.search("instrument", as_of=world.clock.now() - timedelta(seconds=30))
    assert texts(found) == ["Which instrument?"]
    assert "then is not kept" in stage(found, "neighbours").reason


async def test_of_the_past_a_text_is_ranked_as_it_was(world):
    await world.add("grey one", vector=coded(1, 2)[0])
    changed = await world.add("grey grey two", vector=coded(4, 5)[0])
    then = world.clock.now()
    world.clock.advance(seconds=60)
    new = replace(changed, payload=Plaintext("now the same as the first"))
    await world.update(new, mask=["plaintext.text"], vector=coded(1, 2)[0], mutation=mutation())
    asked = QueryTokens(coded(1, 2)[1], ("grey", "grey"))
    found = await world.search("grey", vector=vector(1), tokens=asked, as_of=then)
    features = {hit.cube.text: hit.fused.features for hit in found.hits}
    assert features["grey grey two"]["lexical"] > features["grey one"]["lexical"]
    assert features["grey grey two"]["late_interaction"] == features["grey one"]["late_interaction"]  # the mean of one
    assert "length" not in features["grey one"]


async def test_what_a_text_tells_of_counts_as_when_it_was_said(world):
    await talk(world, "Nora: I ate soup yesterday.", session="s1", at=datetime(2025, 5, 8, 10, 0, tzinfo=UTC))
    await talk(world, "Nora: I ate rice last month.", session="s2", at=datetime(2025, 5, 7, 10, 0, tzinfo=UTC))
    await talk(world, "Nora: I ate bread.", session="s3", at=datetime(2025, 5, 1, 10, 0, tzinfo=UTC))
    for query, wanted in (("What did Nora eat in April 2025?", "rice"), ("What did Nora eat on 7 May 2025?", "soup")):
        found = await world.search(query)
        times = {hit.cube.text.split()[2].strip("."): hit.fused.features["time"] for hit in found.hits}
        assert times[wanted] == 1.0
        assert times["bread"] < 1.0
    (first,) = [hit.fused for hit in found.hits if "soup" in hit.cube.text]
    assert first.features["time"] == 1.0
    assert [(time.text, time.source) for time in found.times] == [("7 May 2025", None)]


async def concert(world):
    """Three days with what was eaten on each, and the concert on the second; return its cube."""
    tokens = {"concert": coded(1, 2)[0], "other": coded(4, 5)[0]}
    cubes = []
    for day, text in ((1, "I ate soup."), (10, "Now the concert begins."), (24, "I ate rice."), (60, "I ate bread.")):
        source = SourceSpan(speaker="Nora", session=f"s{day}", event_time=BEGIN + timedelta(days=day))
        cubes.append(
            await world.add(text, vector=tokens["concert" if "concert" in text else "other"], sources=(source,))
        )
    return cubes[1]


def asked(*words):
    """Vectors of words that meet those of the concert."""
    return QueryTokens(np.repeat(coded(1, 2)[1][:1], len(words), axis=0), words)


async def test_a_time_is_counted_from_what_is_told_of_an_event(world):
    event = await concert(world)
    words = ("ate", "two", "weeks", "after", "the", "concert")
    found = await world.search("ate two weeks after the concert", vector=vector(1), tokens=asked(*words))
    assert [(time.text, time.source) for time in found.times] == [("two weeks after the concert", event.name)]
    times = {hit.cube.text: hit.fused.features["time"] for hit in found.hits}
    assert times["I ate rice."] == 1.0
    assert max(times["I ate soup."], times["I ate bread."]) < 0.5
    before = await world.search("ate before the concert", vector=vector(1), tokens=asked("ate", *words[3:]))
    times = {hit.cube.text: hit.fused.features["time"] for hit in before.hits}
    assert times["I ate soup."] == 1.0 > times["I ate rice."] > times["I ate bread."]


async def test_of_several_times_that_are_told_the_one_next_to_the_event_counts(world):
    await concert(world)
    text = "Yesterday I bought tickets; the festival is on 12 June 2025."
    source = SourceSpan(speaker="Nora", session="s70", event_time=BEGIN)
    teller = await world.add(text, vector=coded(2, 7)[0], sources=(source,))
    tokens = QueryTokens(np.repeat(coded(2, 7)[1][:1], 4, axis=0), ("ate", "after", "the", "festival"))
    (asked_time,) = (await world.search("ate after the festival", vector=vector(2), tokens=tokens)).times
    assert (asked_time.source, asked_time.span.start) == (teller.name, datetime(2025, 6, 12, tzinfo=UTC))


async def test_an_event_that_no_memory_tells_of_is_told(world):
    await concert(world)
    words = ("ate", "after", "the", "wedding")
    nowhere = QueryTokens(coded(7, 7)[1], words[:2])
    for tokens in (nowhere, None):
        found = await world.search("ate after the wedding", vector=vector(1), tokens=tokens)
        assert found.times == ()
        assert stage(found, "time").reason == "no memory was found that tells of: the wedding"
        assert not found.degraded


async def test_what_holds_no_more_comes_behind_what_holds(world):
    year = {number: datetime(number, 1, 1, tzinfo=UTC) for number in (2020, 2022, 2024, 2090)}
    await world.add("The code of the gate was set to 4711.", seed=1, valid_until=year[2022])
    await world.add("The code of the gate is set to 1147.", seed=1, valid_from=year[2022], valid_until=year[2090])
    await world.add("The code of the gate will be set to 7411.", seed=1, valid_from=year[2090])
    now = await world.search("What is the code of the gate?")
    assert "1147" in texts(now)[0]
    assert [hit.fused.features["valid"] for hit in now.hits] == [1.0, 0.0, 0.0]
    then = await world.search("What was the code of the gate in May 2021?")
    assert "4711" in texts(then)[0]
    of_a_year = await world.search("What was the code of the gate in 2021?")
    assert {hit.cube.text.split()[-1]: hit.fused.features["valid"] for hit in of_a_year.hits}["1147."] == 0.0
    without = await world.search("What is the code of the gate?", without=frozenset({"validity"}))
    assert "valid" not in without.hits[0].fused.features


@pytest.mark.parametrize("query", ["the of and", "?!", "🙂🙃", "def f(x): return x", "ليس كذلك", "word " * 800])
async def test_any_text_can_be_asked(world, query):
    await talk(world, "Nora: Which instrument?", "Tom: Cello.")
    found = await world.search(query, vector=vector(1))
    assert len(found.hits) == 2


def pool_of(*turns):
    seen = [SeenTurn(str(number), turn, 0, ()) for number, turn in enumerate(turns)]
    return Pool([one.uid for one in seen], Seen.of(seen, {0: VaultWords(5.0, ())}, terms=0))


def line(speaker="nora", role=Role.USER, length=12, session="s"):
    return Turn(session, 0, speaker, role, length, Mark(0))


@pytest.mark.parametrize(
    ("turns", "low", "high"),
    [
        ([line()] * 4, 1.0, 1.0),
        ([line(length=400)] * 4, 0.05, 0.2),
        ([line("", Role.USER), line("", Role.ASSISTANT, 200)] * 2, 0.0, 0.0),
        ([line("", Role.OTHER, session="")] * 4, 0.0, 0.0),
        ([line(), line(), line(), line("", Role.OTHER, session="")], 0.7, 0.8),
        ([], 0.0, 0.0),
    ],
)
def test_how_much_it_is_a_talk(turns, low, high):
    assert low <= pool_of(*turns).talk <= high


def test_small_differences_among_few_stay_small():
    few = standardized(np.array([[0.50, 0.51], [2.0, 4.0]]), floors=[0.05, None])
    assert np.abs(few[0]).max() < 0.2
    assert few[1].tolist() == [2.0, 4.0]
    many = standardized(np.array([[0.1, 0.9] * 20]), floors=[0.05])
    assert np.abs(many).max() == pytest.approx(1.0, abs=0.02)


async def test_dense_candidates_have_the_score_of_their_words(world):
    await world.add("heron heron heron", seed=1)
    for number in range(3):
        await world.add(f"heron {number}", seed=2 + number)
    found = await world.search("heron", vector=vector(1))
    for hit in found.hits:
        assert hit.fused.features[LEXICAL] > 0
        assert DENSE in hit.fused.features
