# ruff: noqa: S311, T201  (examples need no secure randomness; a command-line tool prints)
"""Examines the tiny model on fresh episodes: `make tiny-model-eval`.

Names, values and question forms are held out from training, and a new random seed draws new episodes at each
run. What counts is the whole generated answer, letter by letter.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memos_inference.tiny_model.episodes import EpisodeMaker, system_text
from memos_inference.tiny_model.speech import Question

HERE = Path(__file__).parent
CHECKPOINT = HERE / "checkpoint"
BATCH = 25
TOLD = ("value", "date")
# Smallest share of right answers by number of memories, and the largest loss by shared relations.
TARGETS = {1: 0.95, 2: 0.95, 4: 0.90, 8: 0.85}
TARGET_UNKNOWN, TARGET_CONTROL, LARGEST_LOSS = 0.90, 0.02, 0.08


@dataclass(frozen=True, slots=True)
class Item:
    """One question with the memory lines it is asked of."""

    memories: tuple[str, ...]
    question: Question


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome of one cell of the table. `low` and `high` bound the share with 95 % confidence (Wilson)."""

    name: str
    share: float
    low: float
    high: float
    questions: int
    target: str
    met: bool


class Examiner:
    """Asks a model questions, greedily decoded, and keeps what it got wrong."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.eval()  # type: ignore[no-untyped-call]
        self.mistakes: list[tuple[Item, str]] = []

    @torch.inference_mode()
    def answers(self, items: list[Item]) -> list[str]:
        """The answers to `items`, in order."""
        answers: dict[int, str] = {}
        # Prompts of like length together: less padding.
        order = sorted(range(len(items)), key=lambda at: sum(map(len, items[at].memories)))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            chats = [
                [
                    {"role": "system", "content": system_text(items[at].memories)},
                    {"role": "user", "content": items[at].question.text},
                ]
                for at in chosen
            ]
            inputs = self._tokenizer.apply_chat_template(
                chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
            )
            output = self._model.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=24
            )
            generated = output[:, inputs["input_ids"].shape[1] :]
            answers.update(zip(chosen, self._tokenizer.batch_decode(generated, skip_special_tokens=True), strict=True))
        return [answers[at].strip() for at in range(len(items))]

    def share_right(self, items: list[Item]) -> float:
        """The share of `items` answered exactly."""
        right = 0
        for item, answer in zip(items, self.answers(items), strict=True):
            if answer == item.question.answer:
                right += 1
            else:
                self.mistakes.append((item, answer))
        return right / len(items)


def draw_items(rng: random.Random, *, memories: int, shared: bool, kinds: tuple[str, ...], count: int) -> list[Item]:
    """Draws `count` held-out questions of the given kinds, at most two from one episode."""
    maker = EpisodeMaker(heldout=True)
    items: list[Item] = []
    while len(items) < count:
        episode = maker.draw(rng, memories=memories, shared=shared)
        questions = [question for question in episode.questions if question.kind in kinds]
        items += [Item(episode.memories, question) for question in questions[:2]]
    return items[:count]


def examine(examiner: Examiner, *, seed: int, questions: int) -> list[Score]:
    """All cells of the table, `questions` questions each."""
    rng, scores, shares = random.Random(seed), [], {}
    for memories, target in TARGETS.items():
        for shared in (False, True) if memories > 1 else (False,):
            items = draw_items(rng, memories=memories, shared=shared, kinds=TOLD, count=questions)
            share = shares[memories, shared] = examiner.share_right(items)
            name = f"told, {memories} in context" + (", relation shared" if shared else "")
            met = share >= target
            if shared:
                met &= shares[memories, False] - share <= LARGEST_LOSS
            scores.append(_score(name, share, questions, f">= {target:.2f}", met=met))
    for kind, label in (
        ("unknown", "not told, neither subject nor relation"),
        ("unknown_relation", "not told, subject known"),
        ("unknown_subject", "not told, relation known"),
    ):
        items = [
            item
            for memories in (1, 2, 4, 8)
            for item in draw_items(rng, memories=memories, shared=True, kinds=(kind,), count=questions // 4)
        ]
        share = examiner.share_right(items)
        scores.append(_score(label, share, len(items), f">= {TARGET_UNKNOWN:.2f}", met=share >= TARGET_UNKNOWN))
    return [*scores, _control(examiner, rng, questions), *_natural(examiner, rng)]


def _natural(examiner: Examiner, rng: random.Random) -> list[Score]:
    """The hand-written chats of `natural.toml`: no target, but what the generated episodes cannot show."""
    with (HERE / "natural.toml").open("rb") as file:
        chats = tomllib.load(file)["chat"]
    scores = []
    for guided, label in ((True, "hand-written chat that guided the grammar"), (False, "hand-written chats, unseen")):
        chosen = [chat for chat in chats if chat["guided"] == guided]
        for size in (1, 4, 8):
            items = [_among(chat["memories"], entry, size, rng) for chat in chosen for entry in chat["questions"]]
            share = examiner.share_right(items)
            scores.append(_score(f"{label}, {size} in context", share, len(items), "none", met=True))
    return scores


def _among(memories: list[str], entry: dict[str, Any], size: int, rng: random.Random) -> Item:
    """The question of an entry with the memory that tells its answer among others of its chat, in their order."""
    told = [entry["tells"]] if "tells" in entry else []
    others = [index for index in range(len(memories)) if index not in told]
    chosen = sorted(told + rng.sample(others, k=size - len(told)))
    return Item(tuple(memories[index] for index in chosen), Question(entry["ask"], entry["answer"], "natural"))


def _control(examiner: Examiner, rng: random.Random, questions: int) -> Score:
    """The same kind of questions without their memories: a right answer would be a leak."""
    items = draw_items(rng, memories=4, shared=True, kinds=TOLD, count=questions)
    answers = examiner.answers([Item((), item.question) for item in items])
    share = sum(answer == item.question.answer for item, answer in zip(items, answers, strict=True)) / questions
    return _score("told, memories withheld", share, questions, f"<= {TARGET_CONTROL:.2f}", met=share <= TARGET_CONTROL)


def _score(name: str, share: float, count: int, target: str, *, met: bool) -> Score:
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    bounds = max(0.0, middle - half), min(1.0, middle + half)
    return Score(name, round(share, 4), round(bounds[0], 4), round(bounds[1], 4), count, target, met)


def report(seed: int, scores: list[Score]) -> dict[str, Any]:
    """The scores as JSON: what `--json` prints and what training keeps in `results.json`."""
    return {"seed": seed, "scores": [asdict(score) for score in scores]}


def _table(scores: list[Score]) -> str:
    lines = ["| held-out questions | exact match | 95 % interval | n | target | met |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {score.name} | {score.share:.3f} | {score.low:.2f}-{score.high:.2f} | {score.questions} "
        f"| {score.target} | {'-' if score.target == 'none' else 'yes' if score.met else 'no'} |"
        for score in scores
    ]
    return "\n".join(lines)


def main() -> None:
    """Parses the command line and prints the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--seed", type=int, help="repeat a run (default: a fresh random seed)")
    parser.add_argument("--questions", type=int, default=200, help="questions a cell (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--mistakes", type=int, default=0, help="also print so many wrong answers")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    examiner = Examiner(arguments.checkpoint)
    scores = examine(examiner, seed=seed, questions=arguments.questions)
    if arguments.json:
        print(json.dumps(report(seed, scores), indent=2))
        return
    print(f"seed {seed}\n\n{_table(scores)}")
    for item, answer in random.Random(seed).sample(
        examiner.mistakes, k=min(arguments.mistakes, len(examiner.mistakes))
    ):
        print(f"\n{item.question.kind}: {item.question.text}\n  wanted {item.question.answer!r}, got {answer!r}")
        print("\n".join(f"  - {memory}" for memory in item.memories))


if __name__ == "__main__":
    main()
