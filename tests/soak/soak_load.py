"""Users of a system under fire: what they were told, how long each answer took, and which errors they met."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from chaos_load import CALL_SECONDS, Fact, Ledger, User, Violation

from memos_client import AsyncClient, MemosError

T = TypeVar("T")

RETRYABLE = frozenset({"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
"""What clients/README.md tells callers to repeat."""
PATIENCE_SECONDS = 120.0
LANGUAGES = {"go": ["go/smoke"], "typescript": ["node", "typescript/dist/smoke.js"], "java": ["java/smoke"]}
"""How the smoke program of each language is run in the folder of clients."""

BY_MEANING = ("dense", "late_interaction", "neighbours", "hops", "sessions")
"""What is left out of a search for a word that is like no other: to vectors all such words are alike."""
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Sample:
    """One attempt: when it began and how long it took, in seconds, and how it ended."""

    at: float
    seconds: float
    what: str
    code: str


@dataclass
class Record:
    """What all users have seen, on one clock that begins with the load."""

    begin: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    programs: Counter[str] = field(default_factory=Counter)

    def now(self) -> float:
        return time.monotonic() - self.begin

    async def timed(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make one attempt, and keep how it went."""
        begin = self.now()
        code = "OK"
        try:
            return await call()
        except MemosError as error:
            code = error.code
            self.errors[f"{error.code} {error.reason}".strip()] += 1
            raise
        finally:
            self.samples.append(Sample(begin, self.now() - begin, what, code))


class SoakUser(User):
    """Writes, changes, erases and looks for memories; repeats what may be repeated."""

    def __init__(self, client: AsyncClient, ledger: Ledger, name: str, seed: str, record: Record) -> None:
        super().__init__(client, ledger, name, seed)
        self._record = record

    async def _find(self, fact: Fact) -> None:
        """Look for the word that is in this memory alone."""
        search = lambda: self._client.search(  # noqa: E731
            fact.token, vaults=[self._ledger.vault], without=BY_MEANING, timeout=CALL_SECONDS
        )
        answer = await self._try("search", search)
        found = [hit.cube.name for hit in answer.hits]
        if fact.name not in found:
            await self._get(fact)  # a memory that is lost altogether is told as that
            age = time.monotonic() - fact.since
            raise Violation(f"{fact.name}, written {age:.1f} s ago, is not found by its own word: {answer.legs}")
        if gone := [other.name for other in self._facts if other.state != "live" and other.name in found]:
            raise Violation(f"{gone[0]} is deleted, and was found")

    async def _try(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await self._record.timed(what, call)
            except MemosError as error:
                if error.code not in RETRYABLE:
                    raise Violation(f"{what} was refused with {error.code} {error.reason}: {error.message}") from error
                if time.monotonic() > end:
                    raise Violation(f"{what} was not answered for {PATIENCE_SECONDS:.0f} s: {error.message}") from error
                self._ledger.retries += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._ledger.counts[what] += 1
                return answer


async def talk(client: AsyncClient, vault: str, record: Record, until: Callable[[], bool]) -> None:
    """Ask about a fact that never changes, again and again; every answer that comes has to be right."""
    await client.add(vault, ["The captain's parrot is called Marigold."])
    while not until():

        async def ask() -> str:
            events = client.chat("What is the captain's parrot called?", vaults=[vault], timeout=CALL_SECONDS)
            return "".join([str(event) async for event in events if type(event).__name__ == "ChatDelta"])

        try:
            answer = await record.timed("chat", ask)
        except MemosError as error:
            if error.code not in RETRYABLE:
                raise Violation(f"a chat was refused with {error.code} {error.reason}: {error.message}") from error
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            if "Marigold" not in answer:
                raise Violation(f"a chat answered {answer!r}")


async def run_program(
    name: str, folder: Path, env: Mapping[str, str], record: Record, until: Callable[[], bool]
) -> None:
    """Run the smoke program of another language again and again; it has to do all of it, or meet a retryable error."""
    while not until():
        begin = record.now()
        running = await asyncio.create_subprocess_exec(
            *LANGUAGES[name], cwd=folder, env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, said = await running.communicate()
        if running.returncode == 0:
            seen = json.loads(out)
            if seen["answer"] != seen["deltas"] or seen["reason"] != "VAULT_NOT_FOUND":
                raise Violation(f"{name}: {seen}")
            record.programs[f"{name} OK"] += 1
        else:
            text = said.decode(errors="replace")
            told = text.upper().replace("_", "").replace("CANCELED", "CANCELLED")  # Unavailable, Canceled in Go
            met = next((code for code in RETRYABLE if code.replace("_", "") in told), "")
            if not met:
                raise Violation(f"{name}: {text[-500:]}")
            record.programs[f"{name} {met}"] += 1
        record.samples.append(Sample(begin, record.now() - begin, name, "OK" if running.returncode == 0 else "ERROR"))
        await asyncio.sleep(1.0)
