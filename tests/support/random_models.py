"""Small models with random weights, of many architectures, and how they read and write."""

import copy
import random

import torch
from transformers import (
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from memos_inference.adapters.kv_cache import NOTHING

VOCABULARY, CONTEXT = 90, 128
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}
LONG = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
SIDE_BY_SIDE = {
    "llama": LlamaConfig(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE, head_dim=8),
    "phi3": Phi3Config(**SHAPE),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
}
ONE_AT_A_TIME = {
    "sliding windows": MistralConfig(**SHAPE, sliding_window=8),
    "capped scores": Gemma2Config(**SHAPE, head_dim=8, sliding_window=8),
    "positions that depend on the length": LlamaConfig(**SHAPE, rope_parameters=LONG),
}
LEARNED_POSITIONS = {
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT),
    "opt": OPTConfig(**{**SHAPE, "ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.5}),
}


def random_model(config):
    torch.manual_seed(3)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](copy.deepcopy(config)).eval()
    model.generation_config.eos_token_id = None
    return model


def prompts(count, seed=5):
    rng = random.Random(seed)
    return [[rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(1, 60))] for _ in range(count)]


def state_of(decoder, prompt, *, piece=16, room=40, **options):
    """Return the state of a prompt that was read, and the logits after it."""
    state = decoder.begin(len(prompt) + room, **options)
    reused = options.get("reused", NOTHING)
    left = reused.left(prompt)
    for at in range(0, len(left), piece):
        logits = decoder.step([(state, left[at : at + piece])])
    return state, logits[0]


def written(decoder, prompt, tokens, **options):
    """Return tokens after a prompt, and the logits by which each was chosen."""
    state, logits = state_of(decoder, prompt, **options)
    ids, rows = [], [logits]
    for _ in range(tokens):
        (token,) = decoder.choose(rows[-1][None], [0.0])
        ids.append(token)
        rows.append(decoder.step([(state, [token])])[0])
    return ids, rows[:-1]


def rounds_alike(dtype):
    """Whether this processor rounds a row of a matrix product alike, whatever the number of rows, by fours."""
    torch.manual_seed(1)
    linear, rows = torch.nn.Linear(32, 48).to(dtype), torch.rand(64, 32).to(dtype)
    with torch.inference_mode():
        return all(torch.equal(linear(rows[:count])[:4], linear(rows[:4])) for count in range(4, 65, 4))


def assert_same(found, wanted):
    """Compare logits: bit for bit where the processor rounds a row of them alike in whatever company."""
    if wanted.dtype is not torch.float32:
        assert torch.equal(found, wanted)
    else:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)
