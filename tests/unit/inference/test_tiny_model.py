"""The tiny model as a default: it loads, its data is honest, and it answers from its memories."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from memos_inference.tiny_model.episodes import UNKNOWN, EpisodeMaker, system_text
from memos_inference.tiny_model.grammar import chatter, forms, relations
from memos_inference.tiny_model.words import Vocabulary, held_out

SIDES = pytest.mark.parametrize("heldout", [False, True])


def draw(heldout: bool, seed: int, memories: int = 5) -> tuple:
    episode = EpisodeMaker(heldout=heldout).draw(random.Random(seed), memories=memories, shared=True)
    return episode.memories, episode.questions


@SIDES
def test_an_episode_follows_from_its_seed(heldout: bool) -> None:
    assert draw(heldout, 7) == draw(heldout, 7)
    assert draw(heldout, 7) != draw(heldout, 8)


@SIDES
def test_a_told_answer_stands_in_a_memory_letter_by_letter(heldout: bool) -> None:
    for seed in range(200):
        memories, questions = draw(heldout, seed, memories=1 + seed % 8)
        for question in questions:
            told = any(question.answer in memory for memory in memories)
            assert told == question.kind.startswith(("value", "date")), (question, memories)
            assert told or question.answer == UNKNOWN


def test_held_out_words_and_names_are_not_in_training() -> None:
    rng = random.Random(1)
    training, heldout = Vocabulary(heldout=False), Vocabulary(heldout=True)
    for _ in range(500):
        assert not held_out(training.word(rng))
        assert held_out(heldout.word(rng))
        assert not held_out(training.first_name(rng))
        assert held_out(heldout.first_name(rng))
        assert not held_out(training.pseudo(rng))
        assert held_out(heldout.pseudo(rng))


def test_each_list_holds_question_forms_out_and_none_is_on_both_sides() -> None:
    lists = [relation.ask for relation in relations()]
    lists += [relation.when for relation in relations() if relation.when]
    lists += [chatter()["wrappers"], chatter()["prefixes"]]
    counts = {False: 0, True: 0}
    for texts in lists:
        training, heldout = forms(texts, heldout=False), forms(texts, heldout=True)
        assert training
        assert heldout
        assert not set(training) & set(heldout)
        counts[False] += len(training)
        counts[True] += len(heldout)
    assert counts[True] >= 347, "a mark came off"


def test_several_subjects_share_the_asked_relation() -> None:
    maker = EpisodeMaker(heldout=True)
    episode = maker.draw(random.Random(3), memories=4, shared=True, chat=0.0)
    assert len(episode.memories) >= 4


def test_no_memories_are_marked_as_none() -> None:
    assert system_text(()).endswith("\nMemories:\n(none)")
    assert system_text(["Anna: Hello."]).endswith("\nMemories:\n- Anna: Hello.")


# -- the checkpoint -----------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
CHECKPOINT = Path(__file__).parents[3] / "services" / "memos_inference" / "tiny_model" / "checkpoint"


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(CHECKPOINT)


def test_the_checkpoint_loads_and_states_what_it_can_read() -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(CHECKPOINT)
    assert model.dtype == torch.float32
    assert 3e6 < model.num_parameters() < 8e6
    assert model.config.memos["memories_read_well"] >= 4
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) < 16 * 2**20


def test_the_chat_template_renders_history_and_a_prompt_for_the_answer(tokenizer) -> None:
    turns = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Anna"},
        {"role": "user", "content": "When?"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|system|>Answer.<|end|><|user|>Who?<|end|><|assistant|>Anna<|end|><|user|>When?<|end|><|assistant|>"
    )
    assert tokenizer.apply_chat_template(turns[1:2], tokenize=False) == "<|user|>Who?<|end|>"


@pytest.mark.parametrize("text", ["Biscuit", "I do not know.", "2026-03-04", "$1,250.50", "Dr. Lamm", "half past ten"])
def test_a_text_survives_the_tokenizer_and_is_the_same_tokens_inside_a_sentence(tokenizer, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
    inside = tokenizer(f"It was {text} again").input_ids
    assert any(inside[at : at + len(ids)] == ids for at in range(len(inside)))


def test_a_training_row_is_what_the_chat_template_renders(tokenizer) -> None:
    from memos_inference.tiny_model.batches import CHAT, RowMaker

    episode = EpisodeMaker(heldout=False).draw(random.Random(5), memories=3, shared=True)
    turns = [{"role": "system", "content": system_text(episode.memories)}]
    for question in episode.questions:
        turns += [{"role": "user", "content": question.text}, {"role": "assistant", "content": question.answer}]
    expected = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    assert RowMaker(tokenizer).encode(episode, CHAT).ids == expected


def test_it_answers_unseen_questions_from_one_or_two_memories() -> None:
    from memos_inference.tiny_model.evaluate import TOLD, Examiner, draw_items

    rng = random.Random(11)
    items = [
        item for memories in (1, 2) for item in draw_items(rng, memories=memories, shared=True, kinds=TOLD, count=20)
    ]
    assert Examiner(CHECKPOINT).share_right(items) >= 0.9


def test_a_word_in_other_tokens_is_the_same_in_the_memory_and_in_the_answer(tokenizer) -> None:
    from memos_inference.tiny_model.segments import Segmenter

    segmenter, rng = Segmenter(tokenizer.backend_tokenizer), random.Random(3)
    usual = segmenter.ids("Nora's cat is called Biscuit.", {})
    assert usual == tokenizer("Nora's cat is called Biscuit.").input_ids
    cut, drawn = set(), set()
    for _ in range(50):
        cuts = segmenter.cuts(rng, ["Biscuit", "9"])
        told, answer = segmenter.ids("The cat Biscuit sleeps.", cuts), segmenter.ids("Biscuit", cuts)
        assert any(told[at : at + len(answer)] == answer for at in range(len(told)))
        (cut if tokenizer.decode(answer) == "Biscuit" else drawn).add(tuple(answer))
    assert len(cut) > 3
    assert len(drawn) > 3
