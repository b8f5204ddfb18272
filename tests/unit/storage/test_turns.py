"""What ranking knows of a text from its surface."""

from datetime import UTC, datetime

import pytest

from memos_kernel.cube import SourceSpan
from memos_storage.domain.turns import Mark, Role, marks_of, times_of, turn_of
from storage_cubes import NOW, stored

NONE = Mark(0)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("", NONE),
        ("The kettle is blue.", NONE),
        ("Is the kettle blue?", Mark.ASKS),
        ('She asked "is it blue?"', Mark.ASKS),
        ("What? No.", NONE),
        ("I bought it.", Mark.FIRST_PERSON),
        ("We're here", Mark.FIRST_PERSON),
        ("Iceland mystery", NONE),
        ("It rained yesterday", Mark.TELLS_TIME),
        ("In 2023 at 10:30", Mark.TELLS_TIME),
        ("我昨天去了", Mark.FIRST_PERSON | Mark.TELLS_TIME),
        ("你好吗？", Mark.ASKS),
    ],
)
def test_marks(text, marks):
    assert marks_of(text) == marks


@pytest.mark.parametrize(
    ("source", "speaker", "role"),
    [
        (SourceSpan(speaker="Nora", role="user"), "nora", Role.USER),
        (SourceSpan(speaker="user", role="user"), "", Role.USER),
        (SourceSpan(speaker="assistant", role="assistant"), "", Role.ASSISTANT),
        (SourceSpan(speaker="search", role="tool"), "search", Role.ASSISTANT),
        (SourceSpan(speaker="Assistant", role="user"), "", Role.ASSISTANT),
        (SourceSpan(speaker="human"), "", Role.USER),
        (SourceSpan(), "", Role.OTHER),
    ],
)
def test_who_speaks(source, speaker, role):
    turn = turn_of(stored("x", sources=(source,)), length=3)
    assert (turn.speaker, turn.role, turn.length) == (speaker, role, 3)


def test_a_text_without_source_is_in_no_conversation_and_of_the_time_when_it_came():
    turn = turn_of(stored("x"), length=1)
    assert (turn.session, turn.speaker, turn.time) == ("", "", round(NOW.timestamp() * 1e6))


def test_times_are_those_of_the_clock_of_who_speaks():
    late = datetime(2026, 3, 3, 23, 30, tzinfo=UTC)  # half past one of the next day two hours ahead
    for offset, begin in (("", 2), ("+02:00", 3), ("rubbish", 2)):
        source = SourceSpan(speaker="Nora", event_time=late, utc_offset=offset)
        (one,) = times_of(stored("I went yesterday.", sources=(source,)))
        assert (one.start, one.end, one.span.start.day) == (7, 16, begin)
