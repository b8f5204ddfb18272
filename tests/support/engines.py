"""Engines as tests make them."""

from memos_inference.adapters.batcher import Batcher


def make_batcher(**limits: int) -> Batcher:
    """Return a batcher with small limits, and with others where they are given."""
    return Batcher(**{"max_running": 4, "max_waiting": 4, "max_bytes": 1 << 30, "piece": 64, **limits})
