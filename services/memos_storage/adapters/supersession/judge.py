"""A small trained judge of whether a statement makes an earlier one untrue: a logistic regression."""

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from memos_kernel.token_codes import levels_of
from memos_runtime.loading import ConfigError
from memos_storage.adapters.supersession.evidence import FEATURES, Read, are_comparable, features
from memos_storage.adapters.supersession.restatement import restates
from memos_storage.adapters.supersession.surface import surface_of
from memos_storage.ports import Told

WEIGHTS = Path(__file__).with_name("weights.json")
"""Trained on pairs of this project by `make supersession ARGS=--train`."""


class LearnedJudge:
    """Implements `ports.Judge`."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        """Read the weights.

        Raises:
            ConfigError: they are of other features than those of this version.
        """
        read = json.loads(path.read_text(encoding="utf-8"))
        if tuple(read["features"]) != FEATURES:
            raise ConfigError(
                [f"{path} was trained for other features than this version has; `make supersession` trains it again."]
            )
        self._means, self._spreads, self._weights = (np.array(read[name]) for name in ("means", "spreads", "weights"))
        self._bias = float(read["bias"])

    def __call__(self, newer: Told, older: Told, cosine: float) -> float:
        """See the port."""
        new, old = read_of(newer), read_of(older)
        if not are_comparable(new.surface, old.surface):
            return 0.0
        values = (features(new, old, cosine) - self._means) / self._spreads
        logit = float(np.nan_to_num(values) @ self._weights) + self._bias
        return 1.0 / (1.0 + math.exp(-logit))

    def restates(self, newer: Told, older: Told, cosine: float) -> float:
        """See the port."""
        return restates(read_of(newer), read_of(older), cosine)


@lru_cache(maxsize=64)
def read_of(told: Told) -> Read:
    """Return a statement as it is compared."""
    return Read(surface_of(told.text), levels_of(told.tokens, told.dimensions) if told.tokens else None)
