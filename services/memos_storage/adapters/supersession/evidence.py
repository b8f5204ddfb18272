"""The evidence that a statement makes an earlier one untrue, as numbers."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memos_kernel.token_codes import Floats
from memos_storage.adapters.supersession.surface import Surface

MOST = 4
"""What is counted is counted up to here."""

FEATURES = (
    "cosine",
    "older_met",
    "newer_met",
    "older_covered",
    "newer_covered",
    "shared_terms",
    "shared_names",
    "names_missing",
    "names_new",
    "numbers_differ",
    "numbers_missing",
    "numbers_shared",
    "persons_new",
    "persons_missing",
    "denied_otherwise",
    "first_person_both",
    "first_person_otherwise",
    *(f"{side}_{flag}" for side in ("newer", "older") for flag in ("news", "hedged", "past", "added")),
    *(f"{side}_{name}" for side in ("newer", "older") for name in ("happened", "holds", "of_another", "length")),
    "newer_addressed",
    "newer_exclaims",
    "newer_sentences",
    "older_sentences",
)
"""Names of the features, in their order; `newer` and `older` are the two statements."""

OLDER_SENTENCES, NEWER_SENTENCES = 2, 3
"""Most sentences: what says more is not outdated as a whole, and tells of too much to outdate something."""

UNKNOWN = math.nan
"""Value of a feature that cannot be told, such as that of tokens where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A statement as it is compared; `tokens` are the vectors of its tokens, shape (tokens, d), None if it has none."""

    surface: Surface
    tokens: Floats | None


def are_of_two(one: Surface, other: Surface) -> bool:
    """Return whether two statements tell of two subjects.

    They do if they begin with names of which neither is in the other, or with the same word and another number. Names
    are not compared if one alone stands behind `of`: `The CEO of Acme is Ann` may be outdated by `Bob took over`.
    """
    if one.numbered[0] and one.numbered[0] == other.numbered[0] and one.numbered[1] != other.numbered[1]:
        return True
    return _have_subjects(one, other) and not one.subject & other.terms and not other.subject & one.terms


def is_of_another(newer: Surface, older: Surface) -> bool:
    """Return whether a newer statement begins with where the older one's subject is, and has nothing of that subject.

    `Kestrel Labs has moved` tells nothing of Nora, though `Nora works at Kestrel Labs` tells of both.
    """
    return _have_subjects(newer, older) and bool(newer.subject & older.places) and not older.subject & newer.terms


def _have_subjects(one: Surface, other: Surface) -> bool:
    first_person = one.flags["first_person"] or other.flags["first_person"]
    return bool(one.subject and other.subject) and one.of == other.of and not first_person


def are_comparable(newer: Surface, older: Surface) -> bool:
    """Return whether one statement may make another untrue by its form: who is spoken to is told nothing that ends."""
    addressed = older.flags["addressed"] or older.exclaims
    return (
        not addressed
        and older.sentences <= OLDER_SENTENCES
        and newer.sentences <= NEWER_SENTENCES
        and not are_of_two(newer, older)
        and not is_of_another(newer, older)
    )


def features(newer: Read, older: Read, cosine: float) -> npt.NDArray[np.float64]:
    """Return the features of a pair, in the order of `FEATURES`; `cosine` is that of the vectors of the two texts."""
    new, old = newer.surface, older.surface
    shared = len(new.terms & old.terms)
    met = tokens_met(newer.tokens, older.tokens) or (UNKNOWN, UNKNOWN)
    values = [
        cosine,
        *met,
        shared / max(len(old.terms), 1),
        shared / max(len(new.terms), 1),
        min(shared, MOST),
        min(len(new.names & old.names), MOST),
        min(len(old.names - new.names), MOST),
        min(len(new.names - old.names), MOST),
        bool(new.numbers and old.numbers and not new.numbers & old.numbers),
        bool(old.numbers and not new.numbers),
        bool(new.numbers & old.numbers),
        min(len(new.persons - old.persons), MOST),
        min(len(old.persons - new.persons), MOST),
        new.flags["denied"] != old.flags["denied"],
        new.flags["first_person"] and old.flags["first_person"],
        new.flags["first_person"] != old.flags["first_person"],
        *(one.flags[flag] for one in (new, old) for flag in ("news", "hedged", "past", "added")),
        *(
            value
            for one in (new, old)
            for value in (one.flags["happened"], one.flags["holds"], one.of_another, math.log1p(one.words))
        ),
        new.flags["addressed"],
        new.exclaims,
        new.sentences,
        old.sentences,
    ]
    return np.array(values, dtype=np.float64)


def tokens_met(newer: Floats | None, older: Floats | None) -> tuple[float, float] | None:
    """Return how well the tokens of each are met in the other: the older's in the newer, and the other way round.

    None if one of them has no vectors.
    """
    if newer is None or older is None:
        return None
    cosines = older @ newer.T
    return float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
