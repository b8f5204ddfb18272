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
    many = list(batches(lines(*(f"text {number}" for number in range(130))), vault="v", labels={}))
    large = list(batches(lines(*("x" * 16_000 for _ in range(20))), vault="v", labels={}))

    assert [len(batch.lines) for batch in many] == [BATCH_MESSAGES, BATCH_MESSAGES, 2]
    assert all(sum(len(line.raw) for line in batch.lines) <= BATCH_BYTES for batch in large)


def test_the_same_lines_for_the_same_target_have_the_same_request_id() -> None:
    [once] = batches(lines("a", "b"), vault="v", labels={"k": "1"})
    [again] = batches(lines("a", "b"), vault="v", labels={"k": "1"})

    assert once.request_id == again.request_id
    assert len(once.request_id) <= 64


def test_other_lines_places_or_targets_have_other_request_ids() -> None:
    ids = {
        next(iter(batches(given, vault=vault, labels=labels))).request_id
        for given, vault, labels in [
            (lines("a", "b"), "v", {}),
            (lines("a", "c"), "v", {}),
            (lines("b", "a"), "v", {}),
            (lines("x", "a", "b")[1:], "v", {}),
            (lines("a", "b"), "w", {}),
            (lines("a", "b"), "v", {"k": "1"}),
        ]
    }

    assert len(ids) == 6
