"""The thread that has the model: sequences come and go between passes, and tenants share it evenly."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from memos_inference.domain.estimates import SpeedMeter
from memos_kernel.errors import ContextExceeded, Draining, InternalError, Overloaded
from memos_kernel.speed import Speed

if TYPE_CHECKING:
    from memos_inference.adapters.kv_cache import Reused
    from memos_inference.adapters.lora import LoraAdapter
    from memos_inference.adapters.torch_decoder import State, TorchDecoder

_SMOOTHING = 0.2
_RETRY_MIN, _RETRY_MAX = 0.1, 30.0
_TELLING = 16
"""Tokens of a pass by which it is learned what reading costs; shorter ones write answers."""

_log = logging.getLogger(__name__)


class Work(Protocol):
    """A text that the model reads, and may go on writing.

    Attributes:
        tenant: who shares the model with the others.
        cancelled: whether nobody waits for it any more; looked at before each pass.
    """

    tenant: str
    cancelled: bool

    @property
    def decoder(self) -> "TorchDecoder":
        """The model."""
        ...

    @property
    def prompt(self) -> Sequence[int]:
        """The tokens to be read."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens at most, with those that are written."""
        ...

    @property
    def reused(self) -> "Reused":
        """Keys and values of its tokens that are taken over."""
        ...

    @property
    def adapter(self) -> "LoraAdapter | None":
        """What changes the weights for it."""
        ...

    @property
    def adapter_from(self) -> int:
        """Position of the first token that is read with the adapter."""
        ...

    @property
    def temperature(self) -> float:
        """How the next token is drawn."""
        ...

    def begin(self) -> None:
        """Take note that its turn has come."""
        ...

    def take(self, token: int, state: "State") -> bool:
        """Take the token that comes after all that was read; return whether it is to be read, and the next wanted."""
        ...

    def fail(self, error: Exception) -> None:
        """Tell whoever waits that there is no more."""
        ...


@dataclass(slots=True, eq=False)
class _Running:
    """A work whose sequence is in memory.

    Attributes:
        ids: tokens that are to be read, of which the first `at` have been.
        taken: tokens that were taken over.
        nbytes: what its keys and values take at its full length.
    """

    work: Work
    state: "State"
    ids: list[int]
    taken: int
    nbytes: int
    at: int = 0
    since: float = field(default_factory=time.perf_counter)

    @property
    def writes(self) -> bool:
        """Whether what is read next is the token that it wrote last."""
        return len(self.ids) - self.at == 1 and self.at + self.taken > 0

    def part(self, piece: int) -> Sequence[int]:
        """Return what is read next. How busy the model is changes nothing about where pieces end, nor so the answer."""
        end = ((self.at + self.taken) // piece + 1) * piece - self.taken
        return self.ids[self.at : end]


@dataclass(slots=True)
class _Shares:
    """How many tokens each tenant was served, of those who wait or run; the others owe and are owed nothing."""

    served: dict[str, int] = field(default_factory=dict)

    def join(self, tenant: str) -> None:
        """Let a tenant begin where the least served one is."""
        self.served.setdefault(tenant, min(self.served.values(), default=0))

    def count(self, tenant: str, tokens: int) -> None:
        """Count what one was served."""
        self.served[tenant] += tokens

    def keep(self, tenants: set[str]) -> None:
        """Forget the others."""
        self.served = {tenant: tokens for tenant, tokens in self.served.items() if tenant in tenants}


class Batcher:
    """Serves many sequences with passes that they share.

    Each pass has one token of every sequence that is being written, and as much of the prompts that are being read as
    `piece` allows: those of the tenant first that was served the fewest tokens. So a long prompt holds up neither
    those who write nor other tenants. A pass that fails is made again for each sequence alone: only the one that
    cannot be served loses its place.

    Attributes:
        after_pass: called in the thread after each pass.
    """

    def __init__(self, *, max_running: int, max_waiting: int, max_bytes: int, piece: int) -> None:
        """Make it; `start` makes it run.

        Args:
            max_running: sequences that share passes.
            max_waiting: works that wait for a place.
            max_bytes: bytes of keys and values of those that run, counted at their full length.
            piece: tokens of prompts in one pass.
        """
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._piece = piece
        self._wake = threading.Condition()
        self._waiting: list[Work] = []
        self._running: list[_Running] = []
        self._shares = _Shares()
        self._seconds_a_work = 0.0
        self._closed = False
        self._entered = False
        self._meter = SpeedMeter()
        self.after_pass: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def speed(self) -> Speed | None:
        """Seconds in which prompts are read, by their tokens; None before the first.

        What each pass costs by itself is in the rate, too: a long prompt takes many.
        """
        speed = self._meter.speed
        if speed is None:
            return None
        return Speed(speed.seconds, speed.seconds_per_unit + speed.seconds / self._piece)

    @property
    def load(self) -> tuple[int, int]:
        """Return how many generations wait, and how many run."""
        return len(self._waiting), len(self._running)

    def forget_speed(self) -> None:
        """Learn anew how fast it is."""
        self._meter.forget()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Fail what waits and what runs, and join the thread. Blocks; can be called twice, or without `start`."""
        with self._wake:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._wake.notify_all()
        for work in waiting:
            work.fail(_draining())
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, work: Work) -> None:
        """Queue a work.

        Raises:
            Overloaded: too many wait, and none of another tenant that has more of them; `retry_after` is the time
                until there is a place, by recent speed.
            ContextExceeded: it needs more memory than all works together may have.
            Draining: the batcher is closed.
        """
        needed = _bytes_of(work)
        if needed > self._max_bytes:
            raise ContextExceeded(
                f"The prompt and its answer need {needed} bytes of keys and values, and all generations together may "
                f"have {self._max_bytes}; shorten it, ask for fewer tokens, or raise inference.kv_running_bytes.",
                bytes=str(needed),
                limit=str(self._max_bytes),
            )
        with self._wake:
            if self._closed:
                raise _draining()
            if len(self._waiting) >= self._max_waiting:
                self._make_room(work.tenant)
            self._waiting.append(work)
            self._shares.join(work.tenant)
            self._wake.notify()

    def _make_room(self, tenant: str) -> None:
        """Send away the newest work of the tenant that has most of the queue.

        Raises:
            Overloaded: that is the one who asks, or it would have no fewer than others.
        """
        waiting = Counter(work.tenant for work in self._waiting)
        most, count = waiting.most_common(1)[0]
        full = Overloaded(
            "The queue of the engine is full.",
            retry_after=min(_RETRY_MAX, max(_RETRY_MIN, len(self._waiting) * self._seconds_a_work)),
            queue="engine",
        )
        if waiting[tenant] + 1 >= count:
            raise full
        newest = next(work for work in reversed(self._waiting) if work.tenant == most)
        self._waiting.remove(newest)
        newest.fail(full)

    def withdraw(self, work: Work) -> None:
        """Take a work out of the queue, or let it end before the next pass."""
        work.cancelled = True
        with self._wake:
            if work in self._waiting:
                self._waiting.remove(work)

    def _run(self) -> None:
        while self._admit():
            self._pass(self._plan())  # no name for the plan: it would keep its sequences while nobody asks
            self.after_pass()

    def _admit(self) -> bool:
        """Drop what nobody waits for, and let in what there is room for; wait if there is nothing to do.

        Returns:
            False once the batcher is closed.
        """
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._running or self._closed)
            if self._closed:
                for running in self._running:
                    running.work.fail(_draining())
                self._running.clear()
                return False
            self._running = [running for running in self._running if not running.work.cancelled]
            chosen: list[Work] = []
            while (work := self._next(chosen)) is not None:
                self._waiting.remove(work)
                chosen.append(work)
            present = {work.tenant for work in (*self._waiting, *chosen, *(one.work for one in self._running))}
            self._shares.keep(present)
        for work in chosen:
            if work.cancelled:
                continue
            try:
                self._begin(work)
            except Exception as error:
                _log.exception("a sequence cannot begin")
                work.fail(error)
        return True

    def _next(self, chosen: Sequence[Work]) -> Work | None:
        """Return the work that gets the next place, if there is one."""
        count = len(self._running) + len(chosen)
        if not self._waiting:
            return None
        work = min(self._waiting, key=lambda one: self._shares.served[one.tenant])  # of equals the first
        if count >= (1 if work.decoder.geometry is None else self._max_running):
            return None
        taken = sum(one.nbytes for one in self._running) + sum(_bytes_of(one) for one in chosen)
        return work if taken + _bytes_of(work) <= self._max_bytes else None

    def _begin(self, work: Work) -> None:
        if not self._entered:
            work.decoder.enter()
            self._entered = True
        work.begin()
        reused = work.reused
        state = work.decoder.begin(work.capacity, reused=reused, adapter=work.adapter, adapter_from=work.adapter_from)
        self._running.append(_Running(work, state, reused.left(work.prompt), reused.tokens, _bytes_of(work)))

    def _plan(self) -> list[tuple[_Running, Sequence[int]]]:
        """Return what the next pass reads: the next token of those that write, and pieces of prompts."""
        parts: list[tuple[_Running, Sequence[int]]] = []
        reading = []
        for running in self._running:
            if running.writes:
                parts.append((running, running.ids[-1:]))
            else:
                reading.append(running)
        room = self._piece
        reading.sort(key=lambda running: self._shares.served[running.work.tenant])  # of equals the first
        for running in reading:
            part = running.part(self._piece)
            if len(part) <= room:
                parts.append((running, part))
                room -= len(part)
        return parts

    def _pass(self, parts: Sequence[tuple[_Running, Sequence[int]]], *, again: bool = False) -> None:
        """Read the parts in one pass, and hand over what comes after them."""
        if not parts:
            return
        decoder = parts[0][0].work.decoder
        begun = time.perf_counter()
        try:
            logits = decoder.step([(running.state, ids) for running, ids in parts], again=again)
        except Exception as error:
            if len(parts) == 1:
                _log.exception("the model failed on a sequence of %d tokens", len(parts[0][0].ids))
                self._drop(parts[0][0], error)
            for part in parts if len(parts) > 1 else ():
                self._pass([part], again=True)
            return
        try:
            tokens = decoder.choose(logits, [running.work.temperature for running, _ in parts])
        except Exception as error:  # what was read is in the states by now: reading it again would make another text
            _log.exception("no tokens can be chosen")
            for running, _ in parts:
                self._drop(running, error)
            return
        self._note(parts, time.perf_counter() - begun)
        with self._wake:
            for running, ids in parts:
                self._shares.count(running.work.tenant, len(ids))
        for (running, ids), token in zip(parts, tokens, strict=True):
            running.at += len(ids)
            if running.at == len(running.ids):
                self._hand_over(running, token)

    def _note(self, parts: Sequence[tuple[_Running, Sequence[int]]], seconds: float) -> None:
        """Learn what reading costs, from passes that read prompts and copy no cache."""
        reading = [(running, ids) for running, ids in parts if not running.writes]
        if any(running.taken and not running.at for running, _ in reading):
            return
        if (tokens := sum(len(ids) for _, ids in reading)) >= _TELLING:
            self._meter.note(tokens, seconds)

    def _hand_over(self, running: _Running, token: int | None) -> None:
        try:
            if token is None:
                raise InternalError("The model computed something that is not a number.")
            if running.work.take(token, running.state):
                running.ids.append(token)
                return
        except Exception as error:
            self._drop(running, error)
            return
        self._drop(running)

    def _drop(self, running: _Running, error: Exception | None = None) -> None:
        if error is not None:
            running.work.fail(error)
        seconds = (time.perf_counter() - running.since) / len(self._running)
        self._running.remove(running)
        self._seconds_a_work += _SMOOTHING * (seconds - self._seconds_a_work)


def _bytes_of(work: Work) -> int:
    geometry = work.decoder.geometry
    return 0 if geometry is None else geometry.token_bytes * work.capacity


def _draining() -> Draining:
    return Draining("The engine is going down.", service="inference")
