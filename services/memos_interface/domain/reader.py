"""MemReader: messages and texts become items, each of which is to be one memory (MemOS, section 5.1)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_interface.domain.junk import reason_to_leave_out
from memos_interface.domain.moments import parse_moment
from memos_interface.domain.semantics import guess
from memos_kernel import limits
from memos_kernel.cube import Origin, SemanticType, SourceSpan
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_kernel.text import check_plain, check_text

ORIGINS = {
    "user": Origin.USER_INPUT,
    "assistant": Origin.MODEL_OUTPUT,
    "tool": Origin.RETRIEVAL,
    "system": Origin.USER_INPUT,
}
"""Origin of what a role says; the keys are the roles that the contract knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the caller gave it; see the contract for each field."""

    text: str
    id: str = ""
    role: str = ""
    speaker: str = ""
    session: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A piece of input that is to be one memory.

    Attributes:
        index: its place in the input: messages first, then plain texts.
        plain: whether it is a plain text.
    """

    text: str
    semantic_type: SemanticType
    origin: Origin
    source: SourceSpan
    index: int
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A piece of input that is not remembered as it is, by its place in the input, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: items in the order of the input, and what was left out."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()


def read(
    messages: Sequence[Message],
    texts: Sequence[str],
    *,
    now: datetime,
    semantic_type: SemanticType = SemanticType.UNSPECIFIED,
) -> Reading:
    """Read messages, then texts. Every input is checked before the first item is returned.

    A plain text is a message without speaker and time, known by its content: said twice, it is one memory.

    Raises:
        MissingField: there is nothing, or a text is empty.
        LimitExceeded: too many inputs, or one is too long.
        InvalidField: an unknown role, a time that cannot be, or a control character.
    """
    _check_count(len(messages) + len(texts))
    items: list[Item] = []
    skipped: list[Skipped] = []
    for index, message in enumerate(messages):
        role = check_role(message.role, field=f"messages[{index}].role")
        if reason := reason_to_leave_out(role, message.text):
            skipped.append(Skipped(index, reason))
            continue
        source = source_of(message, field=f"messages[{index}]", now=now)
        kind = semantic_type or guess(message.text, spoken=True)
        items.append(Item(text=message.text, semantic_type=kind, origin=ORIGINS[role], source=source, index=index))
    for number, text in enumerate(texts):
        check_text(text, field=f"texts[{number}]")
        kind = semantic_type or guess(text, spoken=False)
        source = SourceSpan(message_id=_content_id(text))
        index = len(messages) + number
        items.append(
            Item(text=text, semantic_type=kind, origin=Origin.USER_INPUT, source=source, index=index, plain=True)
        )
    return Reading(tuple(items), tuple(skipped))


def check_role(role: str, *, field: str) -> str:
    """Return the role, `user` if it is empty.

    Raises:
        InvalidField: not a role of the contract.
    """
    known = role or "user"
    if known not in ORIGINS:
        raise InvalidField(f"{field} is {role[:40]!r}; it can be {', '.join(ORIGINS)}.", field=field)
    return known


def source_of(message: Message, *, field: str, now: datetime) -> SourceSpan:
    """Check a message and return where it stands: id, speaker, session and time.

    A message without id gets one from its content, so that provenance can name it and reading it twice
    gives the same memory.

    Raises:
        MissingField, LimitExceeded, InvalidField: see `read`.
    """
    check_text(message.text, field=f"{field}.text")
    for name in ("id", "speaker", "session"):
        check_plain(getattr(message, name), field=f"{field}.{name}", limit=limits.SOURCE_FIELD_BYTES)
    moment = parse_moment(message.time, field=f"{field}.time", now=now)
    role = check_role(message.role, field=f"{field}.role")
    speaker = message.speaker or role
    return SourceSpan(
        message_id=message.id or _content_id(message.session, speaker, moment.time.isoformat(), message.text),
        speaker=speaker,
        session=message.session,
        event_time=moment.time,
        utc_offset=moment.utc_offset,
        role=role,
    )


def _content_id(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    return f"m-{digest.hexdigest()[:16]}"


def _check_count(count: int) -> None:
    if not count:
        raise MissingField("Give messages or texts to remember.", field="messages")
    if count > limits.BATCH_ITEMS:
        raise LimitExceeded(
            f"The call has {count} messages and texts; the limit is {limits.BATCH_ITEMS}. Send several calls.",
            field="messages",
            limit=str(limits.BATCH_ITEMS),
            unit="items",
        )
