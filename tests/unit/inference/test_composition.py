"""Which tokens of a prompt need not be read, and what comes of it when caches are laid beside each other."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memos_inference.adapters.kv_cache import Reused
from memos_inference.adapters.kv_file import prefix_of
from memos_inference.adapters.rotation import Rotation
from memos_inference.adapters.torch_decoder import TorchDecoder
from memos_inference.domain.composition import SHORTEST, Run, beginning, composed
from random_models import LEARNED_POSITIONS, SIDE_BY_SIDE, VOCABULARY, random_model, state_of, written

HEAD, A, B, C = (list(range(start, start + 12)) for start in (10, 30, 50, 70))
ASKED = [1, 2, 3, 4]


def test_a_prompt_begins_with_the_longest_that_a_cache_has():
    assert beginning([*HEAD, *A, 1], [HEAD, [*HEAD, *A], [*HEAD, *B]]) == (Run(1, 0, 0, 24, exact=True),)


def test_the_last_token_of_a_prompt_is_always_read():
    assert beginning([1, 2, 3], [[1, 2, 3]]) == (Run(0, 0, 0, 2, exact=True),)
    assert composed([*HEAD, *A], [HEAD, A], recompute=0) == (Run(0, 0, 0, 12, exact=True), Run(1, 0, 12, 11))


def test_what_no_cache_begins_with_is_read():
    assert beginning([1, 2, 3], [[4, 5], []]) == ()
    assert beginning([1, 2, 3], []) == ()


def test_memories_of_several_caches_are_found_in_any_order():
    caches = [[*HEAD, *A], [*HEAD, *B, *C]]
    assert composed([*HEAD, *C, *A, *B, *ASKED], caches, recompute=0) == (
        Run(0, 0, 0, 12, exact=True),
        Run(1, 24, 12, 12),
        Run(0, 12, 24, 12),
        Run(1, 12, 36, 12),
    )


def test_the_first_tokens_of_each_run_are_read_again_but_not_of_the_beginning():
    runs = composed([*HEAD, *B, 9, *C, *ASKED], [HEAD, [*HEAD, *B, *C]], recompute=0.25)
    assert runs == (Run(1, 0, 0, 24, exact=True), Run(1, 27, 28, 9))


def test_all_of_a_run_may_be_read_again():
    assert composed([*HEAD, 9, *A, 1], [HEAD, A], recompute=1) == (Run(0, 0, 0, 12, exact=True),)


def test_few_tokens_in_common_are_no_run():
    few = list(range(30, 30 + SHORTEST - 1))
    assert composed([*HEAD, *few, 9, *ASKED], [HEAD, A], recompute=0) == (Run(0, 0, 0, 12, exact=True),)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=4),
    st.lists(st.integers(0, 3), min_size=1),
    st.floats(0, 1),
)
def test_every_run_has_the_tokens_of_the_prompt_and_none_overlaps(caches, prompt, recompute):
    end = 0
    for run in composed(prompt, caches, recompute=recompute):
        assert run.tokens > 0
        assert run.at >= end
        assert prompt[run.at : run.end] == caches[run.cache][run.start : run.start + run.tokens]
        end = run.end
    assert end < len(prompt)


def cache_of(decoder, ids):
    state, _ = state_of(decoder, ids, room=0)
    return prefix_of(ids, state.cache.pairs())


@pytest.fixture(params=SIDE_BY_SIDE)
def decoder(request):
    return TorchDecoder(random_model(SIDE_BY_SIDE[request.param]))


def test_keys_are_moved_to_where_the_model_would_have_computed_them(decoder):
    ids, by = [5, 3, 8, 1, 9, 2], 17
    alone = cache_of(decoder, ids)
    # behind others, but blind to them: as far as the first layer goes, keys know nothing of what came before
    behind = cache_of(decoder, [7] * by + ids)
    (keys, _), (wanted, _) = next(alone.layer(0, 0, 6)), next(behind.layer(0, by, by + 6))
    torch.testing.assert_close(decoder.rotation.moved(keys, by), wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(decoder.rotation.moved(wanted, -by), keys, rtol=0, atol=1e-4)


def test_what_is_read_again_altogether_gives_the_answer_of_the_text(decoder):
    prompt = [*HEAD, *A, *B, *ASKED]
    caches = [cache_of(decoder, [*HEAD, *A]), cache_of(decoder, [*HEAD, *B])]
    reused = decoder.reuse(prompt, caches, recompute=1)
    assert (reused.tokens, reused.approximate_tokens) == (24, 0)
    assert written(decoder, prompt, 10, reused=reused)[0] == written(decoder, prompt, 10)[0]


def test_what_was_computed_at_its_place_gives_the_answer_of_the_text(decoder):
    """Runs of one cache with gaps between them: what lies between is read, and all of it fits together."""
    prompt = [*HEAD, *A, *B, *ASKED]
    whole = cache_of(decoder, prompt)
    runs = (Run(0, 0, 0, 9, exact=True), Run(0, 14, 14, 6), Run(0, 27, 27, 9))
    reused = Reused((whole,), runs, decoder.rotation)
    assert written(decoder, prompt, 10, reused=reused)[0] == written(decoder, prompt, 10)[0]


def test_composed_caches_come_nearer_than_caches_as_they_are(decoder):
    """By the logits, summed over prompts: with random weights each memory changes everything behind it."""

    class Still(Rotation):
        def moved(self, keys, positions):
            return keys

    rng, off = random.Random(4), {"composed": 0.0, "as they are": 0.0}
    for _ in range(12):
        parts = [[rng.randrange(1, VOCABULARY) for _ in range(12)] for _ in range(3)]
        prompt = [*HEAD, *parts[0], *parts[1], *parts[2], *ASKED]
        caches = [cache_of(decoder, [*HEAD, *part]) for part in parts]
        wanted = state_of(decoder, prompt)[1]
        near = decoder.reuse(prompt, caches, recompute=0.5)
        still = decoder.reuse(prompt, caches, recompute=0)
        still = Reused(still.prefixes, still.runs, Still(torch.zeros(1)))
        for name, reused in (("composed", near), ("as they are", still)):
            assert reused.approximate_tokens > 0
            off[name] += float((state_of(decoder, prompt, reused=reused)[1] - wanted).norm())
    assert off["composed"] < 0.95 * off["as they are"]


@pytest.mark.parametrize("config", LEARNED_POSITIONS.values(), ids=LEARNED_POSITIONS)
def test_where_keys_cannot_be_moved_only_the_beginning_is_taken(config):
    decoder = TorchDecoder(random_model(config))
    assert decoder.rotation is None
    caches = [cache_of(decoder, [*HEAD, *A]), cache_of(decoder, [*HEAD, *B])]
    reused = decoder.reuse([*HEAD, *A, *B, *ASKED], caches, recompute=0)
    assert (reused.tokens, reused.approximate_tokens) == (24, 0)


def test_a_model_that_turns_its_keys_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(Rotation, "moved", lambda _, keys, positions: keys)
    assert TorchDecoder(random_model(SIDE_BY_SIDE["llama"])).rotation is None
