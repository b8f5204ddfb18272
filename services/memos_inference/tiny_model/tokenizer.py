"""The tokenizer of the tiny model: byte-level BPE, trained on generated episodes and on the word list.

A word is the same tokens wherever it stands: the normalizer puts a space before a text that begins with a
letter or a digit, and the decoder takes it away again. Copying "Biscuit" from the middle of a memory to the
start of an answer would otherwise mean to spell it in other tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from memos_inference.tiny_model.episodes import EpisodeMaker, system_text
from memos_inference.tiny_model.words import held_out, real_words

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
VOCABULARY_SIZE = 8192

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
# Letters, then at most two digits with the dash of an ISO date ("-03"), then the rest.
_PIECES = r"'(?:s|t|re|ve|m|ll|d)\b| ?\p{L}+|[ \-]?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_tokenizer(*, seed: int, episodes: int = 12000) -> PreTrainedTokenizerFast:
    """Trains the tokenizer; the same seed gives the same one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(" "), normalizers.Replace(Regex(r"\A (?=[^\p{L}\p{N}$£€])"), "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(content=" ", left=1, right=0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, SYSTEM, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, episodes), trainer)
    return with_chat_template(tokenizer)


def with_chat_template(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as `transformers` uses it."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _texts(seed: int, episodes: int) -> Iterator[str]:
    """Episodes, and training words by frequency, so that common words become one token."""
    rng, maker = random.Random(seed), EpisodeMaker(heldout=False)  # noqa: S311 - no secret
    for _ in range(episodes):
        episode = maker.draw(rng, memories=rng.randint(0, 8), shared=True)
        yield system_text(episode.memories)
        for question in episode.questions:
            yield f" {question.text}"
            yield f" {question.answer}"
    for rank, word in enumerate(word for word in real_words() if not held_out(word)):
        copies = 1 + 60_000 // (rank + 600)
        yield f" {word}" * copies
        if rank < 6000:
            yield f" {word.capitalize()}" * copies
