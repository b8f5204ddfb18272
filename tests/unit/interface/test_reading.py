"""MemReader: what becomes of messages and texts."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_interface.domain.moments import parse_moment
from memos_interface.domain.reader import Message, read
from memos_kernel.cube import Origin, SemanticType, SourceSpan
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def reading(*messages, texts=()):
    return read(messages, texts, now=NOW)


def test_a_message_keeps_speaker_session_and_the_speakers_clock():
    said = Message(
        id="m1", session="s1", speaker="Nora", time="2026-03-02T19:12:00+01:00", text="Ghent is cold this week."
    )
    (item,) = reading(said).items
    assert item.text == "Ghent is cold this week."
    assert (item.source.message_id, item.source.session, item.source.speaker) == ("m1", "s1", "Nora")
    assert item.source.event_time == datetime(2026, 3, 2, 18, 12, tzinfo=UTC)
    assert item.source.utc_offset == "+01:00"


def test_messages_come_before_texts_and_keep_their_order():
    items = reading(Message(text="one fish"), Message(text="two fish"), texts=["red fish"]).items
    assert [item.text for item in items] == ["one fish", "two fish", "red fish"]
    assert [item.index for item in items] == [0, 1, 2]
    assert [item.plain for item in items] == [False, False, True]


def test_a_plain_text_has_a_source_known_by_its_content_alone():
    first, again, other = reading(texts=["red fish", "red fish", "blue fish"]).items
    assert first.source == again.source != other.source
    assert first.source == SourceSpan(message_id=first.source.message_id)


@pytest.mark.parametrize(
    ("role", "origin"),
    [
        ("", Origin.USER_INPUT),
        ("user", Origin.USER_INPUT),
        ("assistant", Origin.MODEL_OUTPUT),
        ("tool", Origin.RETRIEVAL),
    ],
)
def test_the_role_tells_the_origin_and_names_who_has_no_name(role, origin):
    (item,) = reading(Message(text="hello there", role=role)).items
    assert item.origin is origin
    assert item.source.speaker == item.source.role == (role or "user")


def test_a_message_without_id_gets_one_from_its_content():
    time = "2026-03-02T18:00:00Z"
    first, again, other = reading(
        Message(text="a b", time=time), Message(text="a b", time=time), Message(text="a c", time=time)
    ).items
    assert first.source.message_id == again.source.message_id != other.source.message_id


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(text="You are a helpful assistant.", role="system"), "system_prompt"),
        (Message(text="x" * 20_000, role="system"), "system_prompt"),
        (Message(text="ping"), "heartbeat"),
        (Message(text=" PONG! "), "heartbeat"),
        (Message(text="HEARTBEAT_OK", role="assistant"), "heartbeat"),
        (Message(text="[keep-alive]"), "heartbeat"),
        (Message(text='{"type": "heartbeat", "at": 12}', role="tool"), "heartbeat"),
        (Message(text="..."), "no_content"),
    ],
)
def test_instructions_and_signs_of_life_are_left_out_with_their_reason(message, reason):
    found = reading(message, Message(text="My cat is called Biscuit."))
    assert [(entry.index, entry.reason) for entry in found.skipped] == [(0, reason)]
    assert [item.index for item in found.items] == [1]


@pytest.mark.parametrize(
    "text", ["ok", "Thanks!", "👍", "Ping me tomorrow.", "My heartbeat was fast.", "He plays ping pong.", "no"]
)
def test_short_human_talk_is_kept(text):
    assert [item.text for item in reading(Message(text=text)).items] == [text]


@pytest.mark.parametrize(
    ("text", "spoken", "kind"),
    [
        ("I really love pistachio ice cream.", True, SemanticType.PREFERENCE),
        ("My favourite colour is teal.", True, SemanticType.PREFERENCE),
        ("Remind me to call the plumber.", True, SemanticType.TASK),
        ("I still need to renew my passport.", True, SemanticType.TASK),
        ("My sister is a pilot.", True, SemanticType.FACT),
        ("Do you love pistachio?", True, SemanticType.EVENT),
        ("We walked to the harbour.", True, SemanticType.EVENT),
        ("The harbour opened in 1921.", False, SemanticType.FACT),
    ],
)
def test_the_sort_of_content_is_guessed_cautiously(text, spoken, kind):
    found = reading(Message(text=text)) if spoken else reading(texts=[text])
    assert found.items[0].semantic_type is kind


def test_a_given_sort_of_content_wins():
    (item,) = read([Message(text="I love tea.")], [], now=NOW, semantic_type=SemanticType.SKILL).items
    assert item.semantic_type is SemanticType.SKILL


@pytest.mark.parametrize(
    ("message", "error", "field"),
    [
        (Message(text=""), MissingField, "messages[1].text"),
        (Message(text=" \n"), MissingField, "messages[1].text"),
        (Message(text="é" * 8_193), LimitExceeded, "messages[1].text"),
        (Message(text="a\x00b"), InvalidField, "messages[1].text"),
        (Message(text="a", role="robot"), InvalidField, "messages[1].role"),
        (Message(text="a", speaker="x" * 257), LimitExceeded, "messages[1].speaker"),
        (Message(text="a", session="x\x07"), InvalidField, "messages[1].session"),
        (Message(text="a", time="2026-03-02T19:12:00"), InvalidField, "messages[1].time"),
        (Message(text="a", time="yesterday"), InvalidField, "messages[1].time"),
        (Message(text="a", time="2026-03-02"), InvalidField, "messages[1].time"),
        (Message(text="a", time="2026-02-30T19:12:00Z"), InvalidField, "messages[1].time"),
        (Message(text="a", time="1969-12-31T23:59:59Z"), InvalidField, "messages[1].time"),
        (Message(text="a", time="2026-03-03T18:00:01Z"), InvalidField, "messages[1].time"),
        (Message(text="a", time="0001-01-01T00:00:00+14:00"), InvalidField, "messages[1].time"),
    ],
)
def test_a_bad_message_is_refused_by_its_field(message, error, field):
    with pytest.raises(error) as caught:
        reading(Message(text="fine"), message)
    assert caught.value.field == field


def test_a_naive_time_says_how_to_write_it():
    with pytest.raises(InvalidField, match=r"2026-03-02T19:12:00\+01:00"):
        parse_moment("2026-03-02T19:12:00", field="time", now=NOW)


@pytest.mark.parametrize(
    ("value", "time", "offset"),
    [
        ("", NOW, "+00:00"),
        ("2026-03-02T12:00:00-05:30", datetime(2026, 3, 2, 17, 30, tzinfo=UTC), "-05:30"),
        ("2026-03-02t12:00:00.5z", datetime(2026, 3, 2, 12, 0, 0, 500_000, tzinfo=UTC), "+00:00"),
        ("2026-03-03T18:00:00Z", NOW + timedelta(hours=24), "+00:00"),
    ],
)
def test_times_are_read_with_their_offset(value, time, offset):
    moment = parse_moment(value, field="time", now=NOW)
    assert (moment.time, moment.utc_offset) == (time, offset)


def test_nothing_and_too_much_are_refused():
    with pytest.raises(MissingField) as nothing:
        reading()
    assert nothing.value.field == "messages"
    with pytest.raises(LimitExceeded) as much:
        reading(*[Message(text="a")] * 200, texts=["b"] * 57)
    assert much.value.metadata["limit"] == "256"


def test_a_text_is_refused_by_its_place():
    with pytest.raises(InvalidField) as caught:
        reading(texts=["fine", "bell\x07"])
    assert caught.value.field == "texts[1]"
