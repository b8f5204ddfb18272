"""The order of the tests, their end, and how one is interrupted."""

import os
import signal
from collections.abc import Iterator

import pytest

from at_end import AT_END

os.environ.setdefault("GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY", "true")  # as memosctl has it, before grpc

LONGEST = (
    "test_adapter", "test_vector_index", "test_grafomem", "test_archive", "test_chaos", "test_bulk", "test_blobs",
    "test_embedder_change", "test_running", "test_supersession", "test_other_languages", "test_retrieval",
)  # fmt: skip
"""Files that take a minute or more, in the order in which they begin, so that none is left for the end.

A training gives way to whatever else runs, and the tests of a vector index mostly wait for their server.
"""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts the test, also in a worker of xdist, which takes none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others keep their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Stop the servers that the tests of this process have shared."""
    AT_END.close()
