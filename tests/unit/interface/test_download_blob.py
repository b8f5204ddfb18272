"""Bytes window by window, each under a fresh grant."""

import hashlib
import random

import pytest

from memos_interface.usecases.download_blob import DownloadBlob
from memos_kernel.cube import BlobRef
from memos_kernel.errors import CubeNotFound, DataCorrupted
from memos_kernel.names import CubeName

DATA = random.Random(3).randbytes(2_500)
NAME = CubeName("t", "adapter")


@pytest.fixture
def desk(desk):
    blob = BlobRef("b", len(DATA), hashlib.sha256(DATA).hexdigest(), "application/vnd.safetensors")
    desk.blobs.held[NAME] = (blob, DATA)
    return desk


async def read(desk, *, offset=0, limit=0, name=NAME):
    download = DownloadBlob(blobs=desk.blobs, delegation=desk.delegation, audit_trail=desk.audit, window=1_000)
    parts = [part async for part in download(name, offset=offset, limit=limit, caller=desk.caller)]
    blobs = [part for part in parts if isinstance(part, BlobRef)]
    assert len(blobs) == 1
    return b"".join(part for part in parts if isinstance(part, bytes))


@pytest.mark.parametrize(
    ("offset", "limit", "windows"),
    [
        (0, 0, [(0, 1_000), (1_000, 1_000), (2_000, 1_000)]),
        (0, 2_500, [(0, 1_000), (1_000, 1_000), (2_000, 500)]),
        (1_999, 2, [(1_999, 2)]),
        (2_400, 9_999, [(2_400, 1_000)]),
        (2_500, 0, [(2_500, 1_000)]),
    ],
)
async def test_a_part_is_read_in_windows(desk, offset, limit, windows):
    assert await read(desk, offset=offset, limit=limit) == DATA[offset : offset + limit if limit else None]
    assert desk.blobs.reads == windows


@pytest.mark.parametrize("damaged", [DATA[:-1], DATA[:-1] + b"\0", b""])
async def test_what_was_read_whole_is_compared(desk, damaged):
    desk.blobs.held[NAME] = (desk.blobs.held[NAME][0], damaged)
    with pytest.raises(DataCorrupted):
        await read(desk)


async def test_a_download_is_in_the_audit_log_once(desk):
    await read(desk)
    assert desk.audit.notes == [("cube.read", str(NAME))]


async def test_what_is_not_there_is_not_found(desk):
    with pytest.raises(CubeNotFound):
        await read(desk, name=CubeName("t", "other"))
