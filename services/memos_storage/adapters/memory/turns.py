"""Turns with those around them, in memory."""

from collections.abc import Sequence

from memos_kernel.cube import Kind, MemCube
from memos_kernel.moments import micros
from memos_kernel.names import VaultName
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.terms import frequencies, query_places, wanted_terms
from memos_storage.domain.bm25 import idf
from memos_storage.domain.pool import STEPS, Seen, SeenTurn, VaultWords
from memos_storage.domain.turns import times_of, turn_of
from memos_storage.domain.values import PointId


class MemoryTurnReader:
    """Implements `ports.TurnReader` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def turns(self, uids: Sequence[str], query: str, *, words: Sequence[str] = ()) -> Seen:
        """Return the turns of these cubes and those around them, with what they share with a query."""
        wanted = wanted_terms(query)
        live = self._live()
        around = {uid: _around(live[uid], live) for uid in uids if uid in live}
        shown = dict.fromkeys([*around, *(uid for steps in around.values() for uid in steps.values())])
        numbers = {
            vault: number for number, vault in enumerate(sorted({cube.vault for cube in live.values()}, key=str))
        }
        return Seen.of(
            [self._seen(live[uid], wanted, numbers, around.get(uid, {})) for uid in shown],
            {
                number: _statistics([cube for cube in live.values() if cube.vault == vault], wanted)
                for vault, number in numbers.items()
                if any(live[uid].vault == vault for uid in shown)
            },
            terms=len(wanted),
            asked=query_places(query, wanted, words),
        )

    async def tokens(self, uids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Return the codes of the tokens of cubes that have some of an embedder."""
        found = {}
        for uid in uids:
            row = self._catalog.tables.cubes.get(uid)
            held = {} if row is None else self._catalog.tables.vectors.get(PointId(uid, row.content_revision), {})
            if embedder in held and held[embedder].tokens:
                found[uid] = held[embedder].tokens or b""
        return found

    def _live(self) -> dict[str, MemCube]:
        rows = self._catalog.tables.cubes.items()
        return {uid: row.cube for uid, row in rows if row.cube.delete_time is None and row.cube.kind is Kind.PLAINTEXT}

    def _seen(
        self, cube: MemCube, wanted: Sequence[str], numbers: dict[VaultName, int], around: dict[int, str]
    ) -> SeenTurn:
        counted = frequencies(cube)
        turn = turn_of(cube, length=counted.total(), named=times_of(cube))
        counts = tuple(counted[term] for term in wanted)
        valid = micros(cube.valid_from), micros(cube.valid_until)
        return SeenTurn(cube.uid, turn, numbers[cube.vault], counts, around, valid)


def _around(cube: MemCube, live: dict[str, MemCube]) -> dict[int, str]:
    """Return the uids of the turns around a cube in its conversation, by step."""
    own = turn_of(cube, length=0)
    if not own.session:
        return {}
    session = sorted(
        (turn.time, other.uid)
        for other in live.values()
        if other.vault == cube.vault and (turn := turn_of(other, length=0)).session == own.session
    )
    place = session.index((own.time, cube.uid))
    return {step: session[place + step][1] for step in STEPS if 0 <= place + step < len(session)}


def _statistics(cubes: Sequence[MemCube], wanted: Sequence[str]) -> VaultWords:
    counted = [counts for counts in map(frequencies, cubes) if counts]
    documents = max(len(counted), 1)
    held = [sum(term in counts for counts in counted) for term in wanted]
    return VaultWords(
        average_length=sum(counts.total() for counts in counted) / documents,
        idf=tuple(idf(documents, count) for count in held),
    )
