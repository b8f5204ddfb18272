"""Rules for text from outside."""

import re

from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField

_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
"""Control characters (Unicode category Cc) but tab and line feed, and lone surrogates."""

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_text(value: str, *, field: str, limit: int = limits.TEXT_BYTES) -> None:
    """Refuse text that is empty, too long or holds control characters other than tab and line feed.

    Raises:
        MissingField: empty or only white space.
        LimitExceeded: more than `limit` bytes of UTF-8.
        InvalidField: a control character or a lone surrogate.
    """
    if not value.strip():
        raise MissingField(f"{field} is empty; give it some text.", field=field)
    check_plain(value, field=field, limit=limit)


def check_plain(value: str, *, field: str, limit: int) -> None:
    """As `check_text`, but empty text is allowed."""
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise LimitExceeded(
            f"{field} has {size} bytes; the limit is {limit}. Split it.", field=field, limit=str(limit), unit="bytes"
        )
    if found := _FORBIDDEN.search(value):
        raise InvalidField(
            f"{field} holds the control character U+{ord(found[0]):04X} at {found.start()}; remove it.", field=field
        )


def check_line(value: str, *, field: str, limit: int = limits.DISPLAY_NAME_CHARS) -> None:
    """Refuse a title or reason that is too long or holds control characters.

    Raises:
        LimitExceeded: more than `limit` characters.
        InvalidField: a control character.
    """
    if len(value) > limit:
        raise LimitExceeded(
            f"{field} has {len(value)} characters; the limit is {limit}.",
            field=field,
            limit=str(limit),
            unit="characters",
        )
    check_plain(value, field=field, limit=4 * limit)


def check_labels(labels: dict[str, str], *, field: str = "labels", limit: int = limits.LABEL_VALUE_BYTES) -> None:
    """Refuse labels whose number, keys or values break the limits; `limit` is in bytes of a value.

    Raises:
        LimitExceeded: too many labels or a value that is too long.
        InvalidField: a key of another form.
    """
    if len(labels) > limits.LABELS:
        raise LimitExceeded(
            f"{field} has {len(labels)} entries; the limit is {limits.LABELS}.",
            field=field,
            limit=str(limits.LABELS),
            unit="entries",
        )
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise InvalidField(f"{field} has the key {key[:80]!r}; keys match [a-z][a-z0-9_-]{{0,62}}.", field=field)
        check_plain(value, field=f"{field}[{key}]", limit=limit)
