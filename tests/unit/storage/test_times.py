"""Times in queries."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from memos_storage.domain.times import closeness, spans_in

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)  # a Wednesday


def day(year, month, day):
    return datetime(year, month, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("What happened on 7 May 2023?", day(2023, 5, 7), day(2023, 5, 8)),
        ("on the 7th of May, 2023", day(2023, 5, 7), day(2023, 5, 8)),
        ("on May 7th, 2023", day(2023, 5, 7), day(2023, 5, 8)),
        ("2023-05-07", day(2023, 5, 7), day(2023, 5, 8)),
        ("in May 2023", day(2023, 5, 1), day(2023, 6, 1)),
        ("2023-12", day(2023, 12, 1), day(2024, 1, 1)),
        ("on 31 February 2023", day(2023, 2, 1), day(2023, 3, 1)),
        ("during 2022?", day(2022, 1, 1), day(2023, 1, 1)),
        ("What did she say yesterday?", day(2026, 3, 3), day(2026, 3, 4)),
        ("last week", day(2026, 2, 23), day(2026, 3, 2)),
        ("this month", day(2026, 3, 1), day(2026, 4, 1)),
        ("last month", day(2026, 2, 1), day(2026, 3, 1)),
        ("last year", day(2025, 1, 1), day(2026, 1, 1)),
        ("last Tuesday", day(2026, 3, 3), day(2026, 3, 4)),
        ("on Wednesday", day(2026, 2, 25), day(2026, 2, 26)),
        ("three weeks ago", day(2026, 2, 9), day(2026, 2, 16)),
        ("14 months ago", day(2025, 1, 1), day(2025, 2, 1)),
        ("她2023年5月7日去了哪里", day(2023, 5, 7), day(2023, 5, 8)),
        ("昨天说了什么", day(2026, 3, 3), day(2026, 3, 4)),
        ("去年", day(2025, 1, 1), day(2026, 1, 1)),
    ],
)
def test_a_time_is_read(text, start, end):
    (span,) = spans_in(text, now=NOW)
    assert (span.start, span.end, span.yearly) == (start, end, False)


@pytest.mark.parametrize("text", ["", "May I come in?", "She may know", "room 2023b", "the second one", "99 bottles"])
def test_what_names_no_time_has_none(text):
    assert spans_in(text, now=NOW) == []


def test_a_month_without_a_year_is_of_every_year():
    (span,) = spans_in("What did they do in July?", now=NOW)
    assert span.yearly
    for year in (2019, 2026, 2031):
        assert closeness(day(year, 7, 20), [span]) == 1.0
    assert closeness(day(2024, 1, 2), [span]) < 0.01


def test_days_are_those_of_the_zone_of_now():
    zone = timezone(timedelta(hours=9))
    (span,) = spans_in("today", now=datetime(2026, 3, 4, 1, 0, tzinfo=zone))
    assert closeness(datetime(2026, 3, 3, 16, 0, tzinfo=UTC), [span]) == 1.0
    assert closeness(datetime(2026, 3, 3, 14, 0, tzinfo=UTC), [span]) < 1.0


def test_what_is_told_soon_after_is_near_and_what_is_told_before_less():
    spans = spans_in("on 10 May 2023", now=NOW)
    at = [closeness(day(2023, 5, number), spans) for number in (1, 9, 10, 12, 30)]
    assert at[2] == 1.0
    assert 1.0 > at[3] > at[1] > at[0] > 0
    assert at[3] > 0.8
    assert at[4] < 0.2
    assert closeness(None, spans) == 0.0
    assert closeness(day(2023, 5, 10), []) == 0.0


def test_several_times_count_each():
    assert len(spans_in("between 3 May 2023 and 5 June 2023", now=NOW)) == 2


def test_the_ends_of_the_calendar_are_no_error():
    for text in ("in May", "in December", "on 29 February", "999 years ago"):
        for year in (1, 2, 9998, 9999):
            assert 0.0 <= closeness(day(year, 6, 1), spans_in(text, now=NOW)) <= 1.0
    assert closeness(day(2023, 2, 28), spans_in("on 29 February", now=NOW)) == 1.0


def test_a_text_full_of_times_is_compared_with_few():
    assert len(spans_in("1月 " * 800, now=NOW)) == 1
    assert len(spans_in(" ".join(f"in {year}" for year in range(1900, 2000)), now=NOW)) == 16
