"""Span links from whoever reads cubes to where they were written."""

from collections.abc import Iterable

from memos_kernel.cube import MemCube
from memos_storage.ports import Span

LINKS = 32
"""Most links of one span."""


def link_origins(span: Span, cubes: Iterable[MemCube]) -> None:
    """Link the span to the origins of the cubes, each once."""
    origins = dict.fromkeys(cube.origin_trace for cube in cubes if cube.origin_trace is not None)
    for origin in list(origins)[:LINKS]:
        span.add_link(origin)
