"""Train and examine the judge of whether a statement makes an earlier one untrue; print JSON.

    make supersession                  examine the weights that are shipped
    make supersession ARGS=--train     train them anew, and examine them

Trained on `tests/support/updates`, without `held_out`, which it is examined on. Pairs are those of an update with what
it makes untrue, and of every two statements beside each other that can both be true.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encoders import bundled_encoder
from memos_inference.domain.models import TokenUse
from memos_kernel.token_codes import to_bytes
from memos_storage.adapters.supersession.evidence import FEATURES, are_of_two, features
from memos_storage.adapters.supersession.judge import WEIGHTS, LearnedJudge, read_of
from memos_storage.ports import Told
from memos_storage.usecases.supersession.decide import CLOSES, MARKS
from updated_facts import HELD_OUT, TRAINING, UpdatedFact, statements, updated_facts

PENALTY = 20.0
"""Of the squares of the weights: there are a few hundred facts only."""
ROUNDS = 30
BATCH = 32


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its vector, of length 1."""

    told: Told
    vector: npt.NDArray[np.float32]


def read(facts: list[UpdatedFact]) -> dict[str, Statement]:
    """Return every statement by its text."""
    encoder, texts, found = bundled_encoder(), statements(facts), {}
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        for text, made in zip(
            part, encoder.encode(part, max_texts=BATCH, uses=[TokenUse.STORE] * len(part)), strict=True
        ):
            vector = np.array(made.values, dtype=np.float32)
            codes = b"" if made.tokens is None else to_bytes(made.tokens, vector.size)
            found[text] = Statement(Told(text, codes, vector.size), vector)
    return found


def cosine(one: Statement, other: Statement) -> float:
    """Return the cosine of two statements."""
    return float(one.vector @ other.vector)


def train(facts: list[UpdatedFact]) -> dict:
    """Return weights: logistic regression by Newton's method, over standardised features."""
    known = read(facts)
    pairs = [pair for fact in facts for pair in fact.pairs()]
    reads = {text: read_of(one.told) for text, one in known.items()}
    pairs = [pair for pair in pairs if not are_of_two(reads[pair[0]].surface, reads[pair[1]].surface)]
    values = np.stack(
        [features(reads[newer], reads[older], cosine(known[newer], known[older])) for newer, older, _ in pairs]
    )
    untrue = np.array([outdated for *_, outdated in pairs], dtype=np.float64)
    means, spreads = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-6
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


def examine(facts: list[UpdatedFact]) -> dict:
    """Return how the judge's evidence divides updates from what looks alike."""
    judge, known = LearnedJudge(), read(facts)
    pairs = [(known[newer], known[older], untrue) for fact in facts for newer, older, untrue in fact.pairs()]
    evidence = np.array([judge(newer.told, older.told, cosine(newer, older)) for newer, older, _ in pairs])
    untrue = np.array([outdated for *_, outdated in pairs])
    above = (evidence[untrue][:, None] > evidence[~untrue][None, :]).mean()
    return {
        "facts": len(facts),
        "pairs": len(pairs),
        "auc": round(float(above), 4),
        **{
            f"at_{name}": {
                "evidence": bound,
                "updates": round(float((evidence[untrue] >= bound).mean()), 4),
                "lookalikes": round(float((evidence[~untrue] >= bound).mean()), 4),
            }
            for name, bound in (("closes", CLOSES), ("marks", MARKS))
        },
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help=f"write {WEIGHTS.name} first")
    options = parser.parse_args()
    training = [fact for name in TRAINING for fact in updated_facts(name)]
    if options.train:
        Path(WEIGHTS).write_text(json.dumps(train(training), indent=1) + "\n", encoding="utf-8")
    found = {"training": examine(training), "held_out": examine(updated_facts(HELD_OUT))}
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
