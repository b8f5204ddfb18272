"""Candidates of a search with what is known of them, and the features that stages give them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from memos_kernel.token_codes import Floats
from memos_storage.domain.anchors import AskedTime
from memos_storage.domain.named_times import NamedTime
from memos_storage.domain.turns import Role, Turn
from memos_storage.domain.walks import Step

Feature = npt.NDArray[np.float64]
"""One value a candidate, in the order of the pool."""
Places = npt.NDArray[np.int64]

STEPS = (-2, -1, 1, 2)
"""Distances at which the turns around one are known: -1 is the turn before it, 1 the next one."""
NOBODY = -1
"""In a list of places: there is none."""

_ANSWERS = 3.0
"""Where every third text is an answer of an assistant, they decide."""

_SHORT = 40.0
"""Terms of a turn of a talk; half of the turns may be longer before a conversation counts less as one."""


@dataclass(frozen=True, slots=True)
class QueryPlaces:
    """Places of some terms among those of a query.

    Attributes:
        words: for each word of the query's tokens, those of its terms.
        identifiers: those of numbers and codes that tell one thing from others.
        particulars: those of names, and of all that has a digit.
    """

    words: tuple[tuple[int, ...], ...] = ()
    identifiers: tuple[int, ...] = ()
    particulars: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VaultWords:
    """Statistics of a vault: the average length of a text in terms, and the IDF of each term of the query."""

    average_length: float
    idf: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """A live text: a number of its vault, how often each term of the query is in it, and the uids around it by step.

    `valid`: from when until when it holds, in microseconds since 1970, UTC; None where that is open.
    """

    uid: str
    turn: Turn
    vault: int
    counts: tuple[int, ...]
    around: Mapping[int, str] = field(default_factory=dict)
    valid: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Live texts in columns, those that were asked for and those around them, with the statistics of their vaults.

    Attributes:
        uids: of the texts; the other columns are in this order.
        times: in microseconds since 1970, UTC.
        counts: how often each term of the query is in each, shape (texts, terms).
        around: places of the turns at each of `STEPS`, shape (texts, steps); NOBODY where there is none, or none that
            is known, for a text that is here only as one around another.
        named: the times that each tells of.
        valid: from when until when each holds, in microseconds since 1970, UTC; None where that is open.
        asked: places of terms of the query.
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
    named: Sequence[tuple[NamedTime, ...]]
    valid: Sequence[tuple[int | None, int | None]]
    statistics: Mapping[int, VaultWords]
    asked: QueryPlaces = QueryPlaces()

    @classmethod
    def of(
        cls,
        turns: Sequence[SeenTurn],
        statistics: Mapping[int, VaultWords],
        *,
        terms: int,
        asked: QueryPlaces = QueryPlaces(),
    ) -> "Seen":
        """Return turns as columns."""
        uids = [seen.uid for seen in turns]
        return cls(
            uids=uids,
            vaults=np.array([seen.vault for seen in turns], dtype=np.int64),
            sessions=[seen.turn.session for seen in turns],
            speakers=[seen.turn.speaker for seen in turns],
            times=np.array([seen.turn.time for seen in turns], dtype=np.int64),
            roles=np.array([seen.turn.role for seen in turns], dtype=np.int64),
            marks=np.array([seen.turn.marks for seen in turns], dtype=np.int64),
            lengths=np.array([seen.turn.length for seen in turns], dtype=np.float64),
            counts=np.array([seen.counts for seen in turns], dtype=np.float64).reshape(len(turns), terms),
            around=around(([seen.uid, *map(seen.around.get, STEPS)] for seen in turns), uids),
            named=[seen.turn.named for seen in turns],
            valid=[seen.valid for seen in turns],
            statistics=statistics,
            asked=asked,
        )


def around(chains: Iterable[Sequence[int | str | None]], keys: Sequence[int | str]) -> Places:
    """Return the places of the turns at each of `STEPS` of some texts, shape (texts, steps), as far as they are known.

    What stands between two turns of a chain is known of all turns in it, so of those around a text as well.

    Args:
        chains: keys of a text and of those at `STEPS`; None where there is none.
        keys: of the texts.
    """
    place: dict[int | str | None, int] = {key: index for index, key in enumerate(keys)}
    rows = np.array([[place.get(key, NOBODY) for key in chain] for chain in chains], dtype=np.int64)
    if not len(rows):
        return np.full((len(keys), len(STEPS)), NOBODY, dtype=np.int64)
    in_order = rows[:, np.argsort((0, *STEPS))]
    before, after = (np.full(len(keys) + 1, NOBODY, dtype=np.int64) for _ in range(2))  # the last is that of NOBODY
    for first, second in zip(in_order.T, in_order.T[1:], strict=False):
        both = (first != NOBODY) & (second != NOBODY)
        after[first[both]], before[second[both]] = second[both], first[both]
    return np.stack([_walked(before if step < 0 else after, abs(step)) for step in STEPS], axis=1)


def _walked(links: Places, steps: int) -> Places:
    here = np.arange(len(links) - 1)
    for _ in range(steps):
        here = links[here]
    return here


def joined(first: Seen, second: Seen) -> Seen:
    """Return the texts of both, those of the second behind; the two were read for the same query."""
    shifted = np.where(second.around == NOBODY, NOBODY, second.around + len(first.uids))
    return Seen(
        uids=[*first.uids, *second.uids],
        vaults=np.concatenate([first.vaults, second.vaults]),
        sessions=[*first.sessions, *second.sessions],
        speakers=[*first.speakers, *second.speakers],
        times=np.concatenate([first.times, second.times]),
        roles=np.concatenate([first.roles, second.roles]),
        marks=np.concatenate([first.marks, second.marks]),
        lengths=np.concatenate([first.lengths, second.lengths]),
        counts=np.concatenate([first.counts, second.counts]),
        around=np.concatenate([first.around, shifted]),
        named=[*first.named, *second.named],
        valid=[*first.valid, *second.valid],
        statistics={**first.statistics, **second.statistics},
        asked=first.asked,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """What the tokens of the query meet in the candidates, of shape (candidates, tokens) both.

    Attributes:
        cosines: of each token with the nearest one of the text.
        weights: by IDF, 1 in all.
    """

    cosines: Floats
    weights: Floats


@dataclass(slots=True, eq=False)
class Pool:
    """The candidates, best first as far as the legs know, and their features by name.

    Attributes:
        changed: candidates that are other by now than they are looked for.
        places: of each candidate in `seen`; NOBODY for one that has changed or is no live text.
        steps: uid -> how the search came to a candidate that no leg found.
        met: what the tokens of the query meet in these candidates; None if it is not known.
        times: that the query names; None as long as nobody has looked.
    """

    uids: list[str]
    seen: Seen
    changed: frozenset[str] = frozenset()
    features: dict[str, Feature] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    met: Met | None = None
    times: tuple[AskedTime, ...] | None = None
    places: Places = field(init=False)
    _talk: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._find()

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which candidates are live texts."""
        known: npt.NDArray[np.bool_] = self.places != NOBODY
        return known

    def add(self, uids: Sequence[str], features: Mapping[str, Sequence[float]]) -> None:
        """Add candidates that are seen, with their values of the features that there are so far."""
        self.uids += uids
        self.met = None
        for name, values in self.features.items():
            self.features[name] = np.concatenate([values, np.asarray(features[name], dtype=np.float64)])
        self._find()

    def beside(self, uids: list[str], seen: Seen) -> "Pool":
        """Return other candidates of the same search, for `join`."""
        other = Pool(uids, seen, self.changed)
        other._talk, other.times = self.talk, self.times
        return other

    def join(self, other: "Pool", *, otherwise: Mapping[str, float]) -> None:
        """Add the candidates of another pool with their features.

        Args:
            other: made by `beside`.
            otherwise: value of a feature that they lack; of others it is the mean here.
        """
        for name, values in self.features.items():
            missing = otherwise.get(name, float(values.mean()))
            self.features[name] = np.concatenate([values, other.features.get(name, np.full(len(other), missing))])
        self.uids, self.met = [*self.uids, *other.uids], None
        self.seen = joined(self.seen, other.seen)
        self._find()

    def keep(self, places: Places) -> None:
        """Drop the candidates at other places."""
        self.uids = [self.uids[place] for place in places]
        self.features = {name: values[places] for name, values in self.features.items()}
        self.places, self.met = self.places[places], None

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
        """Return how much the first of these are turns of people who talk with each other, from 0 to 1.

        Such turns are short, and mean little without those around them; what an assistant answers is long, and stands
        for itself.
        """
        if self._talk is None:
            self._talk = self._measure_talk()
        return self._talk

    @property
    def own_words(self) -> float:
        """Return how much the first of these are what people say, and not what an assistant answers, from 0 to 1."""
        places = self.places[self.known]
        answers = float((self.seen.roles[places] == Role.ASSISTANT).mean()) if len(places) else 0.0
        return max(0.0, 1.0 - _ANSWERS * answers)

    def _measure_talk(self) -> float:
        places = self.places[self.known]
        if not len(places):
            return 0.0
        seen = self.seen
        named = sum(1 for place in places.tolist() if seen.speakers[place] and seen.sessions[place]) / len(places)
        length = float(np.partition(seen.lengths[places], len(places) // 2)[len(places) // 2])
        return named * self.own_words * min(1.0, _SHORT / max(length, 1.0))

    def _find(self) -> None:
        place = {uid: index for index, uid in enumerate(self.seen.uids) if uid not in self.changed}
        self.places = np.array([place.get(uid, NOBODY) for uid in self.uids], dtype=np.int64)


def filled(values: npt.NDArray[np.floating], known: npt.NDArray[np.bool_]) -> Feature:
    """Return the values as they are where they are known, and their mean elsewhere: neither first nor last for it."""
    found = values.astype(np.float64)
    if known.any():
        found[~known] = found[known].mean()
    return found


def standardized(values: npt.NDArray[np.float64], *, floors: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """Return features less their means, over their spreads.

    Args:
        values: shape (features, candidates).
        floors: of each feature, added to its spread in squares: among few or equal candidates small differences stay
            small. None leaves a feature as it is.
    """
    as_it_is = np.array([floor is None for floor in floors])[:, None]
    spreads = np.hypot(values.std(axis=1), [floor or 0.0 for floor in floors])[:, None]
    means = values.mean(axis=1)[:, None]
    found: npt.NDArray[np.float64] = np.where(as_it_is, values, (values - means) / np.where(as_it_is, 1.0, spreads))
    return found
