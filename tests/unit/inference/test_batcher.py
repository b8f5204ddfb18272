"""Who reads and writes next, with a model that counts: after a token comes the next higher one."""

import queue
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from engines import make_batcher
from memos_inference.adapters.kv_cache import NOTHING, KvPrefix, Reused
from memos_inference.domain.composition import Run
from memos_kernel.errors import ContextExceeded, Draining, InternalError, Overloaded

POISON, NO_NUMBER, NO_CHOICE = -1, -2, -3


class Counter:
    """A model that counts, and writes down what it read in each pass."""

    def __init__(self, *, packs=True, waits=False):
        self.geometry = SimpleNamespace(token_bytes=1) if packs else None
        self.passes = []
        self.let = threading.Semaphore(0 if waits else 10_000)

    def enter(self):
        self.thread = threading.current_thread().name

    def begin(self, capacity, *, reused, adapter, adapter_from):
        assert adapter is not POISON
        known = [token for run in reused.runs for token in reused.prefixes[run.cache].ids[run.start :][: run.tokens]]
        return SimpleNamespace(ids=known, capacity=capacity)

    def step(self, parts, *, again=False):
        assert self.let.acquire(timeout=20)
        self.passes.append([list(ids) for _, ids in parts])
        if any(POISON in ids for _, ids in parts):
            raise RuntimeError("poison")
        for state, ids in parts:
            state.ids += ids
            assert len(state.ids) <= state.capacity
        return [ids[-1] for _, ids in parts]

    def choose(self, logits, temperatures):
        assert len(logits) == len(temperatures)
        if NO_CHOICE in logits:
            raise RuntimeError("no choice")
        return [None if last == NO_NUMBER else last + 1 for last in logits]


@dataclass(eq=False)
class Count:
    """Writes so many tokens after its prompt."""

    decoder: Counter
    prompt: list[int]
    most: int = 3
    tenant: str = "a"
    reused: Reused = NOTHING
    adapter: object = None
    adapter_from: int = 0
    temperature: float = 0.0
    cancelled: bool = False
    written: list[int] = field(default_factory=list)
    begun: bool = False
    done: queue.Queue = field(default_factory=queue.Queue)

    @property
    def capacity(self):
        return len(self.prompt) + self.most

    def begin(self):
        self.begun = True

    def take(self, token, state):
        self.written.append(token)
        if len(self.written) == self.most:
            self.done.put(state.ids)
            return False
        return True

    def fail(self, error):
        self.done.put(error)

    def end(self):
        """Return the tokens that were read, or the error."""
        return self.done.get(timeout=20)


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def run():
    """Make a batcher, give it works before it starts, and close it at the end."""
    made = []

    def start(*works, **limits):
        batcher = make_batcher(**{"max_waiting": 50, **limits})
        made.append((batcher, works))
        for work in works:
            batcher.submit(work)
        batcher.start()
        return batcher

    yield start
    for batcher, works in made:
        for work in works:
            work.decoder.let.release(10_000)
        batcher.close()


def test_answers_are_written_side_by_side(run):
    model = Counter()
    works = [Count(model, [start], most=4) for start in (10, 20, 30)]
    run(*works)
    for work in works:
        assert work.end() == [work.prompt[0] + step for step in range(4)]
    assert model.passes == [[[10 + step], [20 + step], [30 + step]] for step in range(4)]
    assert model.thread == "engine"


def test_those_who_come_later_join_and_those_who_are_done_leave(run):
    model = Counter(waits=True)
    short, long, late = Count(model, [10], most=1), Count(model, [20], most=3), Count(model, [30], most=1)
    batcher = run(short, long)
    model.let.release()
    short.end()
    batcher.submit(late)
    model.let.release(10)
    assert (late.end(), long.end()) == ([30], [20, 21, 22])
    assert model.passes[0] == [[10], [20]]
    assert sum(map(len, model.passes)) == 5


def test_where_the_pieces_of_a_prompt_end_does_not_depend_on_the_others(run):
    prompt = list(range(100, 250))

    def pieces(*others):
        model = Counter()
        works = [Count(model, prompt), *(Count(model, *other) for other in others)]
        run(*works, piece=64)
        for work in works:
            work.end()
        read = [ids for parts in model.passes for ids in parts]
        return [ids for ids in read if set(ids) <= set(prompt)]

    alone = pieces()
    assert [len(ids) for ids in alone] == [64, 64, 22]
    assert pieces(([1_000] * 40,), ([2_000] * 200, 9), ([3_000], 30)) == alone


def test_a_long_prompt_holds_up_nobody_who_writes(run):
    model = Counter()
    writer, reader = Count(model, [10], most=8), Count(model, [50] * 400)
    run(writer, reader, piece=64)
    writer.end(), reader.end()
    assert [parts[0] for parts in model.passes[:8]] == [[10 + step] for step in range(8)]
    assert [len(parts[1]) for parts in model.passes[1:7]] == [64] * 6


def test_a_tenant_with_much_to_do_holds_up_nobody_else(run):
    model = Counter()
    many = [Count(model, [10 * number], most=5, tenant="busy") for number in range(1, 7)]
    one = Count(model, [90], most=5, tenant="quiet")
    run(*many, one, max_running=1)
    for work in (*many, one):
        work.end()
    began = [parts[0][0] for parts in model.passes if parts[0][0] % 10 == 0]
    assert began[:3] == [10, 90, 20]


def test_tenants_read_their_prompts_by_turns(run):
    model = Counter()
    works = [Count(model, [mark] * 256, most=1, tenant=tenant) for mark, tenant in ((1, "a"), (2, "a"), (3, "b"))]
    run(*works, piece=64)
    for work in works:
        work.end()
    order = [parts[0][0] for parts in model.passes]
    assert order[:8] == [1, 3, 1, 3, 1, 3, 1, 3]
    assert order[8:] == [2] * 4


def test_a_tenant_that_was_away_is_owed_nothing(run):
    model = Counter(waits=True)
    first = Count(model, [10], most=50, tenant="worker")
    batcher = run(first, max_running=1)
    model.let.release(50)
    first.end()
    works = [
        Count(model, [100 * number], most=2, tenant=tenant) for number, tenant in enumerate(("b", "b", "worker"), 1)
    ]
    for work in works:
        batcher.submit(work)
    model.let.release(50)
    for work in works:
        work.end()
    began = [parts[0][0] for parts in model.passes[50:] if parts[0][0] % 100 == 0]
    assert began == [100, 300, 200]


def test_all_that_run_have_room_for_their_full_length(run):
    model = Counter()
    works = [Count(model, [number] * 40, most=10) for number in range(1, 6)]
    run(*works, max_bytes=110)
    for work in works:
        assert len(work.end()) == 49
    assert max(map(len, model.passes)) == 2


def test_what_needs_more_room_than_there_is_is_refused_at_once(run):
    batcher = run(max_bytes=100)
    with pytest.raises(ContextExceeded, match=r"need 101 bytes.*may have 100.*inference\.kv_running_bytes"):
        batcher.submit(Count(Counter(), [1] * 98))


def test_a_full_queue_says_when_to_come_again(run):
    model = Counter(waits=True)
    batcher = run(Count(model, [1]), max_running=1, max_waiting=1)
    until(lambda: not batcher._waiting)
    batcher.submit(Count(model, [2]))
    with pytest.raises(Overloaded) as caught:
        batcher.submit(Count(model, [3]))
    assert caught.value.retry_after > 0


def test_a_tenant_that_fills_the_queue_keeps_no_other_out(run):
    model = Counter(waits=True)
    busy = [Count(model, [10 * number], tenant="busy") for number in range(1, 5)]
    batcher = run(busy[0], max_running=1, max_waiting=3)
    until(lambda: not batcher._waiting)
    for work in busy[1:]:
        batcher.submit(work)
    quiet = Count(model, [90], tenant="quiet")
    batcher.submit(quiet)
    assert isinstance(busy[-1].end(), Overloaded)
    with pytest.raises(Overloaded):
        batcher.submit(Count(model, [50], tenant="busy"))
    model.let.release(100)
    for work in (*busy[:-1], quiet):
        assert len(work.end()) == 3


@pytest.mark.parametrize("place", range(3))
def test_one_that_cannot_be_served_leaves_the_others_as_they_are(run, place):
    model = Counter()
    works = [Count(model, [10 * number], most=5) for number in range(1, 4)]
    works.insert(place, Count(model, [7, POISON]))
    run(*works)
    bad = works.pop(place)
    assert isinstance(bad.end(), RuntimeError)
    for work in works:
        assert work.end() == [work.prompt[0] + step for step in range(5)]


def test_one_that_cannot_begin_leaves_the_others_as_they_are(run):
    model = Counter()
    bad, good = Count(model, [1], adapter=POISON), Count(model, [10])
    run(bad, good)
    assert isinstance(bad.end(), AssertionError)
    assert good.end() == [10, 11, 12]


def test_what_is_no_number_ends_one_answer_and_no_other(run):
    model = Counter()
    bad, good = Count(model, [NO_NUMBER]), Count(model, [10])
    run(bad, good)
    assert isinstance(bad.end(), InternalError)
    assert good.end() == [10, 11, 12]


def test_what_was_read_is_not_read_again_when_no_token_can_be_chosen(run):
    model = Counter()
    works = [Count(model, [10]), Count(model, [NO_CHOICE])]
    batcher = run(*works)
    assert [type(work.end()) for work in works] == [RuntimeError] * 2
    assert model.passes == [[[10], [NO_CHOICE]]]
    after = Count(model, [20])
    batcher.submit(after)
    assert after.end() == [20, 21, 22]


def test_a_caller_who_cannot_take_an_answer_disturbs_nobody(run, monkeypatch):
    model = Counter()
    bad, good = Count(model, [1]), Count(model, [10])
    monkeypatch.setattr(bad, "take", lambda *_: 1 / 0)
    run(bad, good)
    assert isinstance(bad.end(), ZeroDivisionError)
    assert good.end() == [10, 11, 12]


def test_who_leaves_is_not_in_the_next_pass(run):
    model = Counter(waits=True)
    leaves, stays = Count(model, [10], most=50), Count(model, [20], most=4)
    batcher = run(leaves, stays)
    model.let.release()
    until(lambda: model.passes)
    batcher.withdraw(leaves)
    model.let.release(60)
    assert stays.end() == [20, 21, 22, 23]
    assert sum(len(parts) == 2 for parts in model.passes) <= 2


def test_a_model_that_reads_one_at_a_time_does(run):
    model = Counter(packs=False)
    works = [Count(model, [10 * number]) for number in range(1, 4)]
    run(*works)
    for work in works:
        work.end()
    assert [len(parts) for parts in model.passes] == [1] * 9


def test_what_is_known_already_is_not_read(run):
    model = Counter()
    reused = Reused((KvPrefix((5, 6, 7, 8), ()),), (Run(0, 0, 0, 3, exact=True),))
    work = Count(model, [5, 6, 7, 9], reused=reused)
    run(work)
    assert work.end() == [5, 6, 7, 9, 10, 11]
    assert work.begun
    assert model.passes[0] == [[9]]


def test_what_lies_between_what_is_known_is_read_in_one_pass(run):
    model = Counter()
    caches = (KvPrefix((1, 2), ()), KvPrefix((1, 5, 6), ()))
    runs = (Run(0, 0, 0, 2, exact=True), Run(1, 1, 4, 2))
    work = Count(model, [1, 2, 3, 4, 5, 6, 7], reused=Reused(caches, runs))
    run(work)
    work.end()
    assert model.passes == [[[3, 4, 7]], [[8]], [[9]]]


def test_how_fast_prompts_are_read_is_learned_from_reading_and_not_from_writing(run):
    model = Counter()
    writing = [Count(model, [number], most=30) for number in range(20)]
    batcher = run(*writing, max_running=20)
    for work in writing:
        work.end()
    assert batcher.speed is not None  # twenty prompts of a token each, in the first pass
    batcher.forget_speed()
    more = [Count(model, [number], most=5) for number in range(10)]
    for work in more:
        batcher.submit(work)
    for work in more:
        work.end()
    assert batcher.speed is None


def test_the_last_token_of_a_prompt_counts_as_read_and_not_as_written(run):
    model = Counter()
    reused = Reused((KvPrefix((5, 6), ()),), (Run(0, 0, 0, 2, exact=True),))
    works = [Count(model, [5, 6, 7], reused=reused), Count(model, [1])]
    run(*works)
    assert [work.end()[-1] for work in works] == [9, 3]


def test_at_the_end_all_are_told(run):
    model = Counter(waits=True)
    running, waiting = Count(model, [1]), Count(model, [2])
    batcher = run(running, waiting, max_running=1)
    until(lambda: len(batcher._waiting) == 1)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    assert isinstance(waiting.end(), Draining)
    model.let.release(50)
    assert isinstance(running.end(), Draining)
    closing.join(20)
    with pytest.raises(Draining):
        batcher.submit(Count(model, [3]))
