"""What `memosctl doctor` looks at, one concern a file."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        hint: what to do about it, where something is to be done.
    """

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return a check that found everything in order."""
    return Finding(check, Verdict.OK, detail)


def warning(check: str, detail: str, hint: str = "") -> Finding:
    """Return a check that found something that works, but should be looked at."""
    return Finding(check, Verdict.WARNING, detail, hint)


def failed(check: str, detail: str, hint: str = "") -> Finding:
    """Return a check that found something that does not work."""
    return Finding(check, Verdict.FAILED, detail, hint)


def skipped(check: str, detail: str) -> Finding:
    """Return a check that could not be made, and does not need to be."""
    return Finding(check, Verdict.SKIPPED, detail)
