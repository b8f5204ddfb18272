"""Vectors of tokens in two bits."""

import hashlib

import numpy as np
import pytest

from memos_kernel.token_codes import (
    CODEBOOK,
    MAX_TOKENS,
    QueryTokens,
    TokenCodes,
    from_bytes,
    maxima,
    no_tokens,
    pack_query,
    pack_tokens,
    query_tokens,
    rotation,
    to_bytes,
)

D = 384


def units(count, seed=0, dimensions=D):
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("dimensions", [8, 96, 384, 768, 1024])
def test_the_rotation_keeps_inner_products(dimensions):
    turn = rotation(dimensions)
    np.testing.assert_allclose(turn @ turn.T, np.eye(dimensions), atol=1e-5)


def test_the_rotation_is_the_same_everywhere_and_for_ever():
    """Vectors that are stored were turned by it: another one would need another codebook number."""
    digest = hashlib.sha256(np.rint(rotation(D) * 128).astype("<i4").tobytes()).hexdigest()
    assert (CODEBOOK, digest[:16]) == (1, "f0eae2846529c42a")


def test_even_a_vector_along_an_axis_is_spread_over_all_elements():
    turned = np.eye(D, dtype=np.float32) @ rotation(D)
    assert np.abs(turned).max() < 0.5
    assert (turned * np.sqrt(D)).std() == pytest.approx(1.0, abs=1e-3)


def test_a_token_takes_two_bits_a_dimension():
    codes = pack_tokens(units(30) @ rotation(D))
    assert len(to_bytes(codes, D)) == 1 + 30 * D // 4
    assert from_bytes(to_bytes(codes, D)) == codes


def test_a_long_text_keeps_its_first_tokens():
    vectors = units(MAX_TOKENS + 5) @ rotation(D)
    assert pack_tokens(vectors) == pack_tokens(vectors[:MAX_TOKENS])


def test_the_maxima_are_nearly_those_of_the_vectors_themselves():
    query, texts = units(7, 100), [units(count, count) for count in (1, 12, 40)]
    texts[1][3] = query[2]  # the same word
    asked = query_tokens(pack_query(query @ rotation(D), list("abcdefg")), D)
    found = maxima(asked, [to_bytes(pack_tokens(text @ rotation(D)), D) for text in texts])
    exact = np.stack([(text @ query.T).max(axis=0) for text in texts])
    np.testing.assert_allclose(found, exact, atol=0.09)
    assert found[1, 2] == pytest.approx(0.94, abs=0.02)  # what the levels keep of a vector


def test_a_query_comes_back_to_a_thousandth():
    query = units(5) @ rotation(D)
    asked = query_tokens(pack_query(query, list("abcde")), D)
    np.testing.assert_allclose(asked.vectors, query, atol=1.1e-3)
    assert asked.words == tuple("abcde")


def test_texts_of_another_codebook_or_size_or_without_codes_match_nothing():
    asked = QueryTokens(units(3), ("a", "b", "c"))
    good = to_bytes(pack_tokens(units(4) @ rotation(D)), D)
    found = maxima(asked, [b"", bytes([9]) + good[1:], good[:-1], good, bytes([CODEBOOK])])
    assert [row.any() for row in found] == [False, False, False, True, False]
    assert not maxima(asked, []).size


@pytest.mark.parametrize(
    "codes",
    [
        TokenCodes(0, [1] * 12),
        TokenCodes(256, [1] * 12),
        TokenCodes(CODEBOOK, [1]),
        TokenCodes(CODEBOOK, [1] * (12 * MAX_TOKENS + 12)),
    ],
)
def test_what_are_no_codes_is_not_kept(codes):
    with pytest.raises(ValueError, match="no token vectors"):
        to_bytes(codes, D)


def test_a_text_without_vectors_keeps_nothing():
    assert to_bytes(no_tokens(), D) == b""


@pytest.mark.parametrize(
    "codes", [TokenCodes(2, [0] * 48, ["a"]), TokenCodes(CODEBOOK, [0] * 48), TokenCodes(CODEBOOK, [0] * 47, ["a"])]
)
def test_a_query_that_cannot_be_read_is_none(codes):
    assert query_tokens(codes, D) is None
