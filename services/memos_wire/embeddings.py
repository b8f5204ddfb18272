"""Embeddings between domain and messages."""

from collections.abc import Iterable

from memos_api.internal.v1 import inference_service_pb2 as pb
from memos_kernel.embedding import Embedding
from memos_kernel.token_codes import TokenCodes

MESSAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Most bytes of a message with embeddings: what gRPC takes, less some room for what goes around it."""


def embedding_to_proto(embedding: Embedding) -> pb.Embedding:
    """Return the message of an embedding."""
    if embedding.tokens is None:
        return pb.Embedding(values=embedding.values)
    tokens = embedding.tokens
    return pb.Embedding(
        values=embedding.values,
        tokens=pb.TokenVectors(codebook=tokens.codebook, codes=tokens.codes, words=tokens.words),
    )


def embedding_from_proto(message: pb.Embedding) -> Embedding:
    """Return the embedding of a message; its sequences are those of the message."""
    return Embedding(message.values, token_codes(message))


def fit(embeddings: Iterable[pb.Embedding], *, size: int) -> None:
    """Take vectors of tokens out, the longest first, until a message of `size` bytes is within `MESSAGE_BYTES`.

    What was taken out is unset, so that it counts as not made yet.
    """
    for embedding in sorted(embeddings, key=lambda one: -len(one.tokens.codes)):
        if size <= MESSAGE_BYTES or not embedding.HasField("tokens"):
            break
        size -= embedding.tokens.ByteSize()
        embedding.ClearField("tokens")


def token_codes(message: pb.Embedding) -> TokenCodes | None:
    """Return the codes of the tokens, if the message has them."""
    if not message.HasField("tokens"):
        return None
    return TokenCodes(message.tokens.codebook, message.tokens.codes, tuple(message.tokens.words))
