"""What the client of storage does by itself."""

import pytest

from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_interface.adapters.storage_client import StorageClient
from memos_interface.ports import Vectors
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.embedding import Embedding
from memos_kernel.errors import LimitExceeded
from memos_kernel.names import CubeName, VaultName
from memos_kernel.token_codes import TokenCodes

VAULT = VaultName("acme", "main")
LIMIT = 4 * 1024 * 1024


class Stub:
    """Keeps what it is sent."""

    async def BatchCreateMemCubes(self, message):
        self.message = message
        return pb.BatchCreateMemCubesResponse()


def cubes(count, text="x"):
    return [
        MemCube(
            name=CubeName("acme", f"c{number}"), vault=VAULT, kind=Kind.PLAINTEXT, payload=Plaintext(f"{text}{number}")
        )
        for number in range(count)
    ]


def embeddings(count, words):
    return Vectors(
        tuple(Embedding([1.0] * 384, TokenCodes(1, [2**60] * (words - number % 3))) for number in range(count)), "e@1"
    )


async def test_vectors_of_tokens_that_do_not_fit_are_left_out_the_longest_first():
    stub = Stub()
    await StorageClient(stub).create_many(cubes(256), embeddings(256, 3_000))
    assert LIMIT * 0.9 < stub.message.ByteSize() < LIMIT
    held = [len(item.embedding.tokens.codes) for item in stub.message.items if item.embedding.HasField("tokens")]
    assert 0 < len(held) < 256
    assert min(held) == 2_998
    assert all(len(item.embedding.values) == 384 for item in stub.message.items)
    assert max(held) <= min(
        3_000 - number % 3 for number, item in enumerate(stub.message.items) if not item.embedding.HasField("tokens")
    )


async def test_what_fits_keeps_them_all():
    stub = Stub()
    await StorageClient(stub).create_many(cubes(64), embeddings(64, 360))
    assert all(item.embedding.HasField("tokens") for item in stub.message.items)


async def test_what_does_not_fit_without_them_is_refused():
    with pytest.raises(LimitExceeded, match="several calls"):
        await StorageClient(Stub()).create_many(cubes(256, "y" * 16_000), embeddings(256, 10))
