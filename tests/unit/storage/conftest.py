"""Storage without transport."""

import pytest

from storage_world import World


@pytest.fixture
def world():
    return World()
