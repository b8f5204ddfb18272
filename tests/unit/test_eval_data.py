"""The formats of conversations with known evidence, and what is measured with them."""

import json

import pytest

from assistant_chats import assistant_chats
from eval_data import Question, load
from retrieval import Found, measures

LOCOMO = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Nora",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Nora", "dia_id": "D1:1", "text": "Hi!"},
            {"speaker": "Tom", "dia_id": "D1:2", "text": "Look.", "blip_caption": "a red kayak"},
        ],
        "session_2_date_time": "9:00 am on 1 June, 2023",
        "session_2": [{"speaker": "Nora", "dia_id": "D2:1", "text": "Rain."}],
        "session_3_date_time": "9:00 am on 2 June, 2023",
    },
    "qa": [
        {"question": "a?", "answer": "x", "evidence": ["D1:2; D2:01"], "category": 1},
        {"question": "b?", "answer": "x", "evidence": ["D:1:1", "D9:9"], "category": 4},
        {"question": "c?", "answer": "x", "evidence": [], "category": 2},
        {"question": "d?", "adversarial_answer": "x", "evidence": ["D1:1"], "category": 5},
    ],
}
LONG_MEM_EVAL = {
    "question_id": "q1",
    "question_type": "single-session-user",
    "question": "a?",
    "haystack_session_ids": ["s1", "s2"],
    "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 10:00"],
    "haystack_sessions": [
        [{"role": "user", "content": "I like tea.", "has_answer": True}, {"role": "assistant", "content": "Good."}],
        [{"role": "user", "content": " "}],
    ],
}


def test_locomo(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps([LOCOMO]))
    (talk,) = load(tmp_path / "data.json")
    assert [(turn.id, turn.speaker, turn.session) for turn in talk.turns] == [
        ("D1:1", "Nora", "session-1"),
        ("D1:2", "Tom", "session-1"),
        ("D2:1", "Nora", "session-2"),
    ]
    assert talk.turns[1].text == "Look. [shares a red kayak]"
    assert talk.turns[0].time.isoformat() == "2023-05-08T13:56:00+00:00"
    assert [(one.text, one.evidence, one.category) for one in talk.questions] == [
        ("a?", {"D1:2", "D2:1"}, "multi-hop"),
        ("b?", {"D1:1"}, "single-hop"),
    ]


def test_long_mem_eval(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps([LONG_MEM_EVAL]))
    (talk,) = load(tmp_path / "data.json")
    assert [(turn.id, turn.role) for turn in talk.turns] == [("s1:0", "user"), ("s1:1", "assistant")]
    assert talk.turns[0].time.isoformat() == "2023-05-20T02:21:00+00:00"
    (asked,) = talk.questions
    assert (asked.evidence, asked.category) == ({"s1:0"}, "single-session-user")


def test_another_format_is_refused(tmp_path):
    (tmp_path / "data.json").write_text("[{}]")
    with pytest.raises(ValueError, match="neither"):
        load(tmp_path / "data.json")


def test_generated_chats_are_the_same_for_a_seed_and_their_evidence_is_the_users():
    first, again, other = (assistant_chats(chats=1, sessions=12, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other
    by_id = {turn.id: turn for turn in first.turns}
    assert len(first.questions) == 24
    for question in first.questions:
        (id,) = question.evidence
        assert by_id[id].role == "user"
    answers = [turn for turn in first.turns if turn.role == "assistant"]
    assert len(answers) * 2 == len(first.turns)
    assert min(len(turn.text.split()) for turn in answers) > 50


def test_measures():
    question = Question("a?", frozenset({"1", "2"}), "x")
    found = [
        Found(question, ["9", "1", "8", "7", "6", "2"], ["a", "b", "a", "a", "a", "c"], frozenset({"b", "c"})),
        Found(question, ["9"], ["a"], frozenset({"b"})),
    ]
    row = measures(found)
    assert (row["recall@5"], row["recall@10"], row["any@5"], row["all@10"]) == (25.0, 50.0, 50.0, 50.0)
    assert (row["mrr"], row["session_hit@1"], row["session_recall@5"]) == (0.25, 0.0, 50.0)
