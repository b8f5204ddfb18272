"""How it is told that a statement makes an earlier one untrue."""

import json

import numpy as np
import pytest

from memos_kernel.token_codes import levels_of, pack_tokens, rotation, to_bytes
from memos_runtime.loading import ConfigError
from memos_storage.adapters.supersession.evidence import (
    FEATURES,
    Read,
    are_comparable,
    are_of_two,
    features,
    is_of_another,
)
from memos_storage.adapters.supersession.judge import WEIGHTS, LearnedJudge
from memos_storage.adapters.supersession.surface import first_name, surface_of
from memos_storage.ports import Told

FORWARD, BACK = "Tom lives in Leeds.", "Since May Tom has a flat in Bristol."


def value(name, newer, older, cosine=0.6):
    reads = [Read(surface_of(text), None) for text in (newer, older)]
    return features(*reads, cosine)[FEATURES.index(name)]


@pytest.mark.parametrize(
    ("flag", "told", "untold"),
    [
        ("news", "I no longer eat meat.", "I eat meat."),
        ("news", "我现在住在上海", "我喜欢上海"),
        ("hedged", "I might move to York.", "I move to York."),
        ("past", "I once lived in York.", "I live in York."),
        ("added", "I also have a cat.", "I have a cat."),
        ("denied", "I don't smoke.", "I smoke."),
        ("first_person", "My car is red.", "The car is red."),
        ("happened", "Tom painted the door.", "The door is red."),
        ("holds", "The door is red.", "Painting the door."),
    ],
)
def test_words_tell_what_a_statement_is(flag, told, untold):
    assert surface_of(told).flags[flag]
    assert not surface_of(untold).flags[flag]


def test_names_are_words_that_are_written_as_names():
    surface = surface_of("The boss met Dr. O'Neil's dog Rex. They like Rex, and I do, too. Nora's cat came.")
    assert surface.names == {"dr", "o'neil", "rex", "nora"}


def test_numbers_and_other_persons_are_told():
    surface = surface_of("My sister's three rooms cost 1,050 a month.")
    assert surface.numbers == {"three", "1,050"}
    assert surface.persons == {"sister"}
    assert surface.of_another
    assert not surface_of("I pay for three rooms.").of_another


@pytest.mark.parametrize(
    ("one", "other", "two"),
    [
        ("Nora drives a Saab.", "Tom drives a Volvo.", True),
        ("Nora's car is a Saab.", "Nora drives a Volvo now.", False),
        ("Kofi took over from Renata.", "Renata runs the project.", False),
        ("Nora drives a Saab.", "I drive a Volvo.", False),
        ("Heron 7 stands by pond 49.", "Heron 1 stands by pond 7.", True),
        ("Heron 7 stands by pond 49.", "Heron 7 stands by pond 7.", False),
        ("The Slate Hill Climb is in May.", "The Cinder Trail is in June.", True),
        ("The sister of Dmitri is called Ann.", "The sister of Ilse is called Eve.", True),
        ("The owner of Kestrel is Dmitri.", "Kestrel belongs to Ilse now.", False),
        ("Nora lives in Leeds.", "The Acme office has moved to Bristol.", True),
        ("Our office moved to Oslo in May.", "Our office moved to Bergen in June.", False),
        ("Refunds take 30 days.", "Customers wait ten days for a refund.", False),
    ],
)
def test_statements_that_begin_with_other_names_are_of_two_subjects(one, other, two):
    assert are_of_two(surface_of(one), surface_of(other)) is two
    assert are_of_two(surface_of(other), surface_of(one)) is two


@pytest.mark.parametrize(
    ("newer", "older", "other"),
    [
        ("Kestrel Labs has its office in Bergen.", "Nora works at Kestrel Labs.", True),
        ("Nora took a job at Quillon.", "Nora works at Kestrel Labs.", False),
        ("Renata runs the project.", "The owner of the project is Kofi.", False),
        ("Bob took over as CEO in May.", "The CEO of Acme is Ann.", False),
        ("The Kestrel Labs office has moved to Bergen.", "Nora works at Kestrel Labs.", True),
        ("Nora has moved to Bergen.", "Currently Nora lives in Oslo.", False),
        ("Tom moved to Bristol.", "Dr. Tom Hill lives in Leeds.", False),
        ("Nora now works at Quillon.", "Acme employs Nora.", False),
        ("Kofi runs the project alone now.", "Renata runs the project with Kofi.", False),
        ("I work at Meta now.", "I work at Google.", False),
    ],
)
def test_what_begins_with_another_name_is_not_of_the_one_it_leaves_out(newer, older, other):
    assert is_of_another(surface_of(newer), surface_of(older)) is other
    assert are_comparable(surface_of(newer), surface_of(older)) is not other


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("I work at Kestrel Labs. Nora is my boss.", "Kestrel Labs"),
        ("My sister is Nora. Tom lives in Rome.", "Nora"),
        ("Nora's Tesla is red.", "Nora"),
        ("It's 5 PM.", "PM"),
        ("It is late.", ""),
        ("小明在青木公司上班。", ""),
    ],
)
def test_the_first_name_ends_where_its_words_do(text, name):
    assert first_name(text) == name


def test_features_tell_what_two_statements_have_of_each_other():
    assert value("cosine", BACK, FORWARD, 0.25) == 0.25
    assert value("older_covered", BACK, FORWARD) == 1 / 3  # of Tom, live, Leeds
    assert value("shared_names", BACK, FORWARD) == 1
    assert value("names_missing", BACK, FORWARD) == 1
    assert value("names_new", BACK, FORWARD) == 2  # May, Bristol
    assert value("numbers_differ", "It costs 45.", "It costs 38.") == 1
    assert value("numbers_shared", "It costs 38.", "It costs 38.") == 1
    assert value("denied_otherwise", "I don't smoke.", "I smoke.") == 1
    assert value("first_person_both", "I don't smoke.", "I smoke.") == 1
    assert np.isnan(value("older_met", BACK, FORWARD))


def test_tokens_tell_how_much_of_a_statement_is_met_in_the_other():
    unit = np.eye(8, dtype=np.float32) @ rotation(8)
    first, both = (levels_of(to_bytes(pack_tokens(unit[:count]), 8), 8) for count in (1, 2))
    reads = Read(surface_of(BACK), first), Read(surface_of(FORWARD), both)
    found = features(*reads, 0.6)
    older, newer = (found[FEATURES.index(name)] for name in ("older_met", "newer_met"))
    assert newer == pytest.approx(1.0, abs=1e-5)
    assert older < 0.9


def said_of(text, *, words=(0, 1, 2)):
    """A statement whose tokens have the vectors of these words."""
    unit = np.eye(8, dtype=np.float32)[list(words)] @ rotation(8)
    return Told(text, to_bytes(pack_tokens(unit), 8), 8)


def test_the_same_in_other_words_is_told():
    judge = LearnedJudge()
    older = said_of(FORWARD)
    assert judge.restates(said_of("Tom is living in Leeds."), older, 0.95) == pytest.approx(1.0, abs=1e-5)
    assert judge.restates(said_of("I'm living in Leeds."), said_of("I live in Leeds!"), 0.95) > 0.9
    assert judge.restates(said_of("Tom is living in Leeds."), older, 0.8) == 0.0
    assert judge.restates(Told("Tom is living in Leeds."), older, 0.95) == 0.0
    assert judge.restates(said_of("Tom is living in Leeds.", words=(0, 4, 5)), older, 0.95) == 0.0
    for other in ("Tom lives in Hull.", "Tom does not live in Leeds.", "Tom's sister lives in Leeds.",
                  "Tom also lives in Leeds.", "Tom lives in 4 Leeds.", "Tom might live in Leeds."):  # fmt: skip
        assert judge.restates(said_of(other), older, 0.95) == 0.0, other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The password of the router is heron-blue.", "The password of the router is heron-green."),
        ("The key is under the mat.", "The key is on the mat."),
        ("The heating is set to warm.", "The heating is set to cold."),
        ("The train leaves from platform a.", "The train leaves from platform b."),
        ("The shop is open on weekdays.", "The shop is open on weekends."),
        ("Anna owes Ben money.", "Ben owes Anna money."),
        ("We move from staging to production.", "We move from production to staging."),
        ("明天的会议在上午", "明天的会议在下午"),
        ("My shirt size is M.", "My shirt size is S."),
        ("I program in C#.", "I program in C++."),
        ("It is -5 degrees.", "It is 5 degrees."),
        ("The fee is $5.", "The fee is €5."),
        ("My blood type is A+.", "My blood type is A-."),
        ("My answer is 👍", "My answer is 👎"),
        ("Her name is Jen.", "Her name is Jens."),
        ("I work at Acme.", "I worked at Acme."),
        ("I smoke.", "I smoked."),
    ],
)
def test_what_differs_in_a_word_or_in_their_order_is_not_the_same(one, other):
    assert LearnedJudge().restates(said_of(one), said_of(other), 0.99) == 0.0


def test_an_update_is_stronger_evidence_than_what_looks_alike():
    judge = LearnedJudge()
    update = judge(Told("Tom has moved to Bristol and lives there now."), Told(FORWARD), 0.7)
    assert 0.0 < update < 1.0
    for other in ("Tom's sister lives in Bristol.", "Tom might move to Bristol one day.", "Tom also likes Leeds."):
        assert judge(Told(other), Told(FORWARD), 0.7) < update
    assert judge(Told("Nora lives in Bristol."), Told(FORWARD), 0.9) == 0.0


def test_weights_for_other_features_are_refused(tmp_path):
    read = json.loads(WEIGHTS.read_text())
    read["features"][0] = "sine"
    (tmp_path / "weights.json").write_text(json.dumps(read))
    with pytest.raises(ConfigError, match="trained for other features"):
        LearnedJudge(tmp_path / "weights.json")


def test_codes_that_do_not_fit_have_no_vectors():
    unit = np.eye(8, dtype=np.float32) @ rotation(8)
    data = to_bytes(pack_tokens(unit), 8)
    assert levels_of(data, 8).shape == (8, 8)
    assert levels_of(data[:-1], 8) is None
    assert levels_of(b"\x09" + data[1:], 8) is None
    assert levels_of(b"", 8) is None
