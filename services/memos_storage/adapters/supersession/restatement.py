"""Whether two statements say the same in other forms of the same words."""

from memos_storage.adapters.supersession.evidence import Read, tokens_met

LEAST_COSINE, LEAST_MET = 0.9, 0.8
"""Cosine of the two texts, and that with which the tokens of each are met in the other on average."""

_SAME = ("denied", "hedged", "past", "happened", "added", "news", "first_person")
"""Kinds of words that both have, or neither has."""


def restates(one: Read, other: Read, cosine: float) -> float:
    """Return how well the words of each are met in the other, from `LEAST_MET` to 1; 0 if they do not say the same.

    They do if they have the same words in the same order, in other forms: `lives` and `is living`. Vectors alone do not
    tell `under the mat` from `on the mat`, nor who owes whom. Names have no other forms: `Jen` and `Jens` are two.
    """
    first, second = one.surface, other.surface
    if cosine < LEAST_COSINE or any(first.flags[flag] != second.flags[flag] for flag in _SAME):
        return 0.0
    if first.said != second.said or first.names != second.names:
        return 0.0
    met = tokens_met(one.tokens, other.tokens)
    return min(met) if met is not None and min(met) >= LEAST_MET else 0.0
