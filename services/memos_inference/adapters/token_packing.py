"""From the hidden states of an encoder to the token vectors that late interaction compares."""

import torch
from tokenizers import Encoding
from torch.nn.functional import normalize

from memos_inference.domain.models import TokenUse
from memos_kernel.token_codes import TokenCodes, no_tokens, pack_query, pack_tokens, rotation

_WHOLE_WORD = 32
"""Codes of a stored token fill whole words of 64 bits in models of every usual size; others do without."""


@torch.inference_mode()
def pack(hidden: torch.Tensor, encoding: Encoding, text: str, use: TokenUse) -> TokenCodes | None:
    """Return the codes of a text's tokens; None if they are not wanted.

    Tokens that the model adds by itself and those without a letter or digit are left out.

    Args:
        hidden: last hidden states, shape (at least the number of tokens, d).
    """
    if use is TokenUse.NONE:
        return None
    if hidden.shape[1] % _WHOLE_WORD:
        return no_tokens()
    kept = [
        place
        for place, (special, (start, end)) in enumerate(
            zip(encoding.special_tokens_mask, encoding.offsets, strict=True)
        )
        if not special and any(map(str.isalnum, text[start:end]))
    ]
    if not kept:
        return no_tokens()
    vectors = normalize(hidden[kept].float(), dim=-1).cpu().numpy() @ rotation(hidden.shape[1])
    return pack_tokens(vectors) if use is TokenUse.STORE else pack_query(vectors, _words(encoding, kept, text))


def _words(encoding: Encoding, kept: list[int], text: str) -> list[str]:
    """Return the word that each kept token is a part of, as it is written."""
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            first, last = spans.get(word, (start, end))
            spans[word] = (min(first, start), max(last, end))
    found = []
    for place in kept:
        word = encoding.word_ids[place]
        start, end = encoding.offsets[place] if word is None else spans[word]
        found.append(text[start:end].strip())
    return found
