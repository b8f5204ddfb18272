"""Users who write, change, erase and look for memories all the time, and who know what they were told."""

import asyncio
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from safetensors.numpy import save

from memos_client import AsyncClient, MemosError, NotFound

T = TypeVar("T")

_NOUNS = """
volcano violin harbour lantern tiger cathedral umbrella penguin bicycle orchard pirate glacier mushroom trumpet
castle submarine butterfly library desert kangaroo pumpkin telescope waterfall dragon carpet hammer island jungle
kitchen lemon mirror needle ocean piano rabbit saddle teapot unicorn village wagon yogurt zebra anchor bakery candle
dolphin eagle forest guitar helmet iceberg jacket ladder meadow necklace onion parrot rocket sailor temple violet
whale barrel cotton diamond engine feather garden honey insect jewel kettle lobster monkey nurse oyster pepper
quarry robot spider tunnel vampire window barber coral doctor emperor falcon goblin hermit judge knight lawyer miner
"""
WORDS = tuple(_NOUNS.split())
IDENTITY = {
    "model": "tiny@1",
    "weights_sha256": "a" * 64,
    "tokenizer_sha256": "b" * 64,
    "chat_template_sha256": "c" * 64,
    "rope_config": "{}",
    "dtype": "float32",
    "quantization": "none",
    "adapter": "base",
}
PATIENCE = 120.0
"""Seconds after which a call that never succeeds is a fault of the system."""

CALL_SECONDS = 15.0
NEAR = 100
"""Hits that a look by meaning asks for; a vault of a cycle holds a few hundred facts."""

_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN"}


TOKEN = re.compile(rb"zq[0-9a-f]{12}")
"""A word that is in one memory only, in every version of it another."""


class Violation(AssertionError):
    """The system broke its word."""


@dataclass
class Fact:
    """What a user was told of one memory."""

    name: str
    text: str = ""
    words: tuple[str, str, str] = ("", "", "")
    data: bytes = b""
    state: str = "live"
    purge: str = ""
    since: float = 0.0
    tokens: list[str] = field(default_factory=list)

    @property
    def token(self) -> str:
        """What its newest content holds and nothing else does."""
        return self.tokens[-1]


@dataclass
class Ledger:
    """Everything that was acknowledged in one cycle, in its vault."""

    vault: str
    facts: dict[str, Fact] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    retries: int = 0

    @property
    def acknowledged(self) -> int:
        """Operations that were answered with success."""
        return self.counts.total()

    def of(self, *states: str) -> list[Fact]:
        """Return the facts in these states."""
        return [fact for fact in self.facts.values() if fact.state in states]


class User:
    """One of them; works on facts of its own, and repeats what was not answered until it is."""

    def __init__(self, client: AsyncClient, ledger: Ledger, name: str, seed: str) -> None:
        self._client = client
        self._ledger = ledger
        self._name = name
        self._rng = random.Random(seed)
        self._facts: list[Fact] = []
        self._made = 0

    async def work(self, until: Callable[[], bool]) -> None:
        """Do one thing after the other."""
        while not until():
            weighted = self._choices()
            ((_, action),) = self._rng.choices(weighted, [weight for weight, _ in weighted])
            await action()

    def _choices(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        found: list[tuple[float, Callable[[], Awaitable[None]]]] = [(5, self._add), (0.3, self._add_adapter)]
        if live := [fact for fact in self._facts if fact.state == "live"]:
            fact = self._rng.choice(live)
            found += [
                (2, partial(self._get, fact)),
                (1, partial(self._delete, fact)),
                (0.15, partial(self._purge, fact)),
            ]
            if fact.text:
                found += [(3, partial(self._update, fact)), (4, partial(self._find, fact))]
        if deleted := [fact for fact in self._facts if fact.state == "deleted"]:
            gone = self._rng.choice(deleted)
            found += [(0.5, partial(self._undelete, gone)), (1, partial(self._miss, gone))]
        return found

    async def _add(self) -> None:
        fact = self._new()
        self._tell(fact)
        key = uuid.uuid4().hex
        made = lambda: self._client.create(  # noqa: E731
            self._ledger.vault, fact.text, name=fact.name, request_id=key, timeout=CALL_SECONDS
        )
        await self._try("add", made)
        self._keep(fact)
        if self._rng.random() < 0.5:
            await self._find(fact)

    async def _add_adapter(self) -> None:
        fact = self._new()
        fact.tokens.append(_new_token())
        values = np.frombuffer(fact.token.encode() * self._rng.randint(1, 2_000), dtype=np.uint8)
        fact.data = save({"lora_A": values})

        async def made() -> None:
            try:
                await self._client.create_parametric(
                    self._ledger.vault, fact.data, identity=IDENTITY, rank=8, name=fact.name, timeout=CALL_SECONDS
                )
            except MemosError as error:  # an attempt before has made it, and its answer was lost
                if error.reason != "DUPLICATE_CONTENT":
                    raise

        await self._try("add blob", made)
        self._keep(fact)

    async def _update(self, fact: Fact) -> None:
        self._tell(fact)
        key = uuid.uuid4().hex
        await self._try(
            "update",
            lambda: self._client.update(fact.name, text=fact.text, request_id=key, timeout=CALL_SECONDS),
        )
        fact.since = time.monotonic()

    async def _delete(self, fact: Fact) -> None:
        key = uuid.uuid4().hex
        await self._try("delete", lambda: self._client.delete(fact.name, request_id=key, timeout=CALL_SECONDS))
        fact.state = "deleted"

    async def _undelete(self, fact: Fact) -> None:
        key = uuid.uuid4().hex
        await self._try("undelete", lambda: self._client.undelete(fact.name, request_id=key, timeout=CALL_SECONDS))
        fact.state, fact.since = "live", time.monotonic()

    async def _purge(self, fact: Fact) -> None:
        await purge(self._client, self._ledger, fact, self._try)

    async def _get(self, fact: Fact) -> None:
        cube = await self._try("get", lambda: self._client.get(fact.name, timeout=CALL_SECONDS))
        if cube.text != fact.text:
            raise Violation(f"{fact.name} holds {cube.text!r}, and was told to hold {fact.text!r}")

    async def _miss(self, fact: Fact) -> None:
        async def read() -> None:
            try:
                await self._client.get(fact.name, timeout=CALL_SECONDS)
            except NotFound:
                return
            raise Violation(f"{fact.name} is {fact.state}, and was read")

        await self._try("get", read)

    async def _find(self, fact: Fact) -> None:
        """Look for a fact by its meaning alone: the words of the query are not those of the text."""
        answer = await self._try("search", lambda: near(self._client, self._ledger.vault, fact))
        names = {hit.cube.name for hit in answer.hits}
        if fact.name not in names and not answer.degraded:
            age = time.monotonic() - fact.since
            await self._get(fact)  # a memory that is lost altogether is told as that
            raise Violation(f"{fact.name}, written {age:.1f} s ago, is not found by its meaning: {answer.legs}")
        for gone in self._facts:
            if gone.state != "live" and gone.name in names:
                raise Violation(f"{gone.name} is {gone.state}, and was found")

    def _new(self) -> Fact:
        self._made += 1
        return Fact(f"tenants/local/cubes/{self._name}-{self._made}")

    def _keep(self, fact: Fact) -> None:
        fact.since = time.monotonic()
        self._facts.append(fact)
        self._ledger.facts[fact.name] = fact

    def _tell(self, fact: Fact) -> None:
        first, second, third = self._rng.sample(WORDS, 3)
        fact.words = (first, second, third)
        fact.tokens.append(_new_token())
        fact.text = f"Remark {fact.token}: {first}{second}{third}"

    async def _try(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        return await insist(self._ledger, what, call)


def _new_token() -> str:
    return f"zq{uuid.uuid4().hex[:12]}"


async def insist(ledger: Ledger, what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until it is answered, and count it.

    Raises:
        Violation: it is refused for a reason that does not pass, or never answered.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            answer = await call()
        except MemosError as error:
            if error.code not in _PASSING:
                raise Violation(f"{what} was refused with {error.code} {error.reason}: {error.message}") from error
            if time.monotonic() > end:
                raise Violation(
                    f"{what} was not answered for {PATIENCE:.0f} s: {error.code} {error.message}"
                ) from error
            ledger.retries += 1
            await asyncio.sleep(0.1)
        else:
            ledger.counts[what] += 1
            return answer


async def near(client: AsyncClient, vault: str, fact: Fact):  # type: ignore[no-untyped-def]
    """Return what a search by meaning finds."""
    return await client.search(" ".join(fact.words), vaults=[vault], top_k=NEAR, timeout=CALL_SECONDS)


async def purge(client: AsyncClient, ledger: Ledger, fact: Fact, insisting=None) -> None:  # type: ignore[no-untyped-def]
    """Erase a fact; done again with the same request id it is the same purge."""
    key = uuid.uuid4().hex
    wanted = lambda: client.purge(  # noqa: E731
        ledger.vault, [fact.name], expected_count=1, request_id=key, timeout=CALL_SECONDS
    )
    asked = await (insisting or (lambda what, call: insist(ledger, what, call)))("purge", wanted)
    fact.state, fact.purge = "purged", asked.purge.name
