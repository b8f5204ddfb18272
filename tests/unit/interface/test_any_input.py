"""Whatever comes in is read, left out with a reason, or refused by its field; nothing is changed on the way."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from memos_interface.domain.moments import parse_moment
from memos_interface.domain.question import Turn, understand
from memos_interface.domain.reader import Message, read
from memos_kernel.errors import RequestError

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
TEXT = st.text(st.characters(), max_size=200)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(TEXT, st.sampled_from(["", "user", "assistant", "tool", "system", "robot"]), TEXT, TEXT)
def test_a_message_is_stored_as_it_is_or_its_fate_is_told(text, role, speaker, time):
    try:
        found = read([Message(text=text, role=role, speaker=speaker, time=time)], [], now=NOW)
    except RequestError as error:
        assert error.field.startswith("messages[0].")
        return
    assert len(found.items) + len(found.skipped) == 1
    assert all(item.text == text for item in found.items)
    assert all(entry.reason for entry in found.skipped)


@given(TEXT)
def test_any_question_is_understood_somehow(text):
    call = understand([Turn("user", "Nora is here."), Turn("user", text)], caller="tenants/t/principals/p")
    assert call.query.startswith(text.strip())
    assert call.intent in ("recall", "chat")


@given(st.datetimes(datetime(1970, 1, 2), datetime(2026, 3, 2)), OFFSETS)
def test_a_time_keeps_its_moment_and_its_offset(local, zone):
    said = local.replace(tzinfo=zone)
    moment = parse_moment(said.isoformat(), field="time", now=NOW)
    assert moment.time == said
    assert f"2000-01-01T00:00:00{moment.utc_offset}" == datetime(2000, 1, 1, tzinfo=zone).isoformat()
