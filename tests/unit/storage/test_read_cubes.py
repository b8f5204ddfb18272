"""Reading by name, by page and by due time."""

from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.cube import State, TraceRef
from memos_kernel.errors import CubeNotFound, InvalidField, LimitExceeded, MalformedName, MissingField, VaultNotFound
from memos_kernel.names import CubeName
from memos_kernel.permission import Action
from memos_storage.domain.filters import CubeFilter
from storage_cubes import FOREIGN, MAIN, NOTES, NOW, grant


async def test_cubes_come_in_the_order_asked_for_with_what_the_caller_may_do(world):
    first, second = await world.add("one"), await world.add("two")
    bad = MalformedName("no", field="names[2]")
    by = grant(MAIN, actions=frozenset({Action.CUBE_READ, Action.MODEL_USE}))
    found = await world.get([second.name, first.name, bad, CubeName("acme", "nobody")], grant=by)
    assert [outcome.cube and outcome.cube.uid for outcome in found] == [second.uid, first.uid, None, None]
    assert found[0].cube.access.permitted_actions == {Action.CUBE_READ}
    assert found[2].error is bad
    assert isinstance(found[3].error, CubeNotFound)


async def test_no_names_or_too_many_are_refused(world):
    with pytest.raises(MissingField):
        await world.get([], grant=grant(MAIN))
    with pytest.raises(LimitExceeded):
        await world.get([CubeName("acme", "x")] * (limits.BATCH_GET_NAMES + 1), grant=grant(MAIN))


async def test_reading_links_to_where_the_cubes_were_written(world):
    traces = [TraceRef(f"{number:032x}", "b" * 16) for number in range(40)]
    cubes = [await world.add(f"note {number}", trace=trace) for number, trace in enumerate(traces)]
    await world.get([cube.name for cube in cubes], grant=grant(MAIN))
    assert len(world.spans.made[-1].links) == 32


async def test_a_page_says_where_the_next_one_starts(world):
    for number in range(5):
        world.clock.advance(seconds=1)
        await world.add(f"note {number}")
    first, last = await world.page(MAIN, CubeFilter(), after=None, size=3, grant=grant(MAIN))
    assert [cube.text for cube in first] == ["note 4", "note 3", "note 2"]
    second, end = await world.page(MAIN, CubeFilter(), after=last, size=3, grant=grant(MAIN))
    assert [cube.text for cube in second] == ["note 1", "note 0"]
    assert end is None


async def test_a_vault_outside_the_grant_is_not_there(world):
    for vault in (NOTES, FOREIGN):
        with pytest.raises(VaultNotFound):
            await world.page(vault, CubeFilter(), after=None, size=3, grant=grant(MAIN))


async def test_a_filter_that_cannot_hold_is_refused(world):
    with pytest.raises(InvalidField):
        await world.page(MAIN, CubeFilter(after=NOW, before=NOW), after=None, size=3, grant=grant(MAIN))
    many = CubeFilter(speakers=frozenset(str(number) for number in range(65)))
    with pytest.raises(LimitExceeded):
        await world.page(MAIN, many, after=None, size=3, grant=grant(MAIN))


async def test_a_cube_past_its_time_is_listed_only_as_expired(world):
    cube = await world.add("milk", expire_time=NOW + timedelta(hours=1))
    world.clock.advance(hours=1)

    async def listed(*states):
        filter = CubeFilter(states=frozenset(states)) if states else CubeFilter()
        cubes, _ = await world.page(MAIN, filter, after=None, size=9, grant=grant(MAIN))
        return [each.uid for each in cubes]

    assert await listed() == []
    assert await listed(State.EXPIRED) == [cube.uid]


async def test_due_cubes_are_those_of_the_grant(world):
    cube = await world.add("milk", expire_time=NOW + timedelta(hours=1))
    await world.add("bread", vault=NOTES, expire_time=NOW + timedelta(hours=1))
    at = NOW + timedelta(hours=2)
    due = await world.due(at=at, limit=9, grant=grant(MAIN))
    assert [each.uid for each in due] == [cube.uid]
    assert len(await world.due(at=at, limit=9, grant=grant(MAIN, all_vaults=True))) == 2
    for limit in (0, 1001):
        with pytest.raises(InvalidField):
            await world.due(at=at, limit=limit, grant=grant(MAIN))
