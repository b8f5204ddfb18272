"""The line that a memory becomes in a prompt; whoever counts its tokens, writes it or trains on it must agree."""

from memos_kernel.cube import MemCube, SourceSpan
from memos_kernel.time_zones import on_clock


def told(text: str, *, speaker: str = "", date: str = "") -> str:
    """Return `Nora: text (on 2026-03-02)`, without date or speaker where they are empty.

    The date stands at the end, because a causal model reads forward: only there do its tokens know of which memory
    they are the date.
    """
    said = f"{speaker}: {text}" if speaker else text
    return f"{said} (on {date})" if date else said


def memory_line(cube: MemCube) -> str:
    """Return the line of a cube: a dash, and its words."""
    return f"- {memory_words(cube)}"


def memory_words(cube: MemCube) -> str:
    """Return what a cube tells, and who said it when.

    The date is that of the first source that has one, on the speaker's own clock. The line holds no line feed, so that
    a memory cannot pass for two.
    """
    date = next((local_date(source) for source in cube.sources if source.event_time), "")
    return told(_one_line(cube.text), speaker=speaker_of(cube), date=date)


def speaker_of(cube: MemCube) -> str:
    """Return who said what a cube tells; empty if nobody is named."""
    return next((_one_line(source.speaker) for source in cube.sources if source.speaker), "")


def local_date(source: SourceSpan) -> str:
    """Return the day of a source on the speaker's own clock, as `2026-03-02`; empty if its time is not known."""
    if source.event_time is None:
        return ""
    return on_clock(source.event_time, source.utc_offset).date().isoformat()


def _one_line(text: str) -> str:
    return " ".join(part for line in text.splitlines() if (part := line.strip()))
