"""What an adapter is trained on, how the prompts are laid out, and what it has to show."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from memos_inference.adapters.checkpoint import FileDigests, bundled_tiny
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.lora_file import adapter_of
from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.config import InferenceConfig
from memos_inference.prompt import UNKNOWN
from memos_inference.tiny_model.episodes import EpisodeMaker
from memos_inference.training.answers import Asker, Item
from memos_inference.training.checkpoints import Checkpoint
from memos_inference.training.exam import Marks, PassMarks, examine
from memos_inference.training.job import Told
from memos_inference.training.lessons import LessonPlan, Teacher
from memos_inference.training.packing import Packer, prompt_of
from memos_inference.training.reader import newest, read_facts
from memos_inference.training.trainer import Trainer, TrainingPlan

SHAPE = LoraShape(rank=8, alpha=16, activated=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    digests = FileDigests(tmp_path_factory.mktemp("digests") / "digests.json")
    return load_model(InferenceConfig(threads=1), digests)


@pytest.fixture
def library():
    return AutoModelForCausalLM.from_pretrained(bundled_tiny().folder, dtype=torch.float32)


@pytest.fixture
def facts():
    return EpisodeMaker(heldout=True).facts(random.Random(1), 3)


@pytest.fixture
def packer(model):
    return Packer(model.tokenizer, end_id=model.tokenizer.end_id)


def told(text, speaker=""):
    return Told(text, speaker, f"{speaker}: {text}" if speaker else text)


def test_a_lesson_reads_each_question_as_if_it_were_the_only_one(model, library, packer, facts):
    lesson = next(Teacher(facts, heldout=False).lessons(random.Random(2), LessonPlan(conversations=1, corrections=1)))
    for episode in (*lesson.learned, *lesson.kept):
        packed, wanted, answers = packer.pack(episode), [], []
        with torch.inference_mode():
            found = library(
                input_ids=packed.ids,
                position_ids=packed.positions,
                attention_mask=packed.visible,
                logits_to_keep=packed.places,
            ).logits[0]
            for question in episode.questions:
                prompt = model.tokenizer.prompt_ids(prompt_of(episode.memories, question.text))
                answer = [*model.tokenizer.plain_ids(question.answer), model.tokenizer.end_id]
                ids = torch.tensor([prompt + answer[:-1]])
                wanted.append(library(input_ids=ids, logits_to_keep=len(answer)).logits[0])
                answers += answer
        assert packed.answers.tolist() == answers
        torch.testing.assert_close(found, torch.cat(wanted), rtol=0, atol=2e-3)


def test_the_adapter_works_on_questions_and_not_on_memories(packer, facts, model):
    conversation = next(Teacher(facts, heldout=False).lessons(random.Random(2), LessonPlan())).kept[0]
    packed = packer.pack(conversation)
    head = int((packed.adapted[0, :, 0] == 0).sum())
    text = model.tokenizer.decode(packed.ids[0, :head].tolist())
    assert all(memory in text for memory in conversation.memories)
    assert not any(question.text in text for question in conversation.questions)


def test_questions_are_about_the_facts_and_what_nobody_told_has_no_answer(facts):
    teacher, rng = Teacher(facts, heldout=False), random.Random(3)
    recalls = teacher.recalls(rng, 9)
    assert sorted(question.answer for question in recalls) == sorted([fact.value for fact in facts] * 3)
    assert {question.answer for question in teacher.strangers(rng, 30)} == {UNKNOWN}
    assert len({question.text for question in teacher.recalls(rng, 60)}) > 40


def test_no_question_of_the_exam_is_one_of_the_training(facts):
    rng = random.Random(4)
    trained = {question.text.lower() for question in Teacher(facts, heldout=False).recalls(rng, 3_000)}
    asked = {question.text.lower() for question in Teacher(facts, heldout=True).recalls(rng, 300)}
    assert not trained & asked


def test_facts_are_read_where_the_model_reads_them_too(model):
    memories = [
        told("My dog is called Biscuit.", "Nora"),
        told("Hello there, how are you?"),
        told("Marta's favourite colour is green."),
        told("My dog is called Biscuit. " + "So it goes. " * 100, "Olaf"),
    ]
    read = read_facts(Asker(model), memories)
    assert [[(fact.subject.name, fact.value) for fact in some] for some in read] == [
        [("Nora", "Biscuit")],
        [],
        [("Marta", "green")],
        [],
    ]


def test_of_two_memories_about_the_same_the_newer_one_is_learned(model):
    read = read_facts(
        Asker(model), [told("Marta's favourite colour is green."), told("Marta's favourite colour is blue.")]
    )
    assert [fact.value for fact in newest(read)] == ["blue"]


def test_what_is_longer_than_the_model_reads_has_no_answer(model, facts):
    (question,) = Teacher(facts, heldout=True).recalls(random.Random(5), 1)
    items = [Item(("word " * 3_000,), question), Item((), question)]
    assert Asker(model).answers(items) == ["", UNKNOWN]


def test_training_makes_the_answers_likelier_and_leaves_the_model_that_serves_alone(model, library, packer, facts):
    short = LessonPlan(recalls=12, strangers=3, conversations=0, corrections=0)
    plan = TrainingPlan(shape=SHAPE, steps=24, lessons=short)
    trainer, shares = Trainer(library, packer, facts[:1], plan), []
    trainer.run(shares.append)
    assert shares == [step / 24 for step in range(1, 25)]
    adapter = adapter_of(trainer.tensors(), SHAPE, digest="d")
    assert set(adapter.down) == set(model.decoder.modules) == set(adapter.up)
    asker, rng = Asker(model), random.Random(6)
    items = [Item((), question) for question in Teacher(facts[:1], heldout=False).recalls(rng, 12)]
    assert asker.share_right(items) == 0.0
    assert asker.share_right(items, adapter=adapter) > 0.5
    marks = examine(asker, facts[:1], adapter, seed=0, questions=8)
    assert marks.recall > marks.recall_before == 0.0


def test_whoever_is_told_can_end_the_training(library, packer, facts):
    trainer = Trainer(library, packer, facts, TrainingPlan(shape=SHAPE, steps=5))

    def stop(share):
        raise TimeoutError(str(share))

    with pytest.raises(TimeoutError, match=r"0\.2"):
        trainer.run(stop)


class BrokenOff(Exception):
    """What ends a training."""


def breaks_off(share):
    if share >= 0.5:
        raise BrokenOff


SHORT = TrainingPlan(shape=SHAPE, steps=6, lessons=LessonPlan(recalls=4, strangers=2, conversations=1, corrections=1))


@pytest.fixture
def fresh(packer, facts):
    """Make a trainer, which changes its model, of a model of its own."""

    def make(plan=SHORT):
        torch.manual_seed(0)
        library = AutoModelForCausalLM.from_pretrained(bundled_tiny().folder, dtype=torch.float32)
        return Trainer(library, packer, facts, plan)

    return make


def test_a_training_that_was_broken_off_goes_on_and_gives_what_it_would_have_given(fresh, tmp_path):
    whole = fresh()
    whole.run(lambda _: None)
    with pytest.raises(BrokenOff):
        fresh().run(breaks_off, Checkpoint(tmp_path / "c", every=0))
    again, shares = fresh(), []
    again.run(shares.append, Checkpoint(tmp_path / "c", every=0))
    assert shares == [3 / 6, 4 / 6, 5 / 6, 1.0]
    for name, weights in whole.tensors().items():
        torch.testing.assert_close(again.tensors()[name], weights, rtol=0, atol=0)


def test_a_checkpoint_that_cannot_be_taken_up_begins_anew(fresh, tmp_path):
    with pytest.raises(BrokenOff):
        fresh().run(breaks_off, Checkpoint(tmp_path / "c", every=0))
    torn = tmp_path / "torn"
    torn.write_bytes((tmp_path / "c").read_bytes()[:-100])
    other = replace(SHORT, shape=replace(SHAPE, rank=4))
    for plan, path in ((other, tmp_path / "c"), (SHORT, torn), (SHORT, tmp_path / "none")):
        shares = []
        fresh(plan).run(shares.append, Checkpoint(path, every=60))
        assert len(shares) == 6


def test_a_disk_without_room_does_not_end_a_training(fresh, tmp_path):
    shares = []
    fresh().run(shares.append, Checkpoint(tmp_path / "no folder" / "c", every=0))
    assert len(shares) == 6


GOOD = Marks(
    recall=0.95,
    recall_before=0.0,
    unknown=0.97,
    in_context=0.95,
    in_context_before=0.97,
    corrected=0.9,
    corrected_before=0.92,
)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"recall": 0.89}, ["answers about the memories: 0.890 of 0.900"]),
        ({"unknown": 0.9}, ["answers that nobody told, left open: 0.900 of 0.950"]),
        ({"in_context": 0.9}, ["answers from the prompt: 0.900 of 0.940"]),
        ({"corrected": 0.8}, ["answers from a prompt that corrects a memory: 0.800 of 0.890"]),
    ],
)
def test_an_exam_is_failed_for_each_reason_of_its_own(changes, missed):
    assert PassMarks().failures(replace(GOOD, **changes)) == missed
