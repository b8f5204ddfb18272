"""Store new cubes: all in one transaction, each with an outcome of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import MemCube, State
from memos_kernel.errors import DuplicateContent, InvalidField, LimitExceeded, MemosError, MissingField, Overloaded
from memos_kernel.ids import Clock, IdFactory
from memos_storage.domain.blobs import with_blob
from memos_storage.domain.checks import check_new_cube, check_vector
from memos_storage.domain.derived import is_derived
from memos_storage.domain.filters import effective_state
from memos_storage.domain.memory_links import Earlier
from memos_storage.domain.revisions import deleted, first_revision, moved
from memos_storage.domain.values import Answer, NewCube, Outcome, Vector
from memos_storage.ports import BlobRegistry, Catalog, Transaction, VectorIndex
from memos_storage.usecases.access import require_vault, shown
from memos_storage.usecases.derived import from_sources, replace_source
from memos_storage.usecases.mutation import Mutation, once
from memos_storage.usecases.supersession.decide import repeats, told_anew
from memos_storage.usecases.supersession.find_earlier import FindEarlier
from memos_storage.usecases.supersession.outdate import Linker
from memos_storage.usecases.tombstones import Tombstones

SWEEP_SHARE = 0.5
"""Part of the rows that may wait for the index which sweeps may fill; the rest is for those who write."""

_OVER = frozenset({State.EXPIRED, State.STALE})
"""States from which a cube does not come back by itself, so that its content is free for a new one."""

RETRY_AFTER = 1.0
"""Seconds after which a writer may try again when too many rows wait for the index."""


@dataclass(frozen=True, slots=True)
class Created:
    """The answer, and whether the vector index was away."""

    answer: Answer
    degraded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCubes:
    """Stores up to `limits.BATCH_ITEMS` cubes."""

    catalog: Catalog
    blobs: BlobRegistry
    index: VectorIndex
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones
    earlier: FindEarlier

    async def __call__(
        self,
        items: Sequence[NewCube | MemosError],
        *,
        return_existing: bool,
        mutation: Mutation,
        supersede: bool = False,
    ) -> Created:
        """Return an outcome for each item; an item that could not be read is its error, and stays one.

        Args:
            items: what to store.
            return_existing: whether content that the vault holds is answered with the cube that holds it.
            mutation: who asks.
            supersede: whether what is stated is compared with what the vault says already, see `usecases.supersession`.

        Raises:
            MissingField, LimitExceeded: no items or too many.
            QuotaExceeded: a vault has no room for all that would be stored in it; nothing was.
            RequestIdReused, Overloaded, StoreFull: nothing was stored.
        """
        if not items:
            raise MissingField("items is empty; give at least one cube.", field="items")
        if len(items) > limits.BATCH_ITEMS:
            raise LimitExceeded(
                f"items has {len(items)} cubes; the limit is {limits.BATCH_ITEMS}. Split the batch.",
                field="items",
                limit=str(limits.BATCH_ITEMS),
                unit="cubes",
            )
        now = self.clock.now()
        provenance_id = self.ids()
        ready = [await self._prepare(item, index, mutation, provenance_id, now) for index, item in enumerate(items)]
        new = [item for item in ready if isinstance(item, NewCube)]
        earlier = await self.earlier(new, now=now) if supersede else {}

        def work(tx: Transaction) -> Answer:
            made = [_with_sources(tx, item, now) for item in ready]
            order = _in_one_order(made)
            new = [item for item in (made[index] for index in order) if isinstance(item, NewCube)]
            check_room(tx, sum(1 for item in new if item.vector is not None))
            for vault in {item.cube.vault for item in new} & mutation.grant.quotas.keys():
                tx.limit(vault, mutation.grant.quotas[vault])
            tx.claim([item.cube for item in new])
            outcomes = [Outcome()] * len(made)
            for index in order:
                item = _said_anew(tx, made[index], earlier, now)
                known = _said_again(tx, item, earlier) if return_existing else None
                outcomes[index] = known or self._store(tx, item, mutation, return_existing, now)
            outcomes = [self._linked(tx, outcome, earlier, mutation, now) for outcome in outcomes]
            return Answer(tuple(_as_they_are(tx, outcomes)), provenance_id)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        outcomes = tuple(_shown(outcome, mutation, now) for outcome in answer.outcomes)
        return Created(replace(answer, outcomes=outcomes), degraded=not self.index.healthy)

    async def _prepare(
        self, item: NewCube | MemosError, index: int, mutation: Mutation, provenance_id: str, now: datetime
    ) -> NewCube | MemosError:
        if isinstance(item, MemosError):
            return item
        try:
            return NewCube(await self._checked(item, f"items[{index}]", mutation, provenance_id, now), item.vector)
        except MemosError as error:
            return error

    async def _checked(
        self, item: NewCube, field: str, mutation: Mutation, provenance_id: str, now: datetime
    ) -> MemCube:
        require_vault(mutation.grant, item.cube.vault, field=f"{field}.cube.vault")
        check_new_cube(item.cube, now=now, field=f"{field}.cube")
        if item.vector is not None:
            check_vector(item.vector, field=f"{field}.embedding")
            if item.cube.blob is not None:
                raise InvalidField("Only a text has a vector.", field=f"{field}.embedding")
        return first_revision(
            await self._with_blob(item.cube, field=f"{field}.cube"),
            uid=self.ids(),
            owner=mutation.grant.principal,
            now=now,
            provenance_id=provenance_id,
            trace=mutation.trace,
        )

    async def _with_blob(self, cube: MemCube, *, field: str) -> MemCube:
        """Return the cube with what the catalogue knows of its blob."""
        if cube.blob is None:
            return cube
        where = f"{field}.{cube.kind.name.lower()}"
        known = await self.blobs.find(cube.vault, cube.blob.name)
        if known is None:
            raise _no_blob(cube, field=where)
        return with_blob(cube, known, field=where)

    def _store(
        self, tx: Transaction, item: NewCube | MemosError, mutation: Mutation, return_existing: bool, now: datetime
    ) -> Outcome:
        if isinstance(item, MemosError):
            return Outcome(error=item)
        try:
            if item.vector is not None:
                check_known_dimensions(tx, item.vector, field="embedding")
            self.tombstones.check(tx, item.cube)
            _insert(tx, item)
        except DuplicateContent as error:
            if item.cube.blob is not None:  # bytes that the vault has already
                tx.blobs.drop(item.cube.blob.name)
            return self._held(tx, item, error, mutation, return_existing, now)
        except MemosError as error:
            tx.release(item.cube)
            return Outcome(error=error)
        tx.audit(mutation.event(self.ids, "cube.create", item.cube, now=now))
        return Outcome(item.cube, created=True)

    def _linked(
        self, tx: Transaction, outcome: Outcome, earlier: Mapping[str, Earlier], mutation: Mutation, now: datetime
    ) -> Outcome:
        """Link what was stored to what it outdates."""
        cube = outcome.cube
        if cube is None or not outcome.created or cube.uid not in earlier:
            return outcome
        linker, known = Linker(tx, mutation, self.ids, now), earlier[cube.uid]
        links = linker.link_earlier(cube, known.judged)
        if known.same is not None:
            links = (*links, *linker.link_retold(cube, known.same))
        return replace(outcome, links=links)

    def _held(
        self,
        tx: Transaction,
        item: NewCube,
        duplicate: DuplicateContent,
        mutation: Mutation,
        return_existing: bool,
        now: datetime,
    ) -> Outcome:
        """Answer for content that the vault has already; what is acknowledged must be found by the next search."""
        held = tx.holder(item.cube.vault, item.cube.content_hash)
        if held is None:
            return Outcome(error=duplicate)
        cube = held.cube
        if effective_state(cube, now=now) in _OVER:
            gone = deleted(cube, now=now)
            replace_source(tx, cube, gone, mutation, self.ids, now=now)
            reason = "It was out of use, and its content came again."
            tx.audit(mutation.event(self.ids, "cube.delete", gone, now=now, reason=reason))
            return self._store(tx, item, mutation, return_existing, now)
        if not return_existing:
            return Outcome(error=duplicate)
        if cube.state is State.ARCHIVED and item.cube.state is not State.ARCHIVED:
            cube = moved(cube, state=State.ACTIVATED, frozen=cube.frozen, now=now)
            tx.replace(cube)
            reason = "Its content came again."
            tx.audit(mutation.event(self.ids, "cube.transition", cube, now=now, reason=reason))
        return Outcome(cube)


def _with_sources(tx: Transaction, item: NewCube | MemosError, now: datetime) -> NewCube | MemosError:
    """Return a cube that stands for others with what it takes over from them."""
    if isinstance(item, MemosError) or not is_derived(item.cube):
        return item
    try:
        return replace(item, cube=from_sources(tx, item.cube, now=now))
    except MemosError as error:
        return error


def _as_they_are(tx: Transaction, outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """Return outcomes with the cubes as they are now: one of them may have ended the validity of another."""
    ended = {link.older_uid for outcome in outcomes for link in outcome.links}
    for outcome in outcomes:
        cube = outcome.cube
        stored = tx.live(cube.name) if cube is not None and cube.uid in ended else None
        yield outcome if stored is None else replace(outcome, cube=stored.cube)


def _said_anew(
    tx: Transaction, item: NewCube | MemosError, earlier: Mapping[str, Earlier], now: datetime
) -> NewCube | MemosError:
    """Return a text that has become untrue and is told again as another memory, however often that happens."""
    if isinstance(item, MemosError) or item.cube.uid not in earlier:
        return item
    cube, tried = item.cube, set[str]()
    while cube.content_hash not in tried:
        tried.add(cube.content_hash)
        held = tx.holder(cube.vault, cube.content_hash)
        anew = None if held is None else told_anew(item.cube, held.cube, now=now)
        if anew is None:
            return replace(item, cube=cube)
        cube = anew
    return item


def _said_again(tx: Transaction, item: NewCube | MemosError, earlier: Mapping[str, Earlier]) -> Outcome | None:
    """Return the outcome of a text that the vault holds in the same words; None if it is to be stored."""
    if isinstance(item, MemosError) or item.cube.uid not in earlier:
        return None
    same = earlier[item.cube.uid].same
    held = tx.live(same.name) if same is not None else None
    if same is None or held is None or held.cube.uid != same.uid or held.cube.text != same.text:
        return None
    if not repeats(item.cube, held.cube):
        return None
    tx.release(item.cube)
    return Outcome(held.cube)


def _insert(tx: Transaction, item: NewCube) -> None:
    cube = item.cube
    if cube.blob is not None and not tx.blobs.free(cube.vault, cube.blob.name):
        raise _no_blob(cube, field=f"cube.{cube.kind.name.lower()}")
    tx.insert(cube, vector=item.vector)
    if cube.blob is not None:
        tx.blobs.take(cube.blob.name, cube.uid)


def _no_blob(cube: MemCube, *, field: str) -> InvalidField:
    return InvalidField(
        f"{field}.blob.name names no blob of {cube.vault} that waits for a cube; upload one with UploadBlob, and use it"
        " once.",
        field=f"{field}.blob.name",
    )


def _shown(outcome: Outcome, mutation: Mutation, now: datetime) -> Outcome:
    if outcome.cube is None:
        return outcome
    return replace(outcome, cube=shown(outcome.cube, mutation.grant, now=now))


def _in_one_order(items: Sequence[NewCube | MemosError]) -> list[int]:
    """Return positions in the order of contents: batches that overlap wait for each other, and not crosswise."""
    return sorted(range(len(items)), key=lambda index: _content(items[index]))


def _content(item: NewCube | MemosError) -> str:
    return item.cube.content_hash if isinstance(item, NewCube) else ""


def check_room(tx: Transaction, rows: int, *, share: float = 1.0) -> None:
    """Refuse rows that a search would have to scan beyond the bound, or beyond a share of it.

    Raises:
        Overloaded: the vector index is too far behind.
    """
    waiting, bound = tx.pending(), int(limits.PENDING_ROWS * share)
    if rows and waiting + rows > bound:
        raise Overloaded(
            f"{waiting} rows wait for the vector index; the bound is {bound}. Try again later.",
            retry_after=RETRY_AFTER,
            queue="vector index",
        )


def check_known_dimensions(tx: Transaction, vector: Vector, *, field: str) -> None:
    """Refuse a vector whose size is not that of the embedder's other vectors.

    Raises:
        InvalidField: it is not.
    """
    known = tx.dimensions(vector.embedder)
    if known is not None and known != vector.values.size:
        check_vector(vector, field=field, dimensions=known)
