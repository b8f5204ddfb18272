"""Sequences that are read side by side: each gets what it gets alone, whatever model they are of."""

import gc
import weakref

import pytest
import torch

from memos_inference.adapters.kv_cache import KvPrefix
from memos_inference.adapters.kv_chunks import NativeChunk
from memos_inference.adapters.torch_decoder import TorchDecoder
from memos_kernel.errors import Overloaded
from random_models import (
    LEARNED_POSITIONS,
    ONE_AT_A_TIME,
    SIDE_BY_SIDE,
    VOCABULARY,
    assert_same,
    prompts,
    random_model,
    rounds_alike,
    state_of,
    written,
)


@pytest.fixture
def decoder():
    return TorchDecoder(random_model(SIDE_BY_SIDE["qwen3"]))


@pytest.mark.parametrize("config", [*SIDE_BY_SIDE.values(), *ONE_AT_A_TIME.values(), *LEARNED_POSITIONS.values()])
def test_whatever_the_model_it_writes_what_the_library_writes(config):
    decoder, model = TorchDecoder(random_model(config)), random_model(config)
    for prompt in prompts(3):
        given = torch.tensor([prompt])
        answer = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False)
        assert written(decoder, prompt, 12)[0] == answer[0, len(prompt) :].tolist()


@pytest.mark.parametrize("config", SIDE_BY_SIDE.values(), ids=SIDE_BY_SIDE)
def test_models_with_plain_attention_read_side_by_side(config):
    assert TorchDecoder(random_model(config)).geometry is not None


@pytest.mark.parametrize("config", ONE_AT_A_TIME.values(), ids=ONE_AT_A_TIME)
def test_models_with_another_attention_read_one_at_a_time(config):
    assert TorchDecoder(random_model(config)).geometry is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_in_company_each_gets_what_it_gets_alone(dtype, count):
    if dtype is torch.bfloat16 and not rounds_alike(dtype):
        pytest.skip("on this processor rounding depends on the number of rows")
    decoder = TorchDecoder(random_model(SIDE_BY_SIDE["qwen3"]).to(dtype))
    given = prompts(count)
    alone = [written(decoder, prompt, 10) for prompt in given]
    states, rows = zip(*(state_of(decoder, prompt) for prompt in given), strict=True)
    logits = torch.stack(rows)
    for step in range(10):
        for row, (_, expected) in zip(logits, alone, strict=True):
            assert_same(row, expected[step])
        tokens = decoder.choose(logits, [0.0] * count)
        assert tokens == [ids[step] for ids, _ in alone]
        logits = decoder.step([(state, [token]) for state, token in zip(states, tokens, strict=True)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_who_comes_or_goes_changes_no_bit_of_the_others(dtype):
    if not rounds_alike(dtype):
        pytest.skip("on this processor rounding depends on the number of rows")
    decoder = TorchDecoder(random_model(SIDE_BY_SIDE["qwen3"]).to(dtype))
    first, second, *others = prompts(6)
    found = []
    for count in range(len(others) + 1):
        company = [state_of(decoder, prompt)[0] for prompt in (first, second, *others[:count])]
        found.append(decoder.step([(state, [5]) for state in company])[:2])
    assert all(torch.equal(rows, found[0]) for rows in found)


def test_prompts_are_read_beside_answers_that_are_written(decoder):
    first, second = prompts(2)[0], [7, 8, 9] * 11
    expected, reading = written(decoder, first, 8)[1], state_of(decoder, second)[1]
    state, logits = state_of(decoder, first)
    other = decoder.begin(len(second))
    for number, at in enumerate(range(0, len(second), 16)):
        (token,) = decoder.choose(logits[None], [0.0])
        logits, last = decoder.step([(state, [token]), (other, second[at : at + 16])])
        assert_same(logits, expected[number + 1])
    assert_same(last, reading)


def test_a_pass_that_failed_can_be_made_again(decoder, monkeypatch):
    given = prompts(2)
    states = [state_of(decoder, prompt)[0] for prompt in given]
    expected = [state_of(decoder, [*prompt, 5])[1] for prompt in given]
    head = decoder._model.lm_head
    monkeypatch.setattr(head, "forward", lambda _: (_ for _ in ()).throw(RuntimeError("a fault of the device")))
    with pytest.raises(RuntimeError, match="a fault"):
        decoder.step([(state, [5]) for state in states])
    monkeypatch.undo()
    again = decoder.step([(state, [5]) for state in states])
    torch.testing.assert_close(again, torch.stack(expected), rtol=0, atol=1e-4)


def test_a_sequence_may_begin_with_keys_and_values_that_are_there(decoder):
    prompt = [3, 1, 4, 1, 5, 9, 2, 6] * 5
    state, _ = state_of(decoder, prompt)
    data = torch.stack([torch.stack((keys[0], values[0])) for keys, values in state.cache.pairs()])
    prefix = KvPrefix(tuple(prompt), (NativeChunk(data[..., :25, :]), NativeChunk(data[..., 25:, :])))
    before = data.clone()
    asked = [*prompt[:32], 60, 61, 62]
    reused = decoder.reuse(asked, [prefix])
    assert reused.tokens == 32
    assert written(decoder, asked, 10, reused=reused)[0] == written(decoder, asked, 10)[0]
    assert torch.equal(data, before)


def test_what_is_no_number_stays_where_it_is(decoder):
    first, second = prompts(2)
    expected = written(decoder, first, 1)[1][0]
    state, _ = state_of(decoder, first[:-1])
    poisoned, _ = state_of(decoder, second)
    with torch.inference_mode():
        poisoned.cache.pairs()[0][1].fill_(float("nan"))
    logits = decoder.step([(poisoned, [5]), (state, first[-1:])])
    torch.testing.assert_close(logits[1], expected, rtol=0, atol=1e-4)
    assert decoder.choose(logits, [0.0, 0.0])[0] is None
    assert decoder.choose(logits, [0.0, 0.0])[1] is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_from_what_is_no_number_nothing_is_chosen(decoder, value):
    logits = torch.zeros(3, VOCABULARY)
    logits[1, 7] = value
    if value < 0:
        logits[1] = value
    logits[2, 5] = 1.0
    for temperature in (0.0, 1.0):
        first, lost, last = decoder.choose(logits, [temperature, temperature, 0.0])
        assert (first is not None, lost, last) == (True, None, 5)


def test_a_sequence_that_has_ended_is_let_go(decoder):
    state, _ = state_of(decoder, [1, 2, 3])
    gone = weakref.ref(state.cache)
    del state
    gc.collect()
    assert gone() is None


def test_a_token_that_the_model_has_not_is_named(decoder):
    with pytest.raises(ValueError, match=f"token {VOCABULARY} of the tokenizer"):
        decoder.step([(decoder.begin(4), [1, VOCABULARY])])


def test_a_lack_of_memory_is_told_as_such(decoder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(decoder, "_read_packed", fail)
    with pytest.raises(Overloaded, match="no memory for this prompt"):
        decoder.step([(decoder.begin(4), [1])])
