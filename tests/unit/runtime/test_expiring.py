"""One value that is remembered for some time."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.errors import Capacity, DependencyUnavailable
from memos_runtime.expiring import Remembered


class Clock:
    time = datetime(2026, 3, 2, tzinfo=UTC)

    def now(self):
        return self.time


async def test_a_value_is_asked_for_again_only_after_some_time_and_an_old_one_is_better_than_none():
    clock, told = Clock(), []

    async def load():
        told.append(clock.now())
        if len(told) in (1, 4):
            raise DependencyUnavailable("away")
        if len(told) > 4:
            raise ValueError
        return f"value {len(told)}"

    value = Remembered(load, clock=clock, keep=timedelta(seconds=5), failures=Capacity)
    assert await value.get(otherwise="none") == "none"
    assert [await value.get(otherwise="none") for _ in range(3)] == ["value 2"] * 3
    clock.time += timedelta(seconds=5)
    assert await value.get(otherwise="none") == "value 3"
    clock.time += timedelta(seconds=5)
    assert await value.get(otherwise="none") == "value 3"
    with pytest.raises(ValueError):  # noqa: PT011  # it comes through as it is
        await value.get(otherwise="none")
