"""Candidates of a search with what is known of them, and the features that stages give them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from memos_storage.domain.turns import Role, Turn

Feature = npt.NDArray[np.float64]
"""One value a candidate, in the order of the pool."""
Places = npt.NDArray[np.int64]

STEPS = (-3, -2, -1, 1, 2)
"""Distances at which the turns around one are known: -1 is the turn before it, 1 the next one."""
NOBODY = -1
"""In a list of places: there is none."""

_SHORT = 40.0
"""Terms of a turn of a talk; half of the turns may be longer before a conversation counts less as one."""


@dataclass(frozen=True, slots=True)
class VaultWords:
    """Statistics of a vault: the average length of a text in terms, and the IDF of each term of the query."""

    average_length: float
    idf: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A live text: a number of its vault, how often each term of the query is in it, and the uids around it by step."""

    uid: str
    turn: Turn
    vault: int
    counts: tuple[int, ...]
    around: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Live texts in columns, those that were asked for and those around them, with the statistics of their vaults.

    Attributes:
        uids: of the texts; the other columns are in this order.
        times: in microseconds since 1970, UTC.
        counts: how often each term of the query is in each, shape (texts, terms).
        around: places of the turns at each of `STEPS`, shape (texts, steps); NOBODY where there is none, and throughout
            for texts that are here only as those around others.
        words: for each word of the query's tokens, the places of its terms among those of the query.
    """

    uids: Sequence[str]
    vaults: Places
    sessions: Sequence[str]
    speakers: Sequence[str]
    times: Places
    roles: Places
    marks: Places
    lengths: Feature
    counts: Feature
    around: Places
    statistics: Mapping[int, VaultWords]
    words: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(
        cls,
        turns: Sequence[SeenTurn],
        statistics: Mapping[int, VaultWords],
        *,
        terms: int,
        words: tuple[tuple[int, ...], ...] = (),
    ) -> "Seen":
        """Return turns as columns."""
        place = {seen.uid: index for index, seen in enumerate(turns)}
        around = [[place.get(seen.around.get(step, ""), NOBODY) for step in STEPS] for seen in turns]
        return cls(
            uids=[seen.uid for seen in turns],
            vaults=np.array([seen.vault for seen in turns], dtype=np.int64),
            sessions=[seen.turn.session for seen in turns],
            speakers=[seen.turn.speaker for seen in turns],
            times=np.array([seen.turn.time for seen in turns], dtype=np.int64),
            roles=np.array([seen.turn.role for seen in turns], dtype=np.int64),
            marks=np.array([seen.turn.marks for seen in turns], dtype=np.int64),
            lengths=np.array([seen.turn.length for seen in turns], dtype=np.float64),
            counts=np.array([seen.counts for seen in turns], dtype=np.float64).reshape(len(turns), terms),
            around=np.array(around, dtype=np.int64).reshape(len(turns), len(STEPS)),
            statistics=statistics,
            words=words,
        )

    def linked(self, chains: Iterable[Sequence[str | None]]) -> "Seen":
        """Return the same with the turns around some texts, each given as its uid and those at `STEPS`."""
        place = {uid: index for index, uid in enumerate(self.uids)}
        around = self.around.copy()
        for this, *others in chains:
            if this in place:
                around[place[this]] = [NOBODY if uid is None else place.get(uid, NOBODY) for uid in others]
        return replace(self, around=around)

    def with_others(self, other: "Seen") -> "Seen":
        """Return both together; what the other knows of the turns around a text is taken over."""
        place = {uid: index for index, uid in enumerate(self.uids)}
        new = [index for index, uid in enumerate(other.uids) if uid not in place]
        place |= {other.uids[index]: len(self.uids) + count for count, index in enumerate(new)}
        moved = np.array([*(place[uid] for uid in other.uids), NOBODY], dtype=np.int64)
        around = np.concatenate([self.around, np.full((len(new), len(STEPS)), NOBODY, dtype=np.int64)])
        known = np.flatnonzero((other.around != NOBODY).any(axis=1))
        around[moved[known]] = moved[other.around[known]]
        return Seen(
            uids=[*self.uids, *(other.uids[index] for index in new)],
            vaults=np.concatenate([self.vaults, other.vaults[new]]),
            sessions=[*self.sessions, *(other.sessions[index] for index in new)],
            speakers=[*self.speakers, *(other.speakers[index] for index in new)],
            times=np.concatenate([self.times, other.times[new]]),
            roles=np.concatenate([self.roles, other.roles[new]]),
            marks=np.concatenate([self.marks, other.marks[new]]),
            lengths=np.concatenate([self.lengths, other.lengths[new]]),
            counts=np.concatenate([self.counts, other.counts[new]]),
            around=around,
            statistics={**other.statistics, **self.statistics},
            words=self.words or other.words,
        )


@dataclass(slots=True, eq=False)
class Pool:
    """The candidates, best first as far as the legs know, and their features by name.

    Attributes:
        changed: candidates that are other by now than they are looked for.
        places: of each candidate in `seen`; NOBODY for one that has changed or is no live text.
    """

    uids: list[str]
    seen: Seen
    changed: frozenset[str] = frozenset()
    features: dict[str, Feature] = field(default_factory=dict)
    places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._find()

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which candidates are live texts."""
        known: npt.NDArray[np.bool_] = self.places != NOBODY
        return known

    def add(self, uids: Sequence[str], seen: Seen, features: Mapping[str, Sequence[float]]) -> None:
        """Add candidates with all that is seen now, and their values of the features that there are so far."""
        self.uids += uids
        self.seen = seen
        for name, values in self.features.items():
            self.features[name] = np.concatenate([values, np.asarray(features[name], dtype=np.float64)])
        self._find()

    def keep(self, places: Places) -> None:
        """Drop the candidates at other places."""
        self.uids = [self.uids[place] for place in places]
        self.features = {name: values[places] for name, values in self.features.items()}
        self.places = self.places[places]

    def around(self, step: int) -> Places:
        """Return, for each candidate, the place in the pool of the turn at that distance; NOBODY if it is not there."""
        here = np.full(len(self.seen.uids) + 1, NOBODY, dtype=np.int64)
        known = np.flatnonzero(self.known)
        here[self.places[known]] = known
        found = np.full(len(self), NOBODY, dtype=np.int64)
        found[known] = here[self.seen.around[self.places[known], STEPS.index(step)]]
        return found

    @property
    def talk(self) -> float:
        """Return how much these are turns of people who talk with each other, from 0 to 1.

        Such turns are short, and mean little without those around them; what an assistant answers is long, and stands
        for itself.
        """
        places = self.places[self.known]
        if not len(places):
            return 0.0
        named = sum(1 for place in places if self.seen.speakers[place] and self.seen.sessions[place]) / len(places)
        answers = float((self.seen.roles[places] == Role.ASSISTANT).mean())
        length = float(np.median(self.seen.lengths[places]))
        return named * max(0.0, 1.0 - 3.0 * answers) * min(1.0, _SHORT / max(length, 1.0))

    def _find(self) -> None:
        place = {uid: index for index, uid in enumerate(self.seen.uids) if uid not in self.changed}
        self.places = np.array([place.get(uid, NOBODY) for uid in self.uids], dtype=np.int64)


def filled(values: npt.NDArray[np.floating], known: npt.NDArray[np.bool_]) -> Feature:
    """Return the values as they are where they are known, and their mean elsewhere: neither first nor last for it."""
    found = values.astype(np.float64)
    if known.any():
        found[~known] = found[known].mean()
    return found


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
