from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from memos_inference.adapters.detokenizer import Detokenizer


def from_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def words(ids: Sequence[int]) -> str:
    """Decodes as sentencepiece does: a space before each word but the first of what is decoded."""
    return " ".join(f"w{token}" for token in ids)


def pieces(decode, ids):
    detokenizer = Detokenizer(decode)
    return [*(detokenizer.push(token) for token in ids), detokenizer.flush()]


def test_a_character_of_several_tokens_comes_whole():
    assert pieces(from_bytes, "aé€🙂".encode()) == ["a", "", "é", "", "", "€", "", "", "", "🙂", ""]


@given(st.text())
def test_the_pieces_of_any_text_join_to_it_and_split_no_character(text):
    made = pieces(from_bytes, text.encode())
    assert "".join(made) == text
    assert all("\ufffd" not in piece for piece in made) or "\ufffd" in text


def test_an_answer_that_ends_inside_a_character_gives_what_there_is():
    assert pieces(from_bytes, b"a\xe2\x82") == ["a", "", "", "\ufffd"]


def test_the_space_between_words_is_kept():
    assert pieces(words, [1, 2, 3]) == ["w1", " w2", " w3", ""]


def test_a_token_without_text_adds_nothing():
    assert pieces(lambda ids: "".join("x" for token in ids if token), [0, 1, 0, 1]) == ["", "x", "", "x", ""]
