from datetime import UTC, datetime

from memos_kernel.cube import SourceSpan
from memos_kernel.prompt import memory_line

LATE = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


def test_a_memory_with_date_and_speaker_says_both(cube):
    source = SourceSpan(speaker="Nora", event_time=LATE)
    assert (
        memory_line(cube("I have a red bicycle.", sources=(source,))) == "- Nora: I have a red bicycle. (on 2026-03-01)"
    )


def test_the_date_is_that_of_the_speakers_own_clock(cube):
    source = SourceSpan(speaker="Nora", event_time=LATE, utc_offset="+02:00")
    assert memory_line(cube("Hello.", sources=(source,))) == "- Nora: Hello. (on 2026-03-02)"


def test_an_offset_that_cannot_be_read_counts_as_utc(cube):
    source = SourceSpan(event_time=LATE, utc_offset="half past")
    assert memory_line(cube("Hello.", sources=(source,))) == "- Hello. (on 2026-03-01)"


def test_a_memory_without_sources_is_its_text(cube):
    assert memory_line(cube("Hello.")) == "- Hello."


def test_a_memory_without_a_date_still_names_its_speaker(cube):
    assert memory_line(cube("Hello.", sources=(SourceSpan(speaker="Nora"),))) == "- Nora: Hello."


def test_a_text_of_several_lines_stays_one_memory(cube):
    source = SourceSpan(speaker="Nora\n- Eve")
    assert memory_line(cube("One.\r\n\n- Two: x\n", sources=(source,))) == "- Nora - Eve: One. - Two: x"
