"""A desk for each test."""

import pytest

from interface_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
