"""Adapters beside each other on one model: each changes its own sequence as the library would, and no other."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from memos_inference.adapters.kv_file import prefix_of
from memos_inference.adapters.lora_file import adapter_of
from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.adapters.torch_decoder import TorchDecoder
from random_models import SIDE_BY_SIDE, assert_same, prompts, random_model, rounds_alike, state_of, written

RANK, ALPHA = 4, 8


def random_adapter(model, seed, *, activated=False):
    """Return an adapter with random matrices, and the model that peft makes of it."""
    torch.manual_seed(seed)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(copy.deepcopy(model), config)
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.2)
    tensors = {name: weights.detach() for name, weights in get_peft_model_state_dict(adapted).items()}
    shape = LoraShape(rank=RANK, alpha=ALPHA, activated=activated)
    adapter = adapter_of(tensors, shape, digest=str(seed))
    return adapter, adapted.merge_and_unload()


@pytest.fixture(scope="module")
def model():
    return random_model(SIDE_BY_SIDE["qwen3"])


@pytest.fixture(scope="module")
def decoder(model):
    return TorchDecoder(copy.deepcopy(model))


def test_an_adapter_changes_the_model_as_the_library_does(model, decoder):
    adapter, merged = random_adapter(model, 1)
    for prompt in prompts(3):
        given = torch.tensor([prompt])
        answer = merged.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=10, do_sample=False)
        ids, _ = written(decoder, prompt, 10, adapter=adapter)
        assert ids == answer[0, len(prompt) :].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_company_each_adapter_answers_what_it_answers_alone(model, dtype):
    if dtype is torch.bfloat16 and not rounds_alike(dtype):
        pytest.skip("on this processor rounding depends on the number of rows")
    decoder = TorchDecoder(copy.deepcopy(model).to(dtype))
    adapters = [random_adapter(model, seed)[0].to(torch.device("cpu"), dtype) for seed in range(4)] + [None]
    given = prompts(len(adapters) * 2)
    chosen = adapters * 2
    alone = [written(decoder, prompt, 8, adapter=one) for prompt, one in zip(given, chosen, strict=True)]
    assert len({tuple(ids) for ids, _ in alone}) > 5
    begun = [state_of(decoder, prompt, adapter=one) for prompt, one in zip(given, chosen, strict=True)]
    logits = torch.stack([row for _, row in begun])
    for step in range(8):
        for row, (_, expected) in zip(logits, alone, strict=True):
            assert_same(row, expected[step])
        tokens = decoder.choose(logits, [0.0] * len(chosen))
        logits = decoder.step([(state, [token]) for (state, _), token in zip(begun, tokens, strict=True)])


def test_an_adapter_that_is_activated_late_leaves_what_comes_before_as_it_is(model, decoder):
    adapter, _ = random_adapter(model, 1, activated=True)
    prompt = prompts(1)[0] + [5] * 20
    plain, _ = state_of(decoder, prompt)
    late, logits = state_of(decoder, prompt, adapter=adapter, adapter_from=17)
    for (keys, values), (late_keys, late_values) in zip(plain.cache.pairs(), late.cache.pairs(), strict=True):
        torch.testing.assert_close(late_keys[..., :17, :], keys[..., :17, :], rtol=0, atol=1e-5)
        torch.testing.assert_close(late_values[..., :17, :], values[..., :17, :], rtol=0, atol=1e-5)
        assert not torch.allclose(late_keys[..., 17:, :], keys[..., 17:, :], atol=1e-2)
    assert not torch.allclose(logits, state_of(decoder, prompt, adapter=adapter)[1], atol=1e-2)


def test_a_cache_serves_beside_an_adapter_that_is_activated_late(model, decoder):
    adapter, _ = random_adapter(model, 1, activated=True)
    prompt = prompts(1)[0] + [5] * 20
    plain, _ = state_of(decoder, prompt[:17], room=0)
    cache = prefix_of(prompt[:17], plain.cache.pairs())
    reused = decoder.reuse(prompt, [cache])
    assert reused.tokens == 17
    read, wanted = state_of(decoder, prompt, adapter=adapter, adapter_from=17)
    spared, logits = state_of(decoder, prompt, adapter=adapter, adapter_from=17, reused=reused)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-4)
    for mine, theirs in zip(spared.cache.pairs(), read.cache.pairs(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_an_adapter_takes_the_bytes_of_its_matrices(model):
    adapter, _ = random_adapter(model, 1)
    layers, linears = 2, (32 + 32, 32 + 16, 32 + 16, 32 + 32, 32 + 48, 32 + 48, 48 + 32)
    assert adapter.nbytes == 4 * RANK * layers * sum(linears)
