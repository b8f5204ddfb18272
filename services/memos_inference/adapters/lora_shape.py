"""Rank and scale of an adapter; knows nothing of torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraShape:
    """Rank and scale of an adapter, and from where on it works; see `LoraAdapter`."""

    rank: int
    alpha: int
    activated: bool
