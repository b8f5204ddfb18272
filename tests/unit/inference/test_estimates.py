import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_inference.domain.estimates import SpeedMeter
from memos_kernel.speed import Speed


def meter(*work):
    made = SpeedMeter()
    for size, seconds in work:
        made.note(size, seconds)
    return made


def test_before_any_work_nothing_is_known():
    assert SpeedMeter().speed is None


def test_a_line_is_found_again():
    speed = meter(*((size, 0.5 + 0.01 * size) for size in (10, 200, 30, 400))).speed
    assert (speed.seconds, speed.seconds_per_unit) == (pytest.approx(0.5), pytest.approx(0.01))
    assert speed.of(1_000) == pytest.approx(10.5)
    assert speed.of(0) == 0


def test_of_one_size_only_the_rate_is_known():
    assert meter((100, 2.0), (100, 4.0)).speed.of(100) == pytest.approx(3.0, rel=0.05)


def test_the_newest_counts_most():
    speed = meter(
        *[(size, size * 1.0) for size in (50, 100)] * 50, *[(size, size * 3.0) for size in (50, 100)] * 50
    ).speed
    assert speed.of(100) == pytest.approx(300, rel=0.05)


def test_more_is_never_for_nothing():
    speed = meter((16, 0.03), (64, 0.03), (96, 0.02)).speed
    assert speed.seconds_per_unit > 0


def test_what_was_forgotten_counts_no_more():
    made = meter((16, 3.0))
    made.forget()
    assert made.speed is None


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1e4)), min_size=1, max_size=30))
def test_no_estimate_is_negative(work):
    speed = meter(*work).speed
    assert speed.seconds >= 0
    assert speed.seconds_per_unit >= 0


def test_nothing_takes_no_time():
    assert Speed(1.0, 1.0).of(0) == 0
