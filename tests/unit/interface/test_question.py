"""How a message is understood as a call to memory."""

import pytest

from memos_interface.domain.question import Turn, names_in, understand


def call(*texts):
    roles = ["user" if (len(texts) - index) % 2 else "assistant" for index in range(len(texts))]
    return understand(
        [Turn(role, text) for role, text in zip(roles, texts, strict=True)], caller="tenants/t/principals/p"
    )


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("What is the name of Nora's cat?", "recall"),
        ("where does she live", "recall"),
        ("Tell me about Porto.", "recall"),
        ("You remember the boat, right?", "recall"),
        ("My cat is called Biscuit.", "chat"),
        ("Thanks a lot!", "chat"),
    ],
)
def test_a_question_recalls_and_other_talk_does_not(text, intent):
    assert call(text).intent == intent


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What is the name of Nora's cat?", ("Nora",)),
        ("Did Felix meet Anna Maria in Porto?", ("Felix", "Anna Maria", "Porto")),
        ("Nora sold the van. Felix bought it.", ("Nora", "Felix")),
        ("Nora, Felix and I left on Tuesday.", ("Nora", "Felix")),
        ('Who wrote "The Summer Book"?', ("The Summer Book",)),
        ("What did I say?", ()),
        ("Where was the picnic in May?", ()),
    ],
)
def test_names_are_found(text, names):
    assert names_in(text) == names


def test_a_pronoun_takes_the_name_that_was_said_last():
    found = call("Nora moved in with Felix.", "I see.", "When did he sign up for pottery?")
    assert found.query == "When did he sign up for pottery? Felix"
    assert found.entities == ("Felix",)


def test_an_antecedent_that_would_make_the_question_too_long_is_left_out():
    long = "Nora " * 900
    assert call(long, "What did she say?").query == "What did she say?"
    text = ("she " * 1_024)[:4_095]
    assert call("Nora moved.", text).query == text


def test_a_name_in_the_question_needs_no_antecedent():
    assert call("Nora moved.", "I see.", "Does Felix like her?").query == "Does Felix like her?"


def test_without_an_antecedent_the_question_stays_as_it_is():
    found = call("When did she move?")
    assert (found.query, found.entities) == ("When did she move?", ())


def test_the_caller_is_told():
    assert call("hello").caller == "tenants/t/principals/p"
