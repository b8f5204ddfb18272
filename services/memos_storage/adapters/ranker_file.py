"""A trained ranker as a file: JSON with the names of its features and its numbers."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from memos_runtime.loading import ConfigError
from memos_storage.domain.learned import FEATURE_SET, LearnedRanker

_COLUMNS = 2 * len(FEATURE_SET)
_NUMBERS = ("mean", "spread", "direct", "hidden", "bias", "out")
_WAY_OUT = (
    '`make bench-retrieval ARGS="--train-ranker FILE"` trains one for this version; unset storage.ranker_file to go'
    " without."
)

_Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Header(BaseModel):
    """What tells whether the numbers fit this version."""

    format: Literal["memos-ranker-1"] = "memos-ranker-1"
    features: list[str] = list(FEATURE_SET)


class _File(_Header):
    """The numbers, see `LearnedRanker`."""

    mean: list[FiniteFloat]
    spread: list[_Spread]
    direct: list[FiniteFloat]
    hidden: list[list[FiniteFloat]]
    bias: list[FiniteFloat]
    out: list[FiniteFloat]


def write_ranker(ranker: LearnedRanker, path: Path) -> None:
    """Write a ranker of the features of this version."""
    numbers = {name: getattr(ranker, name).tolist() for name in _NUMBERS}
    path.write_text(_File(**numbers).model_dump_json() + "\n", encoding="utf-8")


def read_ranker(path: Path) -> LearnedRanker:
    """Read a ranker.

    Raises:
        ConfigError: there is no such file, it is no ranker, or it was trained for other features than there are.
    """
    try:
        content = path.read_bytes()
        features = _Header.model_validate_json(content).features
        if features != list(FEATURE_SET):
            raise _refused(path, f"was trained for other features than this version has: {_differences(features)}")
        read = _File.model_validate_json(content)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _refused(path, f"is no ranker: {where}: {first['msg']}") from error
    units = len(read.bias)
    widths = {name: (len(getattr(read, name)), _COLUMNS) for name in ("mean", "spread", "direct")}
    widths |= {name: (len(getattr(read, name)), units) for name in ("hidden", "out")}
    widths |= {f"hidden.{place}": (len(row), _COLUMNS) for place, row in enumerate(read.hidden)}
    for name, (width, wanted) in widths.items():
        if width != wanted:
            raise _refused(path, f"is no ranker: {name} has {width} numbers, which have to be {wanted}")
    return LearnedRanker(
        **{name: np.array(getattr(read, name), dtype=np.float64) for name in _NUMBERS if name != "hidden"},
        hidden=np.array(read.hidden, dtype=np.float64).reshape(units, _COLUMNS),
    )


def _differences(features: list[str]) -> str:
    lacks, has = set(FEATURE_SET) - set(features), set(features) - set(FEATURE_SET)
    parts = [f"{what} {', '.join(sorted(names))}" for what, names in (("it lacks", lacks), ("it has", has)) if names]
    return "; ".join(parts) or "their order differs"


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError([f"storage.ranker_file: {path} {why}. {_WAY_OUT}"])
