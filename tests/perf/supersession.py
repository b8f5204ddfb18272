"""Train and examine the judge of whether a statement makes an earlier one untrue; print JSON.

    make supersession                  examine the weights that are shipped
    make supersession ARGS=--train     train them anew, and examine them

The data is in `tests/support/updates`; what is called `held_out` is only examined. Pairs are those of an update with
what it makes untrue, of every two statements beside each other that can both be true, and of each turn of conversations
in which nothing becomes untrue with the nearest that were said before.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deployment import Deployment
from encoders import bundled_encoder
from memos_inference.domain.models import TokenUse
from memos_kernel.token_codes import to_bytes
from memos_storage.adapters.supersession.evidence import FEATURES, are_comparable, features
from memos_storage.adapters.supersession.judge import WEIGHTS, LearnedJudge, read_of
from memos_storage.ports import Told
from memos_storage.usecases.supersession.decide import CLOSES, MARKS
from memos_storage.usecases.supersession.find_earlier import LEAST_COSINE, NEAREST
from supersession_eval import tell_and_ask
from updated_facts import (
    HELD_OUT,
    HELD_OUT_TALK,
    TRAINING,
    TRAINING_TALK,
    UpdatedFact,
    conversations,
    statements,
    updated_facts,
)

PENALTY = 20.0
"""Of the squares of the weights: there are a few hundred facts only."""
ROUNDS = 30
VAULT = "tenants/local/vaults/main"
BATCH = 32


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its vector, of length 1."""

    told: Told
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two statements, and whether the newer one makes the older one untrue."""

    newer: Statement
    older: Statement
    untrue: bool

    @property
    def cosine(self) -> float:
        """Of the vectors of the two."""
        return float(self.newer.vector @ self.older.vector)

    @property
    def features(self) -> npt.NDArray[np.float64] | None:
        """As the judge takes them; None if it does not compare the two."""
        new, old = read_of(self.newer.told), read_of(self.older.told)
        return features(new, old, self.cosine) if are_comparable(new.surface, old.surface) else None


def read(texts: Sequence[str]) -> dict[str, Statement]:
    """Return statements by their texts."""
    encoder, found = bundled_encoder(), {}
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        embeddings = encoder.encode(part, max_texts=BATCH, uses=[TokenUse.STORE] * len(part))
        for text, made in zip(part, embeddings, strict=True):
            vector = np.array(made.values, dtype=np.float32)
            codes = b"" if made.tokens is None else to_bytes(made.tokens, vector.size)
            found[text] = Statement(Told(text, codes, vector.size), vector)
    return found


def pairs_of(facts: Sequence[UpdatedFact]) -> list[Pair]:
    """Return the pairs of facts."""
    known = read(statements(facts))
    return [Pair(known[newer], known[older], untrue) for fact in facts for newer, older, untrue in fact.pairs()]


def pairs_of_talk(talks: Sequence[Sequence[tuple[str, str]]]) -> list[Pair]:
    """Return each turn with those that it would be compared with, by the same speaker: none makes another untrue."""
    known = read(sorted({text for talk in talks for _, text in talk}))
    return [pair for talk in talks for pair in _pairs_of_one(talk, known)]


def _pairs_of_one(talk: Sequence[tuple[str, str]], known: dict[str, Statement]) -> Iterator[Pair]:
    for place, (speaker, text) in enumerate(talk):
        before = [Pair(known[text], known[other], False) for name, other in talk[:place] if name == speaker]
        near = [pair for pair in before if pair.cosine >= LEAST_COSINE and not text.endswith("?")]
        yield from sorted(near, key=lambda pair: -pair.cosine)[:NEAREST]


def train(pairs: Sequence[Pair]) -> dict:
    """Return weights: logistic regression by Newton's method, over standardised features."""
    told = [(found, pair.untrue) for pair in pairs if (found := pair.features) is not None]
    values, untrue = np.stack([found for found, _ in told]), np.array([untrue for _, untrue in told], dtype=np.float64)
    means, spreads = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-3
    inputs = np.column_stack([np.nan_to_num((values - means) / spreads), np.ones(len(values))])
    weights = _fitted(inputs, untrue)
    return {
        "features": list(FEATURES),
        "means": _rounded(means),
        "spreads": _rounded(spreads),
        "weights": _rounded(weights[:-1]),
        "bias": round(float(weights[-1]), 5),
    }


def _fitted(inputs: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights = np.zeros(inputs.shape[1])
    penalty = PENALTY * np.eye(inputs.shape[1])
    penalty[-1, -1] = 0.0
    for _ in range(ROUNDS):
        likely = 1.0 / (1.0 + np.exp(-inputs @ weights))
        curvature = inputs.T @ (inputs * (likely * (1.0 - likely))[:, None]) + penalty
        weights -= np.linalg.solve(curvature, inputs.T @ (likely - wanted) + penalty @ weights)
    return weights


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]


def examine(pairs: Sequence[Pair], talk: Sequence[Pair]) -> dict:
    """Return how the judge's evidence divides updates from what looks alike, and from talk."""
    judge = LearnedJudge()
    evidence, in_talk = (
        np.array([judge(pair.newer.told, pair.older.told, pair.cosine) for pair in some]) for some in (pairs, talk)
    )
    untrue = np.array([pair.untrue for pair in pairs])
    above = (evidence[untrue][:, None] > evidence[~untrue][None, :]).mean()
    kinds = {"updates": evidence[untrue], "lookalikes": evidence[~untrue], "talk": in_talk}
    return {
        "pairs": {name: len(found) for name, found in kinds.items()},
        "auc": round(float(above), 4),
        "restated": sum(judge.restates(pair.newer.told, pair.older.told, pair.cosine) > 0 for pair in pairs),
        **{
            name: {
                "evidence": bound,
                **{kind: round(float((found >= bound).mean()), 4) for kind, found in kinds.items()},
            }
            for name, bound in (("closes", CLOSES), ("marks", MARKS))
        },
    }


async def ask_the_api(facts: Sequence[UpdatedFact]) -> dict:
    """Return what becomes of facts in a system of their own, default settings."""
    with tempfile.TemporaryDirectory() as folder, Deployment.one_process(Path(folder)) as system:
        async with system.caller() as caller:
            return asdict(await tell_and_ask(caller, VAULT, facts))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help=f"write {WEIGHTS.name} first")
    options = parser.parse_args()
    pairs = pairs_of([fact for name in TRAINING for fact in updated_facts(name)])
    talk = pairs_of_talk(conversations(TRAINING_TALK))
    if options.train:
        WEIGHTS.write_text(json.dumps(train([*pairs, *talk]), indent=1) + "\n", encoding="utf-8")
    held_out = pairs_of(updated_facts(HELD_OUT)), pairs_of_talk(conversations(HELD_OUT_TALK))
    found = {
        "training": examine(pairs, talk),
        "held_out": examine(*held_out),
        "held_out_by_the_api": asyncio.run(ask_the_api(updated_facts(HELD_OUT))),
    }
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
