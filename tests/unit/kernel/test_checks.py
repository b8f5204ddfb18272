from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel import checks, limits
from memos_kernel.cube import SourceSpan
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField

NOW = datetime(2026, 3, 2, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("check", "error", "field"),
    [
        (lambda: checks.check_sources([SourceSpan()] * (limits.SOURCES + 1), field="f"), LimitExceeded, "f"),
        (
            lambda: checks.check_sources([SourceSpan(start_char=2, end_char=1)], field="f"),
            InvalidField,
            "f[0].end_char",
        ),
        (lambda: checks.check_sources([SourceSpan(speaker="x" * 257)], field="f"), LimitExceeded, "f[0].speaker"),
        (
            lambda: checks.check_sources([SourceSpan(event_time=END_OF_TIME)], field="f"),
            InvalidField,
            "f[0].event_time",
        ),
        (lambda: checks.check_expiry(END_OF_TIME, field="f", now=NOW), InvalidField, "f"),
        (lambda: checks.check_expiry(NOW, field="f", now=NOW), InvalidField, "f"),
        (lambda: checks.check_validity(NOW, NOW, field="f"), InvalidField, "f.valid_until"),
        (lambda: checks.check_validity(None, END_OF_TIME, field="f"), InvalidField, "f.valid_until"),
        (lambda: checks.check_priority(101, field="f"), InvalidField, "f"),
        (lambda: checks.check_tags(["a", " "], field="f"), MissingField, "f[1]"),
        (lambda: checks.check_tags(["a"] * 33, field="f"), LimitExceeded, "f"),
        (lambda: checks.check_language("x" * 36, field="f"), LimitExceeded, "f"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_field(check, error, field):
    with pytest.raises(error) as caught:
        check()
    assert caught.value.field == field


def test_what_keeps_the_rules_passes():
    checks.check_sources([SourceSpan(start_char=1, end_char=0, event_time=NOW)] * limits.SOURCES, field="f")
    checks.check_expiry(NOW + timedelta(seconds=1), field="f", now=NOW)
    checks.check_validity(NOW, NOW + timedelta(seconds=1), field="f")
    checks.check_tags(["a"] * 32, field="f")
    checks.check_priority(0, field="f")
