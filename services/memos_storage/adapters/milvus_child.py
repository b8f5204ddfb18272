"""The embedded vector server: `python -m memos_storage.adapters.milvus_child --data-dir D --socket S`.

It ends when its standard input does, so it never outlives the service that started it, however that ended.
"""

import argparse
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milvus_lite.db import MilvusLite

_LOG = logging.getLogger(__name__)
_THREADS = 10
_STOP_SECONDS = 1.0
_MESSAGE_BYTES = 256 << 20


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--socket", required=True, help="path of the Unix socket, without the suffix ':0' that it gets")
    arguments = parser.parse_args()

    import grpc
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from milvus_lite.db import MilvusLite
    from pymilvus.grpc_gen.milvus_pb2_grpc import add_MilvusServiceServicer_to_server

    with MilvusLite(str(arguments.data_dir)) as database:
        _open(database, arguments.data_dir)
        sizes = [(f"grpc.max_{way}_message_length", _MESSAGE_BYTES) for way in ("receive", "send")]
        server = grpc.server(ThreadPoolExecutor(_THREADS), options=sizes)
        add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
        server.add_insecure_port(f"unix:{arguments.socket}:0")
        server.start()
        sys.stdin.read()
        server.stop(_STOP_SECONDS).wait()


def _open(database: "MilvusLite", directory: Path) -> None:
    """Load every collection, before two requests could open one twice; one that a crash damaged is removed.

    The catalogue has what was in it, and whoever starts this server compares the two.
    """
    # Copies of the vectors, made anew when missing; they are written in place, and a kill leaves half of one.
    for copy in directory.rglob("*.idx"):
        copy.unlink()
    for name in database.list_collections():
        try:
            database.get_collection(name).load()
        except Exception as error:
            _LOG.warning("the vector collection %s is damaged and will be filled again: %s", name, error)
            database.drop_collection(name)


if __name__ == "__main__":
    main()
