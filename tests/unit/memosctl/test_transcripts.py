import json

import pytest

from memosctl.transcripts import BATCH_BYTES, BATCH_MESSAGES, BadLine, Line, batches, read


def lines(*texts: str) -> list[Line]:
    raw = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    return [line for line in read(raw) if isinstance(line, Line)]


def test_a_line_keeps_its_number_and_the_fields_that_are_set() -> None:
    [line] = read([b"\n", b'{"id": "m1", "speaker": "Nora", "role": "", "time": null, "text": "hello"}\n'])

    assert line == Line(
        2, b'{"id": "m1", "speaker": "Nora", "role": "", "time": null, "text": "hello"}\n', line.message
    )
    assert line.message == {"id": "m1", "speaker": "Nora", "text": "hello"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"txt": "x"}', "unknown field 'txt'"),
        (b'{"text": "x", "id": 7}', "field 'id' is not a string"),
        (b'{"text": "  "}', "no text"),
        (b'{"id": "m1"}', "no text"),
        (b'{"text": "cut \\ud83d"}', "half a character"),
        (b'{"text": ' + b"7" * 5_000 + b"}", "not JSON"),
    ],
)
def test_a_line_that_is_no_message_is_reported_with_its_reason(raw: bytes, reason: str) -> None:
    [bad] = read([raw])

    assert isinstance(bad, BadLine)
    assert bad.number == 1
    assert reason in bad.reason


def test_batches_are_bounded_in_messages_and_bytes() -> None:
    many = list(batches(lines(*(f"text {number}" for number in range(130)))))
    large = list(batches(lines(*("x" * 16_000 for _ in range(20)))))

    assert [len(batch) for batch in many] == [BATCH_MESSAGES, BATCH_MESSAGES, 2]
    assert all(sum(len(line.raw) for line in batch) <= BATCH_BYTES for batch in large)


def ids(*raw: str) -> list[str | None]:
    return [line.message.get("id") for line in read(text.encode() for text in raw) if isinstance(line, Line)]


def test_a_message_without_id_and_time_is_named_by_its_content_and_its_count_in_the_file() -> None:
    yes, no, again = ids('{"text": "yes"}', '{"text": "no"}', '{"text": "yes"}')

    assert len({yes, no, again}) == 3
    assert ids("nonsense", '{"text": "yes"}', '{"text": "maybe"}', '{"role": "", "text": "yes"}') == [
        yes,
        *ids('{"text": "maybe"}'),
        again,
    ]
    assert ids('{"text": "yes", "speaker": "Nora"}') != [yes]


def test_an_id_or_a_time_names_a_message_by_itself() -> None:
    assert ids('{"text": "yes", "id": "m1"}', '{"text": "yes", "time": "2026-03-02T19:12:00Z"}') == ["m1", None]
