"""Candidates of a search with what is known of them, and the features that stages give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from memos_storage.domain.turns import Role, Turn

Feature = npt.NDArray[np.float64]
"""One value a candidate, in the order of the pool."""

_SHORT = 40.0
"""Terms of a turn of a talk; half of the turns may be longer before a conversation counts less as one."""


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A live text, and the turns around it in its conversation.

    Attributes:
        vault: a number of its vault, for its statistics.
        counts: how often each term of the query is in it.
        around: distance -> uid: -1 is the turn before it, 1 the next one.
    """

    uid: str
    turn: Turn
    vault: int
    counts: tuple[int, ...]
    around: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VaultWords:
    """Statistics of a vault: the average length of a text in terms, and the IDF of each term of the query."""

    average_length: float
    idf: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Turns by uid, with those around them, and the statistics of their vaults.

    Attributes:
        words: for each word of the query's tokens, the places of its terms among those of the query.
    """

    turns: Mapping[str, SeenTurn]
    vaults: Mapping[int, VaultWords]
    words: tuple[tuple[int, ...], ...] = ()

    def with_others(self, other: "Seen") -> "Seen":
        """Return both together."""
        return Seen({**other.turns, **self.turns}, {**other.vaults, **self.vaults}, self.words or other.words)


@dataclass(slots=True)
class Pool:
    """The candidates, best first as far as the legs know, and their features by name."""

    uids: list[str]
    seen: Seen
    features: dict[str, Feature] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def turns(self) -> list[SeenTurn | None]:
        """What is known of each candidate; None of one whose text of then is no live one."""
        return [self.seen.turns.get(uid) for uid in self.uids]

    def add(self, uids: Sequence[str], features: Mapping[str, Sequence[float]]) -> None:
        """Add candidates with their values of the features that there are so far."""
        self.uids += uids
        for name, values in self.features.items():
            self.features[name] = np.concatenate([values, np.asarray(features[name], dtype=np.float64)])

    def keep(self, places: Sequence[int]) -> None:
        """Drop the candidates at other places."""
        self.uids = [self.uids[place] for place in places]
        self.features = {name: values[list(places)] for name, values in self.features.items()}

    @property
    def talk(self) -> float:
        """Return how much these are turns of people who talk with each other, from 0 to 1.

        Such turns are short, and mean little without those around them; what an assistant answers is long, and stands
        for itself.
        """
        known = [seen.turn for seen in self.turns if seen is not None]
        if not known:
            return 0.0
        named = float(np.mean([bool(turn.speaker and turn.session) for turn in known]))
        answers = float(np.mean([turn.role is Role.ASSISTANT for turn in known]))
        length = float(np.median([turn.length for turn in known]))
        return named * max(0.0, 1.0 - 3.0 * answers) * min(1.0, _SHORT / max(length, 1.0))


def standardized(values: Feature, *, floor: float) -> Feature:
    """Return values less their mean, over their spread.

    Args:
        values: one a candidate.
        floor: added to the spread in squares: among few or equal candidates small differences stay small.
    """
    if not len(values):
        return values
    spread = float(np.hypot(values.std(), floor))
    found: Feature = (values - values.mean()) / spread
    return found
