"""What every TermGraph does."""

from dataclasses import replace

import pytest

from memos_storage.adapters.terms import written
from memos_storage.domain.revisions import next_revision
from memos_storage.domain.walks import Way
from storage_cubes import MAIN, NOTES, NOW, change, stored
from storage_cubes import put as insert

FILLER = ("Rain fell over the valley.", "A door creaked twice.", "Lunch was cold soup.", "The bus came late again.")


async def put(store, *texts, vault=MAIN):
    cubes = [stored(text, vault) for text in texts]
    await insert(store, *cubes)
    return cubes


async def test_a_rare_word_leads_from_one_text_to_another(store):
    first, second, *_ = await put(
        store, "Nora works at Kestrel Labs.", "Kestrel Labs sits in a Bergen shipyard.", *FILLER
    )
    walk = await store.graph.walk({first.uid: 1.0}, "Where does Nora work?")
    assert walk.scores.keys() == {second.uid}
    step = walk.steps({second.uid})[second.uid]
    assert (step.way, step.source) == (Way.SHARED_WORDS, first.uid)
    assert set(step.terms) == {"kestrel", "lab"}
    assert store.graph.written(second.text, step.terms) == tuple(
        {"kestrel": "Kestrel", "lab": "Labs"}[term] for term in step.terms
    )


async def test_what_counts_more_leads_more_strongly_and_seeds_reach_each_other(store):
    first, second, *_ = await put(store, "Nora met Tarquin.", "Tarquin owns a heron.", *FILLER)
    weak = await store.graph.walk({first.uid: 0.5}, "")
    strong = await store.graph.walk({first.uid: 1.0}, "")
    assert weak.scores[second.uid] == pytest.approx(strong.scores[second.uid] / 2)
    both = await store.graph.walk({first.uid: 1.0, second.uid: 1.0}, "")
    assert both.steps({first.uid})[first.uid].source == second.uid
    assert both.scores[second.uid] == pytest.approx(strong.scores[second.uid])


async def test_known_words_and_common_ones_lead_nowhere(store):
    first, *_ = await put(store, "Nora met Tarquin.", "Tarquin owns a heron.", *FILLER)
    assert not (await store.graph.walk({first.uid: 1.0}, "Who is Tarquin?")).scores
    many = await put(store, *(f"A lighthouse of number {number}." for number in range(30)))
    assert not (await store.graph.walk({many[0].uid: 1.0}, "number")).scores


async def test_a_word_of_half_of_a_small_vault_is_not_rare(store):
    first, *_ = await put(store, "Nora moved to Oslo.", "Tom moved to Rome.", "Lunch was cold.")
    assert not (await store.graph.walk({first.uid: 1.0}, "")).scores


async def test_the_walk_stays_in_its_vault_and_among_live_texts(store):
    first, second, *_ = await put(store, "Nora met Tarquin.", "Tarquin owns a heron.", *FILLER)
    await put(store, "Tarquin is elsewhere.", *FILLER, vault=NOTES)
    assert (await store.graph.walk({first.uid: 1.0}, "")).scores.keys() == {second.uid}
    await change(store, replace(next_revision(second, now=NOW), delete_time=NOW))
    assert not (await store.graph.walk({first.uid: 1.0}, "")).scores


@pytest.mark.parametrize("seeds", [{}, {"nobody": 1.0}])
async def test_from_nothing_nothing_is_reached(store, seeds):
    await put(store, "Nora met Tarquin.", "Tarquin owns a heron.", *FILLER)
    assert not (await store.graph.walk(seeds, "Tarquin")).scores


async def test_texts_without_spaces_are_walked_by_their_pairs(store):
    first, second, *_ = await put(store, "小明在青木公司上班。", "青木公司在大阪。", *FILLER)
    walk = await store.graph.walk({first.uid: 1.0}, "小明")
    assert second.uid in walk.scores
    assert store.graph.written(second.text, ("青木",)) == ("青木",)


async def test_the_rarest_terms_of_a_text_are_told(store):
    first, second, bare, *_ = await put(
        store, "Nora met Tarquin.", "Nora owns herons.", "It is what it is.", *FILLER, *(f"Nora {n}" for n in range(9))
    )
    rare = await store.graph.rare_terms([first.uid, second.uid, bare.uid, "nobody"], most=9)
    told = {uid: set(terms) for uid, terms in rare.items()}
    assert told == {first.uid: {"met", "tarquin"}, second.uid: {"own", "heron"}}
    (one,) = (await store.graph.rare_terms([first.uid], most=1)).values()
    assert set(one) == {"tarquin"}  # of equal ones the longest
    assert await store.graph.rare_terms([], most=9) == {}


def test_words_are_told_as_they_are_written():
    assert written("Zoë met Müller’s Größe in Москва.", ["zoë", "grösse", "москва"]) == ("Zoë", "Größe", "Москва")
    assert written("青木公司在大阪。", ["青木", "heron"]) == ("青木",)
