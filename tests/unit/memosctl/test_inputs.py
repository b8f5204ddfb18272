import time
from datetime import UTC, datetime, timedelta

import pytest

from memosctl import inputs
from memosctl.failures import Failure

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_span_counts_from_now_forwards_or_backwards() -> None:
    assert inputs.moment("30d", option="--expires", now=NOW) == NOW + timedelta(days=30)
    assert inputs.moment("90m", option="--after", past=True, now=NOW) == NOW - timedelta(minutes=90)


def test_a_time_keeps_its_offset() -> None:
    read = inputs.moment("2026-03-02T19:12:00+01:00", option="--time")

    assert read.isoformat() == "2026-03-02T19:12:00+01:00"


def test_a_time_without_offset_is_local() -> None:
    assert inputs.moment("2026-03-02", option="--after").tzinfo is not None


@pytest.mark.parametrize("text", ["", "yesterday", "12", "d"])
def test_what_is_no_time_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(Failure, match="--after"):
        inputs.moment(text, option="--after")


def test_labels_are_pairs_whose_value_may_hold_an_equals_sign() -> None:
    assert inputs.labels(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("label", ["a", "=1", ""])
def test_a_label_without_key_or_sign_is_refused(label: str) -> None:
    with pytest.raises(Failure):
        inputs.labels([label])


@pytest.mark.parametrize(
    ("zone", "sent"), [("Europe/Oslo", "Europe/Oslo"), (":Asia/Kolkata", "Asia/Kolkata"), ("XYZ-5:30", "+05:30")]
)
def test_the_zone_of_this_machine_goes_by_its_name_or_else_by_its_offset(zone, sent, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert inputs.time_zone(None) == sent
        assert inputs.time_zone("+02:00") == "+02:00"
    finally:
        monkeypatch.undo()
        time.tzset()
