"""Objects of a real S3 server, read in parts; and a server that does what one should not."""

import asyncio
import errno
import hashlib
import http.server
import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from memos_inference.adapters import range_reader
from memos_inference.adapters.range_reader import AddressFailed, fetch
from memos_kernel.names import VaultName
from memos_storage.adapters.s3 import S3BlobStore
from s3 import ACCESS_KEY, SECRET_KEY, shared_server

VAULT = VaultName("t", "v")
NEVER = threading.Event()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(range_reader, "PART", 100_000)
    monkeypatch.setattr(range_reader, "_PIECE", 30_000)


@pytest.fixture
async def stored():
    """Store bytes, and return where they are."""
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")

    async def make(data):
        async def once():
            yield data

        return await store.address(VAULT, await store.put(VAULT, once(), media_type="application/octet-stream"))

    yield make
    await store.close()


@pytest.mark.parametrize("size", [1, 99_999, 100_000, 100_001, 1_234_567])
async def test_all_bytes_come_in_their_places(stored, tmp_path, size):
    data = os.urandom(size)
    digest = await asyncio.to_thread(fetch, await stored(data), tmp_path / "x", size, stop=NEVER)
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "x").read_bytes() == data


@pytest.mark.parametrize(("fast", "most"), [(0, 2), (1e15, 4)])
async def test_a_store_that_is_fast_gets_fewer_requests_at_a_time(stored, tmp_path, monkeypatch, fast, most):
    running, seen, lock, read = 0, 0, threading.Lock(), range_reader._Reader._read

    def counted(self, start, into):
        nonlocal running, seen
        with lock:
            running += 1
            seen = max(seen, running)
        time.sleep(0.02)
        try:
            read(self, start, into)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(range_reader, "_FAST", fast)
    monkeypatch.setattr(range_reader._Reader, "_read", counted)
    data = os.urandom(1_500_000)
    await asyncio.to_thread(fetch, await stored(data), tmp_path / "x", len(data), stop=NEVER)
    assert (tmp_path / "x").read_bytes() == data
    assert seen == most


@pytest.mark.parametrize("size", [500_000, 250_001])
async def test_an_object_of_another_size_fails(stored, tmp_path, size):
    address = await stored(os.urandom(250_000))
    with pytest.raises(AddressFailed):
        await asyncio.to_thread(fetch, address, tmp_path / "x", size, stop=NEVER)


async def test_an_address_that_was_changed_opens_nothing(stored, tmp_path):
    address = await stored(b"secret" * 100)
    for changed in (address.replace("X-Amz-Signature=", "X-Amz-Signature=0"), address.split("?")[0] + "?"):
        with pytest.raises(AddressFailed) as caught:
            await asyncio.to_thread(fetch, changed, tmp_path / "x", 600, stop=NEVER)
        assert "Signature" not in str(caught.value)


@pytest.fixture
def served():
    """Serve with a handler, and return the address."""
    servers = []

    def start(get):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                get(self)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/object?secret=1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def breaks_off(handler):
    handler.send_response(206)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with suppress(OSError):
        handler.wfile.write(b"x" * 50_000)
    with suppress(OSError):  # the reader may have left
        handler.connection.shutdown(socket.SHUT_RDWR)


def knows_no_ranges(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "300000")
    handler.end_headers()
    handler.wfile.write(b"x" * 300_000)


def hangs_up(handler):
    with suppress(OSError):  # the reader may have left
        handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("get", [breaks_off, knows_no_ranges, hangs_up])
def test_a_server_that_gives_something_else_fails(served, tmp_path, get):
    with pytest.raises(AddressFailed):
        fetch(served(get), tmp_path / "x", 300_000, stop=NEVER)


def test_nobody_there_fails(tmp_path):
    with pytest.raises(AddressFailed):
        fetch("http://127.0.0.1:9/object?secret=1", tmp_path / "x", 300_000, stop=NEVER)


def test_who_gives_up_need_not_wait_for_a_server_that_is_silent(served, tmp_path):
    stop, silent = threading.Event(), threading.Event()
    address = served(lambda _: silent.wait(20))
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(AddressFailed):
        fetch(address, tmp_path / "x", 300_000, stop=stop)
    assert time.monotonic() - began < 10
    silent.set()


async def test_a_full_disk_is_told_as_one(stored, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    address = await stored(b"x" * 100)
    monkeypatch.setattr(range_reader.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        await asyncio.to_thread(fetch, address, tmp_path / "x", 100, stop=NEVER)
