"""Random weights in the shape of Qwen2.5-0.5B: times are real, answers are not."""

import copy
import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.torch_decoder import TorchDecoder
from memos_inference.domain.generation import Prompt, Role, Turn
from memos_inference.domain.models import EngineDescription
from memos_kernel.identity import CompatibilityIdentity

SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4_864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}


class NumberTokenizer:
    """Tokens of a text that is a list of them."""

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return the tokens of the last turn."""
        return [int(number) for number in prompt.turns[-1].text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Return a text for tokens."""
        return "".join(f"{token} " for token in ids)


def random_qwen(dtype: str, device: str = "cpu") -> tuple[LoadedModel, Any]:
    """Return the model as inference runs it, and as transformers does."""
    torch.manual_seed(0)
    library = Qwen2ForCausalLM(Qwen2Config(**SHAPE)).to(getattr(torch, dtype)).eval().to(device)
    decoder = TorchDecoder(copy.deepcopy(library))
    identity = CompatibilityIdentity("qwen", "", "", "", "{}", dtype, "none", "", "base")
    description = EngineDescription(
        model="qwen2.5-0.5b", context_length=decoder.context_length, memories_read_well=32, identity=identity
    )
    return LoadedModel(decoder, NumberTokenizer(), description, frozenset()), library  # type: ignore[arg-type]


def random_ids(rng: random.Random, count: int) -> list[int]:
    """Return random tokens."""
    return [rng.randrange(int(str(SHAPE["vocab_size"]))) for _ in range(count)]


def prompt_of(ids: Sequence[int]) -> Prompt:
    """Return a prompt of some tokens."""
    return Prompt((Turn(Role.USER, " ".join(map(str, ids))),))
