import threading
from dataclasses import dataclass, field

import pytest

from memos_inference.adapters.lane import Lane
from memos_kernel.errors import Draining, Overloaded


@dataclass(eq=False)
class Task:
    name: str
    size: int = 1
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def fail(self, error: Exception) -> None:
        self.error = error
        self.done.set()


class Held:
    """A lane whose thread waits inside the first batch until it is let go."""

    def __init__(self, *, batch: int = 1, capacity: int = 8) -> None:
        self.batches: list[list[str]] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.lane: Lane[Task] = Lane("model", self._handle, batch=batch, capacity=capacity)
        self.lane.start()
        self.lane.submit([Task("first")])
        assert self.entered.wait(5)

    def _handle(self, tasks) -> None:
        self.batches.append([task.name for task in tasks])
        self.entered.set()
        assert self.go.wait(5)
        for task in tasks:
            if task.name == "broken":
                raise ValueError(task.name)
            task.done.set()

    def finish(self, *tasks: Task) -> list[list[str]]:
        self.go.set()
        for task in tasks:
            assert task.done.wait(5)
        return self.batches[1:]


@pytest.fixture
def held():
    made = []

    def make(**options) -> Held:
        made.append(Held(**options))
        return made[-1]

    yield make
    for item in made:
        item.go.set()
        item.lane.close()


def test_what_waits_is_taken_in_batches_up_to_the_limit(held):
    lane = held(batch=4)
    tasks = [Task("a", 2), Task("b", 2), Task("c", 1)]
    for task in tasks:
        lane.lane.submit([task])
    assert lane.finish(*tasks) == [["a", "b"], ["c"]]


def test_work_that_is_larger_than_a_batch_runs_alone(held):
    lane = held(batch=4)
    tasks = [Task("large", 7), Task("small", 1)]
    for task in tasks:
        lane.lane.submit([task])
    assert lane.finish(*tasks) == [["large"], ["small"]]


def test_a_small_call_overtakes_the_later_parts_of_a_large_one(held):
    lane = held()
    large, small = [Task("L1"), Task("L2"), Task("L3")], Task("S")
    lane.lane.submit(large)
    lane.lane.submit([small])
    assert lane.finish(*large, small) == [["L1"], ["S"], ["L2"], ["L3"]]


def test_a_stream_of_small_calls_does_not_starve_a_large_one():
    order: list[str] = []
    large = [Task("L1"), Task("L2"), Task("L3")]

    def handle(tasks) -> None:
        order.append(tasks[0].name)
        if len(order) < 20:
            lane.submit([Task("S")])  # one small call comes for each piece of work that is done
        tasks[0].done.set()

    lane: Lane[Task] = Lane("model", handle, batch=1, capacity=64)
    lane.submit([*large, Task("S")])
    lane.start()
    assert large[-1].done.wait(5)
    lane.close()
    assert order.index("L3") < 8


def test_a_full_queue_refuses_with_the_time_to_come_back(held):
    lane = held(capacity=2)
    tasks = [Task("a"), Task("b")]
    lane.lane.submit(tasks)
    with pytest.raises(Overloaded) as caught:
        lane.lane.submit([Task("c")])
    assert caught.value.retry_after > 0
    assert caught.value.metadata["queue"] == "model"
    assert lane.finish(*tasks) == [["a"], ["b"]]


def test_an_empty_queue_takes_a_call_of_any_size(held):
    lane = held(capacity=2)
    tasks = [Task(str(index)) for index in range(5)]
    lane.lane.submit(tasks)
    assert len(lane.finish(*tasks)) == 5


def test_withdrawn_work_leaves_the_queue_and_makes_room(held):
    lane = held(capacity=1)
    gone, taken = Task("gone"), Task("taken")
    lane.lane.submit([gone])
    lane.lane.withdraw([gone])
    lane.lane.submit([taken])
    assert lane.finish(taken) == [["taken"]]


def test_a_batch_that_fails_tells_its_callers_and_the_next_one_runs(held):
    lane = held()
    broken, whole = Task("broken"), Task("whole")
    lane.lane.submit([broken])
    lane.lane.submit([whole])
    lane.finish(broken, whole)
    assert isinstance(broken.error, ValueError)
    assert whole.error is None


def test_closing_fails_what_waits_and_refuses_what_comes(held):
    lane = held()
    waiting = Task("waiting")
    lane.lane.submit([waiting])
    lane.go.set()
    lane.lane.close()
    assert waiting.done.is_set()
    lane.lane.close()
    with pytest.raises(Draining):
        lane.lane.submit([Task("late")])
