"""What every BlobKeys does."""

from memos_storage.domain.blobs import BlobKey
from storage_cubes import FOREIGN, MAIN, NOTES

NAME = "0197a3b0-1c2d-7e3f-8a9b-0c1d2e3f4a5b"
KEY = BlobKey(bytes(range(40)), "ab" * 32)


async def test_a_key_is_found_by_vault_and_name(store):
    keys = store.blob_keys
    await keys.add(MAIN, NAME, KEY)
    assert await keys.find(MAIN, NAME) == KEY
    for vault in (NOTES, FOREIGN):
        assert await keys.find(vault, NAME) is None
    assert await keys.find(MAIN, NAME[:-1] + "c") is None


async def test_a_key_that_was_dropped_is_gone(store):
    keys = store.blob_keys
    await keys.add(MAIN, NAME, KEY)
    await keys.drop(NOTES, NAME)
    assert await keys.find(MAIN, NAME) == KEY
    for _ in range(2):
        await keys.drop(MAIN, NAME)
        assert await keys.find(MAIN, NAME) is None
