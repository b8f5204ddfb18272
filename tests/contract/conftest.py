"""What the suites of the catalogue share."""

import pytest

from storage_cubes import STORES, opened


@pytest.fixture(params=STORES)
async def store(request, tmp_path):
    """An empty store of each kind."""
    async with opened(request.param, tmp_path) as made:
        yield made
