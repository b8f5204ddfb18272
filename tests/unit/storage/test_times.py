"""Times in queries and in memories."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from memos_storage.domain.anchors import EARLIEST, LATEST, AskedTime, anchors_in, between
from memos_storage.domain.named_times import spans_in, told_times
from memos_storage.domain.times import Span, closeness, overlap

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


@pytest.mark.parametrize(
    ("text", "phrase", "start", "end"),
    [
        ("We met the day before yesterday.", "the day before yesterday", day(2026, 3, 2), day(2026, 3, 3)),
        ("I saw her a couple of days ago.", "a couple of days ago", day(2026, 3, 2), day(2026, 3, 3)),
        ("I saw her on Friday.", "on Friday", day(2026, 2, 27), day(2026, 2, 28)),
        ("I'm seeing her on Friday.", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("We camped at the weekend.", "at the weekend", day(2026, 2, 28), day(2026, 3, 2)),
        ("We will camp at the weekend.", "at the weekend", day(2026, 3, 7), day(2026, 3, 9)),
        ("We camped last weekend.", "last weekend", day(2026, 2, 28), day(2026, 3, 2)),
        ("We are free next Friday.", "next Friday", day(2026, 3, 13), day(2026, 3, 14)),
        ("We are free this Friday.", "this Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("We went there last summer.", "last summer", day(2025, 6, 1), day(2025, 9, 1)),
        ("It was the winter of 2023.", "winter of 2023", day(2023, 12, 1), day(2024, 3, 1)),
        ("We went there last May.", "last May", day(2025, 5, 1), day(2025, 6, 1)),
        ("I visited Rome in May.", "in May", day(2025, 5, 1), day(2025, 6, 1)),
        ("I will visit Rome in May.", "in May", day(2026, 5, 1), day(2026, 6, 1)),
        ("The trial is on 7 April.", "7 April", day(2026, 4, 7), day(2026, 4, 8)),
        ("We flew to Lisbon in April.", "in April", day(2025, 4, 1), day(2025, 5, 1)),
        ("I need to renew my passport in May.", "in May", day(2026, 5, 1), day(2026, 6, 1)),
        ("I'm excited for our trip in May!", "in May", day(2026, 5, 1), day(2026, 6, 1)),
        ("I started my job in April and I'm loving it.", "in April", day(2025, 4, 1), day(2025, 5, 1)),
        ("I will see them in February.", "in February", day(2027, 2, 1), day(2027, 3, 1)),
        ("My exam is on Friday.", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("Is Nora coming on Friday?", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("On Friday I met Ann, she is charming.", "On Friday", day(2026, 2, 27), day(2026, 2, 28)),
        ("I quit on Monday because it is boring", "on Monday", day(2026, 3, 2), day(2026, 3, 3)),
        ("Feb 29 was fun", "Feb 29", day(2024, 2, 29), day(2024, 3, 1)),
        ("It snowed in February.", "in February", day(2026, 2, 1), day(2026, 3, 1)),
        ("We married in May of last year.", "in May of last year", day(2025, 5, 1), day(2025, 6, 1)),
        ("She was born on 31.12.1999", "31.12.1999", day(1999, 12, 31), day(2000, 1, 1)),
        ("at 2024-05-06T10:00 it rang", "2024-05-06", day(2024, 5, 6), day(2024, 5, 7)),
        ("I lived there from 2019 to 2021", "from 2019 to 2021", day(2019, 1, 1), day(2022, 1, 1)),
        ("I left thirty-five years ago", "thirty-five years ago", day(1991, 1, 1), day(1992, 1, 1)),
        ("I left twenty days ago", "twenty days ago", day(2026, 2, 12), day(2026, 2, 13)),
        ("Can you remind me tomorrow?", "tomorrow", day(2026, 3, 5), day(2026, 3, 6)),
        ("last evening we talked", "last evening", day(2026, 3, 3), day(2026, 3, 4)),
        ("Sept 5 was hot", "Sept 5", day(2025, 9, 5), day(2025, 9, 6)),
        ("十二天前我去了", "十二天前", day(2026, 2, 20), day(2026, 2, 21)),
        ("下周一起吃饭", "下周", day(2026, 3, 9), day(2026, 3, 16)),
        ("去年5月我去了", "去年5月", day(2025, 5, 1), day(2025, 6, 1)),
        ("I will be back in two weeks.", "in two weeks", day(2026, 3, 16), day(2026, 3, 23)),
        ("The week before last was hard.", "The week before last", day(2026, 2, 16), day(2026, 2, 23)),
        ("我上周三去了", "上周三", day(2026, 2, 25), day(2026, 2, 26)),
        ("三天前我们见了面", "三天前", day(2026, 3, 1), day(2026, 3, 2)),
        ("I will see her this Monday.", "this Monday", day(2026, 3, 9), day(2026, 3, 10)),
        ("I saw her this Monday.", "this Monday", day(2026, 3, 2), day(2026, 3, 3)),
        ("See you on Friday!", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("I'd love to come on Friday", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("I wasn't in Rome in April.", "in April", day(2025, 4, 1), day(2025, 5, 1)),
        ("I left half a year ago.", "half a year ago", day(2025, 9, 1), day(2025, 10, 1)),
        ("I lived there in the 1990s.", "1990s", day(1990, 1, 1), day(2000, 1, 1)),
        ("in may we went to rome", "in may", day(2025, 5, 1), day(2025, 6, 1)),
        ("on 18 may we went to rome", "18 may", day(2025, 5, 18), day(2025, 5, 19)),
        ("I wanted to read it on Friday.", "on Friday", day(2026, 2, 27), day(2026, 2, 28)),
        ("I'll put it there on Friday.", "on Friday", day(2026, 3, 6), day(2026, 3, 7)),
        ("I put it there on Friday.", "on Friday", day(2026, 2, 27), day(2026, 2, 28)),
        ("room 5 two weeks ago", "two weeks ago", day(2026, 2, 16), day(2026, 2, 23)),
        ("两三天前我去了", "两三天前", day(2026, 3, 2), day(2026, 3, 3)),
        ("七八年前", "七八年前", day(2019, 1, 1), day(2020, 1, 1)),
        ("下下周见", "下下周", day(2026, 3, 16), day(2026, 3, 23)),
        ("上上个月", "上上个月", day(2026, 1, 1), day(2026, 2, 1)),
        ("上上周末", "上上周末", day(2026, 2, 21), day(2026, 2, 23)),
        ("大后天见", "大后天", day(2026, 3, 7), day(2026, 3, 8)),
        ("这周三次会议", "这周", day(2026, 3, 2), day(2026, 3, 9)),
        ("生日上周五", "上周五", day(2026, 2, 27), day(2026, 2, 28)),
        ("后天天气很好", "后天", day(2026, 3, 6), day(2026, 3, 7)),
        ("1990年代", "1990年代", day(1990, 1, 1), day(2000, 1, 1)),
    ],
)
def test_a_memory_tells_of_a_time_of_its_own(text, phrase, start, end):
    (one,) = told_times(text, said=NOW)
    assert text[one.start : one.end] == phrase
    assert (one.span.start, one.span.end, one.span.yearly) == (start, end, False)


@pytest.mark.parametrize(
    "text",
    [
        "I learned it in two weeks.", "She may go.", "The weekend bag", "I love Fridays", "999999999 years ago",
        "It costs 2000 dollars.", "In 2000 steps", "My pin is 1987", "Office 2019", "555-1987", "version 2023.1.2",
        "This weekly meeting", "The repairs will last months.", "this may be a problem", "By may I mean yes",
        "You may 10 times try", "a friend of Jan", "1,000 years ago", "2.5 years ago", "thıs week", "last sprıng",
        "wınter 2020", "THİS week", "1000年前", "half a month ago", "one hundred and five years ago",
        "65 000 000 years ago", "Anyone over 18 may apply", "Children under 12 may enter free", "目前天气不错",
        "然后天就黑了", "雨后天晴", "今后天天锻炼", "之前天天跑步", "晚上周围很安静", "日本月饼", "透明天花板",
        "过去年轻的时候", "2000年以后",
    ],
)  # fmt: skip
def test_a_memory_without_a_time_tells_of_none(text):
    assert told_times(text, said=NOW) == ()


def test_of_a_long_memory_the_first_times_are_kept():
    told = told_times(" ".join(f"In {year} it rained." for year in range(1990, 2020)), said=NOW)
    assert [one.span.start.year for one in told] == list(range(1990, 1998))
    first, *_ = told_times("Yesterday I slept. " + "2020-01-01 " * 100, said=NOW)
    assert first.start == 0


def test_the_ends_of_the_calendar_are_told_without_an_error():
    for text in ("It was in May", "It will be in May", "It was on 29 February", "last summer", "tomorrow", "next year"):
        for year in (1, 2, 9998, 9999):
            for said in (day(year, 1, 1), day(year, 12, 31)):
                assert len(told_times(text, said=said)) <= 1
                assert len(list(anchors_in(f"since {text}", now=said))) <= 1


def test_what_a_memory_tells_of_fits_as_far_as_it_lies_within():
    may = [Span(day(2023, 5, 1), day(2023, 6, 1))]
    assert overlap(Span(day(2023, 5, 7), day(2023, 5, 8)), may) == 1.0
    assert overlap(Span(day(2023, 6, 1), day(2023, 6, 2)), may) == 0.0
    assert 0.2 < overlap(Span(day(2023, 1, 1), day(2024, 1, 1)), may) < 0.4
    assert overlap(Span(day(2023, 5, 7), day(2023, 5, 8)), [Span(day(2000, 5, 1), day(2000, 6, 1), yearly=True)]) == 1.0


@pytest.mark.parametrize(
    ("text", "event", "start", "end"),
    [
        ("What did he read two weeks after the concert?", "the concert", day(2025, 6, 21), day(2025, 6, 28)),
        ("What did he read the week before the concert?", "the concert", day(2025, 6, 3), day(2025, 6, 10)),
        ("What did he read the day after the concert?", "the concert", day(2025, 6, 11), day(2025, 6, 12)),
        ("three days before Nora's concert", "Nora's concert", day(2025, 6, 7), day(2025, 6, 8)),
        ("What did he read after she moved to Rome?", "she moved to Rome", day(2025, 6, 10), LATEST),
        ("What did he read until her wedding, in Rome?", "her wedding", EARLIEST, day(2025, 6, 10)),
        ("After the concert, what did he read?", "the concert", day(2025, 6, 10), LATEST),
        ("After the concert what did he read?", "the concert", day(2025, 6, 10), LATEST),
        ("Since the concert, what has he read?", "the concert", day(2025, 6, 10), LATEST),
        ("After she moved, what did he read?", "she moved", day(2025, 6, 10), LATEST),
        ("What is the name of what he read after the concert?", "the concert", day(2025, 6, 10), LATEST),
        ("Did he call me after the concert?", "the concert", day(2025, 6, 10), LATEST),
        ("What did he name his dog after the concert?", "the concert", day(2025, 6, 10), LATEST),
        ("What did he take after the concert?", "the concert", day(2025, 6, 10), LATEST),
    ],
)
def test_a_time_is_counted_from_an_event(text, event, start, end):
    (anchor,) = anchors_in(text, now=NOW)
    span = anchor.span(Span(day(2025, 6, 10), day(2025, 6, 11)))
    assert (anchor.event, anchor.time, span.start, span.end) == (event, None, start, end)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("What has he read since May 2023?", day(2023, 5, 1)),
        ("What did he read before 2022", day(2022, 1, 1)),
        ("What did he read after last week?", day(2026, 2, 23)),
        ("What did he read since February?", day(2026, 2, 1)),
        ("What did he read since Monday?", day(2026, 3, 2)),
        ("What is he reading since Monday?", day(2026, 3, 2)),
        ("What has he read since May?", day(2025, 5, 1)),
        ("What did he read after September?", day(2025, 9, 1)),
        ("What did he read before June?", day(2025, 6, 1)),
        ("What will he read before June?", day(2026, 6, 1)),
        ("What did he read before Friday?", day(2026, 2, 27)),
        ("What do I need to read before Friday?", day(2026, 3, 6)),
        ("Where am I staying until Sunday?", day(2026, 3, 8)),
        ("2020年以后去了哪里", day(2020, 1, 1)),
    ],
)
def test_a_time_is_counted_from_a_time(text, time):
    (anchor,) = anchors_in(text, now=NOW)
    assert anchor.time.start == time


def test_a_side_of_a_time_has_it_or_has_it_not():
    year = Span(day(2020, 1, 1), day(2021, 1, 1))
    for side, span in {
        "after": Span(year.end, LATEST),
        "since": Span(year.start, LATEST),
        "before": Span(EARLIEST, year.start),
        "until": Span(EARLIEST, year.end),
    }.items():
        (anchor,) = anchors_in(f"What did he read {side} 2020?", now=NOW)
        assert anchor.span(anchor.time) == span


def test_what_lies_between_two_times_is_one():
    times = [
        AskedTime(anchor.start, anchor.end, anchor.span(anchor.time))
        for anchor in anchors_in("What did he read after 2020 and before 2023?", now=NOW)
    ]
    (both,) = between(times)
    assert both.span == Span(day(2021, 1, 1), day(2023, 1, 1))
    assert between(times[:1]) == times[:1]


@pytest.mark.parametrize(
    "text",
    [
        "What does he do after work?", "after all", "Who looks after it?", "Who looks after the children?", "before",
        "named it after his father", "Since I like tea, what should I drink?", "Before I forget: where are my keys?",
        "Does he take after his father?", "Since the children of Nora like tea, what should I buy?",
        "What did he do sıx days after the party?", "sınce May",
    ],
)  # fmt: skip
def test_what_counts_from_nothing_has_no_anchor(text):
    assert list(anchors_in(text, now=NOW)) == []


@pytest.mark.parametrize(
    "text",
    [
        "after the" + " " * 16_000 + "x",
        "call " * 400 + " " * 8_000 + "\nx after the party",
        "call" + " " * 8_000 + "\n" + "x after the party," * 400,
        "since May " * 1_600,
        "before " * 2_300,
        "a " * 8_000 + "weeks ago",
        "二" * 5_000 + "天前",
        "in may " * 2_300,
    ],
    ids=lambda text: text.strip()[:12],
)  # fmt: skip
def test_a_long_text_stops_nobody(text):
    """It takes some hundredths of a second; what goes back at each character takes a minute."""
    started = time.process_time()
    list(anchors_in(text, now=NOW))
    told_times(text, said=NOW)
    assert time.process_time() - started < 5


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
