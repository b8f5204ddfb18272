"""Lets a model take notes on messages: facts instead of raw talk."""

from contextlib import aclosing
from dataclasses import dataclass

from memos_interface.domain import extraction
from memos_interface.domain.chat import Delta
from memos_interface.domain.question import Turn
from memos_interface.domain.reader import Item, Reading
from memos_interface.ports import Delegation, Generator
from memos_interface.usecases.record_turn import WRITE_ACTIONS
from memos_kernel.cube import SemanticType
from memos_kernel.errors import ContextExceeded
from memos_kernel.names import VaultName
from memos_kernel.permission import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractFacts:
    """Replaces the messages of a reading by the facts that a model finds in them; plain texts stay."""

    generator: Generator
    delegation: Delegation

    async def __call__(
        self, reading: Reading, *, semantic_type: SemanticType, caller: Principal, vault: VaultName
    ) -> Reading:
        """Return the reading with facts. Each window gets a grant with time left: all together may outlive one.

        Raises:
            StateConflict: the running model is too small for it.
            Capacity: the model is away or its queue is full.
        """
        extraction.check_engine(await self.generator.describe())
        messages = [item for item in reading.items if not item.plain]
        texts = [item for item in reading.items if item.plain]
        items: list[Item] = []
        skipped = list(reading.skipped)
        for window in extraction.windows(messages):
            async with self.delegation.acting(caller, WRITE_ACTIONS, (vault,)):
                notes = await self._notes_on(window)
            found = extraction.facts(window, notes, semantic_type=semantic_type)
            items.extend(found.items)
            skipped.extend(found.skipped)
        return Reading((*items, *texts), tuple(sorted(skipped, key=lambda entry: entry.index)))

    async def _notes_on(self, window: tuple[Item, ...]) -> str:
        turns = (Turn("user", extraction.prompt(window)),)
        stream = self.generator.generate(turns, (), max_tokens=extraction.ANSWER_TOKENS, temperature=0.0)
        try:
            async with aclosing(stream):
                return "".join([event.text async for event in stream if isinstance(event, Delta)])
        except ContextExceeded:  # one message that is longer than the model: it is kept as it is
            return ""
