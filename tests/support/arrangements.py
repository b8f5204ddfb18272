"""Which of the systems of the end-to-end tests a test runs on, where not on each of them."""

import pytest

in_one_process = pytest.mark.parametrize("system", ["one-process"], indirect=True)
"""For tests of how well something is found: it does not depend on how many processes there are, and takes long."""
