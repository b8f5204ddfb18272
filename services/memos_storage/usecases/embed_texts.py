"""How another embedder takes the place of the present one: every text gets a vector of it, and then it is adopted."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_kernel.ids import Clock
from memos_kernel.permission import Grant
from memos_storage.domain.checks import check_vector
from memos_storage.domain.values import PointId, TextPlace, Vector
from memos_storage.ports import BareTexts, Catalog, Transaction
from memos_storage.usecases.create_cubes import check_known_dimensions, check_room


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTexts:
    """Lists the texts of a tenant that have no vector of an embedder, or none of their tokens yet."""

    texts: BareTexts

    async def __call__(
        self, embedder: str, *, past: bool, after: TextPlace | None, limit: int, grant: Grant
    ) -> tuple[list[MemCube], TextPlace | None]:
        """Return cubes, each in the revision that brought the text, and the place behind them; None at the end.

        Raises:
            MissingField, InvalidField, LimitExceeded: no embedder, or the number.
        """
        _check_embedder(embedder)
        if limit < 1:
            raise InvalidField(f"limit is {limit}; give 1 to {limits.BATCH_ITEMS}.", field="limit")
        _check_count(limit, field="limit", unit="texts")
        found = await self.texts.page(grant.principal.tenant, embedder, past=past, after=after, limit=limit)
        return [text.stored.cube for text in found], found[-1].place if len(found) == limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutVectors:
    """Stores vectors of another embedder; the index follows by the outbox, as it follows any write."""

    catalog: Catalog
    clock: Clock

    async def __call__(self, vectors: Sequence[tuple[PointId, Vector]], *, grant: Grant) -> int:
        """Return how many are new; those of texts that are gone are left out.

        Raises:
            MissingField, InvalidField, LimitExceeded: no vectors, too many, or one that cannot be compared.
            Overloaded, StoreFull: nothing was stored.
        """
        if not vectors:
            raise MissingField("vectors is empty; give at least one.", field="vectors")
        _check_count(len(vectors), field="vectors", unit="vectors")
        for index, (_, vector) in enumerate(vectors):
            check_vector(vector, field=f"vectors[{index}].embedding")
        now = self.clock.now()

        def work(tx: Transaction) -> int:
            check_room(tx, len(vectors))
            for index, (_, vector) in enumerate(vectors):
                check_known_dimensions(tx, vector, field=f"vectors[{index}].embedding")
            in_one_order = sorted(vectors, key=lambda item: item[0])
            return sum(tx.add_vector(grant.principal.tenant, id, vector, now=now) for id, vector in in_one_order)

        return await self.catalog.write(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptEmbedder:
    """Switches searches to an embedder that every text has a vector of."""

    texts: BareTexts
    catalog: Catalog

    async def __call__(self, embedder: str) -> bool:
        """Return whether searches go by it now.

        What is written meanwhile with a vector of another embedder alone is found by its words, until the next round
        of the job gives it a vector.

        Raises:
            MissingField: no embedder.
        """
        _check_embedder(embedder)
        if await self.catalog.embedder() == embedder:
            return True
        if await self.texts.any(embedder):
            return False

        def work(tx: Transaction) -> bool:
            if tx.dimensions(embedder) is None:  # no text at all, and the first one decides
                return False
            tx.adopt_embedder(embedder)
            return True

        return await self.catalog.write(work)


def _check_embedder(embedder: str) -> None:
    if not embedder:
        raise MissingField("embedder is empty; name one.", field="embedder")


def _check_count(count: int, *, field: str, unit: str) -> None:
    if count > limits.BATCH_ITEMS:
        raise LimitExceeded(
            f"{field} is {count}; the limit is {limits.BATCH_ITEMS}.",
            field=field,
            limit=str(limits.BATCH_ITEMS),
            unit=unit,
        )
