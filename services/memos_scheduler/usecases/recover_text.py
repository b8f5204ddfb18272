"""The job `recover_text`: writes down as text what a KV cache or an adapter holds."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from memos_kernel.cube import Kind, MemCube, Origin, Plaintext
from memos_kernel.errors import InvalidField, NotFound, StateConflict
from memos_kernel.ids import IdFactory
from memos_kernel.jobs import CUBE
from memos_kernel.names import CubeName
from memos_kernel.prompt import memory_words
from memos_scheduler.domain.jobs import RECOVER_TEXT, Job, JobKind, Progress
from memos_scheduler.ports import Engine, Memories, TextRecoverer
from memos_scheduler.usecases.conversion import asked, derived

_RECOVERED = 0.6
"""How much of the whole is done then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverText:
    """Has inference read a cache, or ask an adapter, and stores what that gives as memories derived from it.

    What a memory that the cube was made of says in the same words is left as it is, and so is what an earlier attempt
    stored.
    """

    memories: Memories
    recoverer: TextRecoverer
    engine: Engine
    new_id: IdFactory

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return RECOVER_TEXT

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield after each step; the last one says how many memories there are, and how many of them are new."""
        vault, names = asked(job)
        if len(names) != 1:
            raise InvalidField(f"The job names {len(names)} cubes; give one.", field="job.parameters")
        (source,) = await self.memories.read(names)
        if source.vault != vault:
            raise InvalidField(f"{source.name} is not in {vault}.", field="name")
        if source.kind is Kind.PLAINTEXT:
            raise InvalidField(f"{source.name} is text already; name a KV cache or an adapter.", field="name")
        found = await self.recoverer.recover(source)
        yield Progress(fraction=_RECOVERED)
        known, new = await self._said_by_sources(source), 0
        for number, one in enumerate(found, 1):
            # a cache's last line may lack its last sign, where the tokenizer makes one token of it and the line feed
            if not any(said.startswith(one.text) for said in known):
                cube = replace(
                    derived(job, Kind.PLAINTEXT, Plaintext(one.text), [source]),
                    name=CubeName(vault.tenant, self.new_id()),
                    origin=Origin.CONVERSION,
                    sensitivity_tags=source.sensitivity_tags,
                    expire_time=source.expire_time,
                )
                stored = await self.memories.create(cube, vector=await self.engine.embed(one.text))
                new += stored.name == cube.name
            share = _RECOVERED + (1 - _RECOVERED) * number / len(found)
            yield Progress(fraction=min(share, 0.99))
        result = {CUBE: str(source.name), "texts": str(len(found)), "new": str(new)}
        if found:
            result["confidence"] = f"{min(one.confidence for one in found):.2f}"
        yield Progress(fraction=1.0, result=result)

    async def _said_by_sources(self, derived: MemCube) -> set[str]:
        """Return the words of the memories that a cube was made of, as they are and as a prompt tells them.

        Raises:
            StateConflict: one has gone meanwhile, and what it told must not come back.
        """
        try:
            sources = await self.memories.read([ref.name for ref in derived.derived_from])
        except NotFound as error:
            raise StateConflict(
                f"A memory of {derived.name} has gone, so nothing of it is written down.",
                name=str(derived.name),
                state="STALE",
            ) from error
        return {said for cube in sources for said in (cube.text, memory_words(cube))}
