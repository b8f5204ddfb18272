import json

import pytest

from memosctl.demo.judge import CONVERSATION, Question, load_questions

YELLOW = Question("What colour?", "mustard yellow", ("mustard",), ("m1",), False)


@pytest.mark.parametrize("text", ["mustard yellow", "Mustard yellow.", "  a mustard yellow ", "Mustard!"])
def test_an_answer_is_right_whatever_its_case_article_and_punctuation(text: str) -> None:
    assert YELLOW.is_right(text)


@pytest.mark.parametrize("text", ["", "yellow", "I do not know.", "mustard yellow or green"])
def test_an_answer_that_says_something_else_is_wrong(text: str) -> None:
    assert not YELLOW.is_right(text)


def test_all_the_evidence_is_needed_unless_one_message_is_enough() -> None:
    both = Question("q", "a", (), ("m1", "m2"), False)
    either = Question("q", "a", (), ("m1", "m2"), True)

    assert not both.is_supported({"m1"})
    assert both.is_supported({"m1", "m2", "m3"})
    assert either.is_supported({"m2"})
    assert not either.is_supported({"m3"})


def test_the_demo_has_ten_questions_whose_evidence_is_in_its_conversation() -> None:
    with CONVERSATION.open(encoding="utf-8") as file:
        ids = {json.loads(line)["id"] for line in file}

    questions = load_questions()

    assert len(questions) == 10
    assert len(ids) >= 200
    assert all(set(question.evidence) <= ids for question in questions)
