"""What every LexicalIndex does."""

from datetime import timedelta

import pytest

from memos_kernel.cube import State
from memos_storage.adapters.sql import lexical
from memos_storage.adapters.terms import terms
from memos_storage.domain import revisions
from memos_storage.domain.filters import CubeFilter
from storage_cubes import FOREIGN, MAIN, NOTES, NOW, said, scope, selected, stored

ANY = CubeFilter()


async def put(store, *cubes):
    await store.catalog.write(lambda tx: [tx.insert(cube, vector=None) for cube in cubes])


async def search(store, query, *vaults, filter=ANY, limit=10, now=NOW):
    return await store.lexical.search(query, selected(scope(*(vaults or (MAIN,))), filter, now=now), limit=limit)


async def found(store, query, *vaults, **options):
    return [item.uid for item in await search(store, query, *vaults, **options)]


async def test_words_are_found_in_any_form(store):
    cube = stored("She was painting the old bridges of Prague.")
    await put(store, cube, stored("Nothing of the kind."))
    for query in ("paint", "painted a BRIDGE", "prague?", "bridges"):
        assert await found(store, query) == [cube.uid]


async def test_stop_words_and_unknown_words_find_nothing(store):
    await put(store, stored("What did she say about it?"))
    assert await found(store, "what did she do about it") == []
    assert await found(store, "zebra") == []
    assert await found(store, "?!") == []


async def test_rare_words_weigh_more_and_scores_stay_within_zero_and_one(store):
    common = [stored(f"coffee with friend {number}") for number in range(8)]
    rare = stored("coffee in Reykjavik")
    await put(store, *common, rare)
    hits = await search(store, "coffee Reykjavik")
    assert hits[0].uid == rare.uid
    assert all(0 < hit.score <= 1 for hit in hits)
    assert len(hits) == 9


async def test_the_speaker_is_a_word_of_what_was_said(store):
    cube = stored("I bought a kayak.", sources=(said("Tomasz"),))
    await put(store, cube, stored("I bought a kite.", sources=(said("Nora"),)))
    assert await found(store, "Tomasz") == [cube.uid]


async def test_a_speaker_called_only_by_the_role_is_no_word(store):
    from dataclasses import replace

    await put(store, stored("I bought a kayak.", sources=(replace(said("user"), role="user"),)))
    assert await found(store, "user") == []


async def test_text_without_spaces_is_found_by_its_characters(store):
    cube = stored("她昨天搬到了东京。")
    await put(store, cube, stored("她喜欢喝茶。"))
    assert (await found(store, "东京"))[0] == cube.uid


async def test_equal_scores_are_ordered_by_uid(store):
    cubes = [stored("green tea", sources=(said("", session=str(number)),)) for number in range(5)]
    await put(store, *reversed(cubes))
    assert await found(store, "tea") == sorted(cube.uid for cube in cubes)
    assert await found(store, "tea", limit=2) == sorted(cube.uid for cube in cubes)[:2]


async def test_scores_tell_nothing_of_other_vaults(store):
    await put(store, stored("tea in Oslo"), stored("coffee in Oslo"))
    before = await search(store, "tea Oslo")
    await put(store, *(stored(f"tea {number}", NOTES) for number in range(5)), stored("Oslo", FOREIGN))
    assert await search(store, "tea Oslo") == before


async def test_several_vaults_are_searched_each_with_its_own_statistics(store):
    here, there = stored("tea"), stored("tea", NOTES)
    await put(store, here, there, stored("coffee", NOTES))
    one = {hit.uid: hit.score for hit in await search(store, "tea", NOTES)}
    both = {hit.uid: hit.score for hit in await search(store, "tea", MAIN, NOTES)}
    assert set(both) == {here.uid, there.uid}
    assert both[there.uid] == one[there.uid]


async def test_a_filter_takes_nothing_from_those_that_pass(store):
    kept = stored("tea at the very end of a long and winding sentence", labels={"keep": "yes"})
    await put(store, *(stored(f"tea {number}") for number in range(30)), kept)
    assert await found(store, "tea", filter=CubeFilter(labels={"keep": "yes"}), limit=1) == [kept.uid]


async def test_deleted_archived_and_overdue_cubes_are_not_found(store):
    gone, put_away = stored("tea one"), stored("tea two")
    overdue = stored("tea three", expire_time=NOW + timedelta(hours=1))
    await put(store, gone, put_away, overdue)
    await store.catalog.write(lambda tx: tx.replace(revisions.deleted(gone, now=NOW)))
    archived = revisions.moved(put_away, state=State.ARCHIVED, frozen=False, now=NOW)
    await store.catalog.write(lambda tx: tx.replace(archived))
    assert await found(store, "tea", now=NOW + timedelta(hours=1)) == []
    assert await found(store, "tea", filter=CubeFilter(states=frozenset({State.ARCHIVED}))) == [put_away.uid]


async def test_deleting_gives_the_statistics_back(store):
    kept, gone = stored("tea in Oslo"), stored("coffee in Oslo, and more of it every day")
    await put(store, kept)
    before = await search(store, "tea Oslo")
    await put(store, gone)
    assert await search(store, "tea Oslo") != before
    await store.catalog.write(lambda tx: tx.replace(revisions.deleted(gone, now=NOW)))
    assert await search(store, "tea Oslo") == before


@pytest.mark.parametrize("rows", [1, 1000])
async def test_common_words_count_also_where_rare_words_find_enough(store, monkeypatch, rows):
    monkeypatch.setattr(lexical, "TELLING_ROWS", rows)
    cubes = [stored(f"Nora drinks tea with guest {number}") for number in range(6)]
    both = stored("Nora saw a heron", labels={"keep": "yes"})
    rare = stored("Somebody saw another heron", labels={"keep": "yes"})
    await put(store, *cubes, rare, both)
    assert await found(store, "Nora heron", limit=2) == [both.uid, rare.uid]
    assert len(await found(store, "Nora heron", limit=5)) == 5
    assert await found(store, "Nora heron", filter=CubeFilter(labels={"keep": "yes"}), limit=2) == [both.uid, rare.uid]


def test_chinese_words_that_tell_nothing_are_no_terms():
    assert terms("他的猫叫什么?") == ["猫", "叫", "他的", "的猫", "猫叫", "叫什"]
    assert terms("什么?") == terms("什麼?") == []
    assert terms("得到") == ["得到"]
