"""What memories say is read back as facts that questions can be asked about."""

import random

import pytest

from memos_inference.tiny_model.episodes import EpisodeMaker
from memos_inference.tiny_model.speech import Speech
from memos_inference.tiny_model.words import Vocabulary
from memos_inference.training.statements import facts_in


@pytest.mark.parametrize(
    ("speaker", "text", "relation", "subject", "noun", "value"),
    [
        ("", "Nora's dog is called Biscuit.", "pet", "Nora", "dog", "Biscuit"),
        ("Nora", "My dog is called Biscuit.", "pet", "Nora", "dog", "Biscuit"),
        ("user", "Hello! I adopted a cat and called it Miro. What a day.", "pet", "user", "cat", "Miro"),
        ("", "Ada's front door is green", "thing_colour", "Ada", "front door", "green"),
    ],
)
def test_a_statement_is_read(speaker, text, relation, subject, noun, value):
    found = [
        (fact.relation.id, fact.subject.name, fact.noun[0], fact.value) for fact in facts_in(text, speaker=speaker)
    ]
    assert (relation, subject, noun, value) in found


@pytest.mark.parametrize("text", ["", "Hello!", "The weather.", "12 34", "\ue000 \ue001 \ue002", "(((" * 50])
def test_what_states_nothing_gives_no_fact_of_anybody(text):
    assert all(fact.subject.name in text for fact in facts_in(text))


def test_nothing_is_said_in_the_first_person_by_nobody():
    assert not [fact for fact in facts_in("My dog is called Biscuit.") if fact.subject.name == "I"]


def test_most_of_what_people_tell_is_read():
    rng, maker, speech = random.Random(7), EpisodeMaker(heldout=True), Speech(Vocabulary(heldout=True), heldout=True)
    read = 0
    for _ in range(200):
        (fact,) = maker.facts(rng, 1)
        speaker, _, text = speech.line(rng, fact, [fact.subject], chat=0.2, date="").rpartition(": ")
        found = [(one.relation.id, one.value) for one in facts_in(text, speaker=speaker)]
        read += (fact.relation.id, fact.value) in found
    assert read >= 160
