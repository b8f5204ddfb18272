"""Zones as callers write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_kernel.errors import InvalidField
from memos_kernel.time_zones import zone_of

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "hours"),
    [("", 0), ("UTC", 0), ("Europe/Oslo", 2), ("Asia/Kolkata", 5.5), ("+02:00", 2), ("-03:30", -3.5), ("+00:00", 0)],
)
def test_a_name_or_an_offset_is_a_zone(name, hours):
    assert NOON.astimezone(zone_of(name)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name",
    [
        "Oslo",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "+2",
        "02:00",
        "+19:00",
        "+02:60",
        "x" * 10_000,
        "\0",
        "😀",
    ],
)
def test_what_is_no_zone_is_refused_by_field(name):
    with pytest.raises(InvalidField, match=r"time_zone is .*Europe/Oslo") as refused:
        zone_of(name)
    assert refused.value.field == "time_zone"


@given(st.text(max_size=80))
def test_any_text_is_a_zone_or_refused(name):
    try:
        zone_of(name)
    except InvalidField:
        return
    assert NOON.astimezone(zone_of(name)) == NOON
