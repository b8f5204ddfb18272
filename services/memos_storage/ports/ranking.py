"""What the stages of a search's ranking need, and what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from memos_kernel.token_codes import QueryTokens
from memos_storage.domain.pool import Feature, Pool, Seen
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import Vector
from memos_storage.domain.walks import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query as the stages take it.

    Attributes:
        vector: of the query; None if the embedder is away, or the query leaves the dense leg out.
        embedder: of the query's vectors, with those of its tokens; empty if it is away.
        tokens: vectors of its tokens; None if there are none.
        selection: which cubes are looked for.
        now: the moment that times in the query are relative to.
        past: whether it is asked about a moment that has passed.
        changed: uids of cubes that are other by now than they were then; of these the live text tells nothing.
        without: names of legs and stages that the query leaves out.
    """

    text: str
    vector: Vector | None = None
    embedder: str = ""
    tokens: QueryTokens | None = None
    selection: Selection
    now: datetime
    past: bool = False
    changed: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    @property
    def words(self) -> Sequence[str]:
        """The word of each token of the query; none if there are no tokens."""
        return () if self.tokens is None else self.tokens.words


class TurnReader(Protocol):
    """Live texts as the ranking sees them."""

    async def turns(self, uids: Sequence[str], query: str, *, words: Sequence[str] = ()) -> Seen:
        """Return the turns of these cubes and those around each at `STEPS`, with what they share with a query.

        Cubes without a live text are left out.

        Args:
            uids: of the cubes.
            query: its terms are counted.
            words: those of the query's tokens.
        """
        ...

    async def tokens(self, uids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Return the codes of the tokens of cubes that have some of an embedder, see `memos_kernel.token_codes`."""
        ...


class TermGraph(Protocol):
    """The words that live texts share."""

    async def walk(self, seeds: Mapping[str, float], known: str) -> Walk:
        """Walk from texts to others of their vaults by rare terms.

        Args:
            seeds: uid -> how much what it leads to counts.
            known: words that lead nowhere, such as those of the query; its first `QUERY_TERMS` count.
        """
        ...

    async def rare_terms(self, uids: Sequence[str], *, most: int) -> dict[str, dict[str, float]]:
        """Return the `most` rarest terms of texts, and the IDF of each in its vault; texts without any are left out."""
        ...

    def written(self, text: str, terms: Sequence[str]) -> tuple[str, ...]:
        """Return terms as they are written in a text, without those that it has not."""
        ...

    def first_name(self, text: str) -> str:
        """Return the first name in a text, of persons or other things; empty if it has none."""
        ...


class Ranker(Protocol):
    """Scores the first candidates of a search by all of their features."""

    def __call__(self, features: Mapping[str, Feature], scores: Feature) -> Feature:
        """Return the scores of candidates, to be compared among them only.

        Args:
            features: by name, each of shape (candidates,).
            scores: of the untrained sum, shape (candidates,).
        """
        ...


class Stage(Protocol):
    """A step of the ranking: adds features to the candidates, or adds candidates."""

    @property
    def name(self) -> str:
        """What a query calls it, to leave it out, and what the answer calls it."""
        ...

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """Do it; return why it could not, or an empty text."""
        ...
