"""New statements end the validity of earlier ones, or are marked as ones that may contradict them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.cube import Plaintext, SourceSpan, State
from memos_kernel.errors import CubeFrozen, CubeNotFound, InvalidField
from memos_kernel.memory_links import LinkKind
from memos_kernel.states import freeze
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import NewCube
from memos_storage.usecases.ranking.updates import DOUBTS
from storage_cubes import MAIN, NOTES, NOW, grant, said, vector, wanted
from storage_world import mutation

OSLO, BERGEN, PARIS = "Nora lives in Oslo.", "Nora moved to Bergen.", "Nora's home is Paris."
LIVES = "Nora is living in Oslo."
STRONG, WEAK = 0.9, 0.2


@pytest.fixture
def homes(world):
    """Evidence that each home takes the place of those before it."""
    world.evidence.update({(BERGEN, OSLO): STRONG, (PARIS, BERGEN): STRONG, (PARIS, OSLO): STRONG})
    return world


def new(text, *, minutes=0, seed=1, **fields):
    fields.setdefault("sources", (SourceSpan(event_time=NOW + timedelta(minutes=minutes)),))
    return NewCube(wanted(text, **fields), vector(seed))


async def tell(world, *items, return_existing=True, **options):
    made = await world.create(items, return_existing=return_existing, supersede=True, mutation=mutation(**options))
    for outcome in made.answer.outcomes:
        if outcome.error:
            raise outcome.error
    return made.answer.outcomes


async def until(world, outcome):
    return (await world.find(outcome.cube)).valid_until


async def test_strong_evidence_ends_the_validity_of_the_earlier_one(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    (link,) = second.links
    assert (link.newer, link.older, link.kind) == (second.cube.name, first.cube.name, LinkKind.SUPERSEDES)
    assert (link.evidence, link.decided_by) == (STRONG, None)
    assert await until(homes, first) == NOW + timedelta(minutes=5)
    assert await until(homes, second) is None
    assert await homes.links(first.cube.name, grant=grant(MAIN)) == [link]
    assert any(event.reason == f"{second.cube.name} supersedes it." for event in homes.catalog.tables.audit)


async def test_weak_evidence_marks_the_two_and_changes_neither(world):
    world.evidence[BERGEN, OSLO] = WEAK
    (first,) = await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    assert [link.kind for link in second.links] == [LinkKind.MAY_SUPERSEDE]
    assert await world.find(first.cube) == first.cube


async def test_the_same_in_other_words_is_linked_and_both_hold(world):
    world.evidence[LIVES, OSLO] = STRONG
    world.restated[LIVES, OSLO] = 0.9
    (first,) = await tell(world, new(OSLO))
    (second,) = await tell(world, new(LIVES, minutes=5))
    assert [(link.kind, link.evidence) for link in second.links] == [(LinkKind.RESTATES, 0.9)]
    assert await world.find(first.cube) == first.cube
    found = await world.search("Where does Nora live?")
    assert {(hit.cube.text, hit.fused.superseded_by) for hit in found.hits} == {(OSLO, None), (LIVES, None)}


async def test_what_is_said_again_in_another_form_outdates_what_had_outdated_it(homes):
    homes.restated[LIVES, OSLO] = 0.9
    first, second = await tell(homes, new(OSLO), new(BERGEN, minutes=5))
    (third,) = await tell(homes, new(LIVES, minutes=9))
    assert await until(homes, second) == NOW + timedelta(minutes=9)
    assert await until(homes, first) == NOW + timedelta(minutes=5)
    kinds = {(link.older, link.kind) for link in third.links}
    assert kinds == {(first.cube.name, LinkKind.RESTATES), (second.cube.name, LinkKind.SUPERSEDES)}


async def test_what_it_outdates_comes_before_what_it_says_again(homes):
    notes = [f"Nora lives in Oslo, number {number}." for number in range(4)]
    for note in notes:
        homes.restated[BERGEN, note] = 0.95
    await tell(homes, new(OSLO), *(new(note) for note in notes))
    (last,) = await tell(homes, new(BERGEN, minutes=5))
    assert LinkKind.SUPERSEDES in {link.kind for link in last.links}


async def test_who_asks_for_a_time_gets_what_held_then(homes):
    long_ago = [said("", at=datetime(year, 3, 1, tzinfo=UTC)) for year in (2022, 2024)]
    await tell(homes, *(new(text, sources=(source,)) for text, source in zip((OSLO, BERGEN), long_ago, strict=True)))
    for query, first in (
        ("Where does Nora live?", BERGEN),
        ("Where did Nora live in May 2023?", OSLO),
        ("Where did Nora live in May 2025?", BERGEN),
        ("Where did Nora live before 2024?", OSLO),
    ):
        found = await homes.search(query)
        assert found.hits[0].cube.text == first, query
    found = await homes.search("Where did Nora live in May 2023?")
    assert [hit.fused.features["valid"] for hit in found.hits] == [1.0, 1.0]


async def test_in_a_talk_it_takes_more_evidence(world):
    for evidence, links in ((0.2, 0), (0.4, 1)):
        texts = f"Nora lives in Oslo {evidence}.", f"Nora moved {evidence}."
        world.evidence[texts[1], texts[0]] = evidence
        sources = [(said("Tom", session="s1", at=NOW + timedelta(minutes=minute)),) for minute in range(2)]
        *_, second = await tell(world, *(new(text, sources=one) for text, one in zip(texts, sources, strict=True)))
        assert len(second.links) == links


async def test_no_evidence_makes_no_link(world):
    await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    assert second.links == ()


async def test_nothing_is_judged_unless_it_is_asked_for(homes):
    (first,) = await tell(homes, new(OSLO))
    made = await homes.create([new(BERGEN, minutes=5)], return_existing=True, mutation=mutation())
    assert made.answer.outcomes[0].links == ()
    assert await until(homes, first) is None


async def test_of_three_each_ends_with_the_next(homes):
    homes.evidence.pop((PARIS, BERGEN))  # the third is like the first; that it ends the second follows from the chain
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    (third,) = await tell(homes, new(PARIS, minutes=9))
    ends = [await until(homes, one) for one in (first, second, third)]
    assert ends == [NOW + timedelta(minutes=5), NOW + timedelta(minutes=9), None]
    assert {link.older for link in third.links} == {first.cube.name, second.cube.name}


async def test_what_was_told_earlier_is_outdated_whenever_it_is_stored(homes):
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    (first,) = await tell(homes, new(OSLO))
    assert first.cube.valid_until == NOW + timedelta(minutes=5)
    assert [(link.newer, link.older) for link in first.links] == [(second.cube.name, first.cube.name)]
    assert await until(homes, second) is None


async def test_statements_of_one_call_are_compared_with_each_other(homes):
    first, second = await tell(homes, new(OSLO), new(BERGEN, minutes=5))
    assert await until(homes, first) == NOW + timedelta(minutes=5)
    assert second.links or first.links


async def test_a_frozen_one_is_only_linked(homes):
    (first,) = await tell(homes, new(OSLO))
    await homes.catalog.write(lambda tx: tx.replace(freeze(first.cube)))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    assert second.links[0].kind is LinkKind.SUPERSEDES
    assert await until(homes, first) is None


async def test_an_end_that_comes_sooner_stays(homes):
    early = NOW + timedelta(minutes=1)
    (first,) = await tell(homes, new(OSLO, valid_until=early))
    await tell(homes, new(BERGEN, minutes=5))
    assert await until(homes, first) == early


@pytest.mark.parametrize(
    "other",
    [
        {"text": "Does Nora live in Oslo?"},
        {"text": " ".join(["long"] * 81)},
        {"sources": (SourceSpan(role="assistant", event_time=NOW),)},
    ],
    ids=["a question", "a long text", "an assistant's answer"],
)
async def test_what_is_no_statement_is_not_judged(world, other):
    text = other.pop("text", OSLO)
    world.evidence[BERGEN, text] = STRONG
    (first,) = await tell(world, new(text, **other))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    assert second.links == ()
    assert await until(world, first) is None


async def test_what_two_people_say_of_themselves_is_not_about_the_same(world):
    mine, yours = "I live in Oslo.", "I moved to Bergen."
    world.evidence[yours, mine] = STRONG
    await tell(world, new(mine, sources=(said("Nora", at=NOW),)))
    (other,) = await tell(world, new(yours, sources=(said("Tom", at=NOW + timedelta(minutes=5)),)))
    (same,) = await tell(world, new(yours, sources=(said("Nora", at=NOW + timedelta(minutes=6)),)))
    assert other.links == ()
    assert [link.kind for link in same.links] == [LinkKind.SUPERSEDES]


async def test_what_two_owners_write_of_themselves_is_not_about_the_same(world):
    mine, yours = "I live in Oslo.", "I moved to Bergen."
    world.evidence[yours, mine] = STRONG
    other = replace(grant(MAIN), principal=replace(grant(MAIN).principal, id="zoe"))
    await tell(world, new(mine))
    (told,) = await tell(world, new(yours, minutes=5), by=other)
    assert told.links == ()
    (told,) = await tell(world, new(yours, minutes=6))
    assert [link.kind for link in told.links] == [LinkKind.SUPERSEDES]


async def test_other_vaults_are_not_touched(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5, vault=NOTES), by=grant(NOTES))
    assert second.links == ()
    assert await until(homes, first) is None


def plain(text, **fields):
    """A text that nobody said at a time, as AddMemories makes it."""
    return new(text, **{"sources": (SourceSpan(message_id=f"m-{text.casefold()}"),), **fields})


async def test_the_same_words_are_not_stored_twice(world):
    (first,) = await tell(world, plain(OSLO))
    (again,) = await tell(world, plain("nora lives, in oslo"))
    assert (again.created, again.cube.uid) == (False, first.cube.uid)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I like C++.", "I like C#."),
        ("It costs $5.", "It costs €5."),
        ("It is -5 degrees.", "It is 5 degrees."),
        ("👍", "🎉"),
    ],
)
async def test_other_words_are_another_memory(world, one, other):
    await tell(world, plain(one))
    (second,) = await tell(world, plain(other))
    assert second.created


async def test_what_is_said_at_two_times_are_two_memories(world):
    await tell(world, new("I ran 5 km today."))
    (again,) = await tell(world, new("I ran 5 km today.", minutes=2_880))
    assert again.created


@pytest.mark.parametrize(
    "other",
    [
        {"sources": (said("", session="s1"),)},
        {"labels": {"source": "crm"}},
        {"expire_time": NOW + timedelta(days=1)},
        {"sources": (said("Tom"),)},
    ],
    ids=["in a conversation", "filed otherwise", "for a time", "somebody else"],
)
async def test_the_same_words_elsewhere_are_another_memory(world, other):
    await tell(world, plain(OSLO))
    (again,) = await tell(world, plain("nora lives in oslo", **other))
    assert again.created


@pytest.mark.parametrize("words", [OSLO, "nora lives in oslo"])
async def test_words_that_are_over_are_said_anew(homes, words):
    plain = (SourceSpan(message_id="m-1"),)
    (first,) = await tell(homes, new(OSLO, sources=plain))
    homes.clock.advance(minutes=5)
    (second,) = await tell(homes, new(BERGEN, sources=(SourceSpan(message_id="m-2"),)))
    homes.clock.advance(minutes=4)
    (back,) = await tell(homes, new(words, sources=plain))
    assert back.created
    assert [(link.older, link.kind) for link in back.links] == [(second.cube.name, LinkKind.SUPERSEDES)]
    assert await until(homes, second) == NOW + timedelta(minutes=9)
    assert await until(homes, first) == NOW + timedelta(minutes=5)
    assert await until(homes, back) is None


async def test_what_is_over_may_be_said_anew_many_times(homes):
    homes.evidence[OSLO, BERGEN] = STRONG
    made = []
    for number in range(7):
        text, message = ((OSLO, "m-1"), (BERGEN, "m-2"))[number % 2]
        (outcome,) = await tell(homes, new(text, sources=(SourceSpan(message_id=message),)))
        assert outcome.created
        assert await until(homes, outcome) is None
        made.append(outcome)
        homes.clock.advance(minutes=5)
    assert [await until(homes, outcome) is None for outcome in made] == [False] * 6 + [True]
    (again,) = await tell(homes, new(OSLO, sources=(SourceSpan(message_id="m-1"),)))
    assert (again.created, again.cube.uid) == (False, made[-1].cube.uid)


async def test_a_message_that_comes_again_is_the_same_though_it_is_over(homes):
    (first,) = await tell(homes, new(OSLO, sources=(said("Tom", at=NOW),)))
    await tell(homes, new(BERGEN, minutes=5))
    (again,) = await tell(homes, new(OSLO, sources=(said("Tom", at=NOW),)))
    assert (again.created, again.cube.uid) == (False, first.cube.uid)


async def test_a_request_that_comes_again_is_answered_with_its_links(homes):
    await tell(homes, new(OSLO))
    item = new(BERGEN, minutes=5)
    (made,) = await tell(homes, item, request_id="r1")
    (again,) = await tell(homes, item, request_id="r1")
    assert again.links == made.links
    assert made.links


async def settle(world, newer, older, kind, **options):
    return await world.settle_link(newer.cube.name, older.cube.name, kind=kind, mutation=mutation(**options))


async def test_a_wrong_judgement_is_taken_back(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    link = await settle(homes, second, first, LinkKind.UNRELATED)
    assert (link.kind, link.evidence, link.decided_by) == (LinkKind.UNRELATED, 1.0, grant(MAIN).principal)
    assert await until(homes, first) is None
    (again,) = await homes.links(second.cube.name, grant=grant(MAIN))
    assert again.kind is LinkKind.UNRELATED


async def test_an_end_that_somebody_set_meanwhile_stays(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    own = replace(await homes.find(first.cube), valid_until=NOW + timedelta(days=3), etag="")
    await homes.update(own, mask=("valid_until",), vector=None, mutation=mutation())
    await settle(homes, second, first, LinkKind.UNRELATED)
    assert await until(homes, first) == NOW + timedelta(days=3)


async def test_a_doubt_is_confirmed(world):
    world.evidence[BERGEN, OSLO] = WEAK
    (first,) = await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    await settle(world, second, first, LinkKind.SUPERSEDES, request_id="r1")
    again = await settle(world, second, first, LinkKind.SUPERSEDES, request_id="r1")
    assert again.kind is LinkKind.SUPERSEDES
    assert await until(world, first) == NOW + timedelta(minutes=5)


async def test_what_cannot_be_settled_is_refused(world):
    (first,) = await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    (other,) = await tell(world, new(PARIS, vault=NOTES), by=grant(NOTES))
    with pytest.raises(InvalidField, match="same cube"):
        await settle(world, first, first, LinkKind.SUPERSEDES)
    with pytest.raises(CubeNotFound):
        await settle(world, first, other, LinkKind.SUPERSEDES)
    with pytest.raises(InvalidField, match="not in the vault"):
        await settle(world, first, other, LinkKind.SUPERSEDES, by=grant(MAIN, NOTES))
    with pytest.raises(CubeNotFound):
        await world.links(other.cube.name, grant=grant(MAIN))
    await world.catalog.write(lambda tx: tx.replace(freeze(first.cube)))
    with pytest.raises(CubeFrozen):
        await settle(world, second, first, LinkKind.SUPERSEDES)


async def test_what_was_told_before_cannot_outdate_what_came_later(world):
    (first,) = await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5))
    with pytest.raises(InvalidField, match="told before"):
        await settle(world, first, second, LinkKind.SUPERSEDES)
    assert (await settle(world, first, second, LinkKind.UNRELATED)).kind is LinkKind.UNRELATED


async def test_a_link_keeps_what_it_has_ended_when_it_is_found_twice(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    (third,) = await tell(homes, new(PARIS, minutes=9))  # it is judged against both, and the first leads to the second
    link = next(one for one in await homes.links(second.cube.name, grant=grant(MAIN)) if one.newer == third.cube.name)
    assert link.closed_until == NOW + timedelta(minutes=9)
    await settle(homes, third, second, LinkKind.UNRELATED)
    assert await until(homes, second) is None
    assert await until(homes, first) == NOW + timedelta(minutes=5)


async def test_a_statement_that_is_reopened_ends_with_the_next_that_outdates_it(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    await tell(homes, new(PARIS, minutes=9))
    await settle(homes, second, first, LinkKind.UNRELATED)
    assert await until(homes, first) == NOW + timedelta(minutes=9)


async def test_what_somebody_decides_is_done_whatever_was_judged(homes):
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    own = replace(await homes.find(first.cube), valid_until=None, etag="")
    await homes.update(own, mask=("valid_until",), vector=None, mutation=mutation())
    link = await settle(homes, second, first, LinkKind.SUPERSEDES)
    assert (link.evidence, link.decided_by) == (1.0, grant(MAIN).principal)
    assert await until(homes, first) == NOW + timedelta(minutes=5)
    assert any(event.action == "cube.link" for event in homes.catalog.tables.audit)


async def test_the_answer_of_a_call_tells_what_it_has_ended(homes):
    outcomes = await tell(homes, new(OSLO), new(BERGEN, minutes=5))
    assert {one.cube.text: one.cube.valid_until for one in outcomes} == {
        OSLO: NOW + timedelta(minutes=5),
        BERGEN: None,
    }


async def test_a_text_whose_end_has_not_come_is_the_same(world):
    (first,) = await tell(world, plain(OSLO, valid_until=NOW + timedelta(days=1)))
    (again,) = await tell(world, plain(OSLO))
    assert (again.created, again.cube.uid) == (False, first.cube.uid)


async def found(world, **members):
    world.clock.advance(minutes=10)
    hits = (await world.search("Where does Nora live?", vector=vector(1), **members)).hits
    return [(hit.cube.text, hit.fused.superseded_by) for hit in hits]


@pytest.mark.parametrize("evidence", [STRONG, WEAK], ids=["superseded", "in doubt"])
async def test_a_search_finds_the_newer_one_first(world, evidence):
    world.evidence[BERGEN, OSLO] = evidence
    await tell(world, new(OSLO))
    (second,) = await tell(world, new(BERGEN, minutes=5, seed=1))
    by = second.cube.name if evidence == STRONG else None
    assert await found(world) == [(BERGEN, None), (OSLO, by)]
    assert await found(world, without=frozenset({"updates"})) != []
    stage = (await world.search("Where does Nora live?", vector=vector(1))).stages[-1]
    assert (stage.name, stage.ran) == ("updates", True)


async def doubted(world, *texts):
    """Tell texts one after the other, each of which may make all before it untrue."""
    for number, text in enumerate(texts):
        for earlier in texts[:number]:
            world.evidence[text, earlier] = WEAK
        await tell(world, new(text, minutes=number))
    world.clock.advance(minutes=60)


async def first_hit(world, query, **members):
    return (await world.search(query, vector=vector(1), **members)).hits[0].cube.text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("which number has fact 5", "the number of fact 5 is 25"),
        ("the colour of Tom", "the colour of tom is blue"),
        ("the gate is green", "the gate is green"),
        ("is the gate green", "the gate is red"),
        ("The gate is green?", "the gate is red"),
    ],
)
async def test_what_may_outdate_a_text_comes_before_it_only_if_it_is_about_the_same(world, query, wanted):
    await doubted(world, "the number of fact 5 is 25", "the number of fact 6 is 36")
    await doubted(world, "the colour of tom is blue", "the colour of ann is grey")
    await doubted(world, "the gate is green", "the gate is red")
    assert await first_hit(world, query, without=frozenset({"dense"})) == wanted


async def test_however_many_may_outdate_a_text_it_is_among_the_first(world):
    texts = [f"the gate is {colour}" for colour in ("green", *"abcdefghijklmnopqrstuvwxyz")]
    await doubted(world, *texts)
    found = await world.search("is the gate green", vector=vector(1), without=frozenset({"dense"}), top_k=40)
    assert [hit.cube.text for hit in found.hits].index("the gate is green") == DOUBTS


async def test_a_query_can_leave_the_order_as_it_is(homes):
    await tell(homes, new(OSLO))
    await tell(homes, new(BERGEN, minutes=5))
    assert {by for _, by in await found(homes, without=frozenset({"updates"}))} == {None}


async def test_the_newer_one_is_found_where_only_the_older_one_fits(homes):
    await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    hits = (await homes.search("oslo", without=frozenset({"dense"}))).hits
    assert [hit.cube.uid for hit in hits][:1] == [second.cube.uid]


async def test_a_search_of_the_past_knows_nothing_of_later_links(homes):
    await tell(homes, new(OSLO))
    homes.clock.advance(minutes=10)
    await tell(homes, new(BERGEN, minutes=5))
    assert await found(homes, as_of=NOW + timedelta(minutes=6)) == [(OSLO, None)]


async def test_a_newer_one_that_is_deleted_outdates_nothing(homes):
    await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    await homes.delete(second.cube.name, etag="", mutation=mutation())
    assert await found(homes) == [(OSLO, None)]


async def test_a_newer_one_that_the_query_excludes_is_not_brought_in(homes):
    await tell(homes, new(OSLO, labels={"kind": "home"}))
    await tell(homes, new(BERGEN, minutes=5))
    assert [text for text, _ in await found(homes, filter=CubeFilter(labels={"kind": "home"}))] == [OSLO]


async def test_an_index_that_is_away_stops_no_write(homes):
    homes.index.away = True
    (first,) = await tell(homes, new(OSLO))
    (second,) = await tell(homes, new(BERGEN, minutes=5))
    assert second.created
    assert await until(homes, first) == NOW + timedelta(minutes=5)  # it waits for the index, and is known


async def test_a_state_beside_use_is_kept(homes):
    (first,) = await tell(homes, new(OSLO))
    await tell(homes, new(BERGEN, minutes=5))
    ended = await homes.find(first.cube)
    assert (ended.state, ended.revision, ended.payload) == (State.GENERATED, 2, Plaintext(OSLO))
