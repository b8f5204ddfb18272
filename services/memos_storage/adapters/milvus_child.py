"""The embedded vector server: `python -m memos_storage.adapters.milvus_child --data-dir D --socket S`.

It ends when its standard input does, so it never outlives the service that started it, however that ended.
"""

import argparse
import sys


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--socket", required=True, help="path of the Unix socket, without the suffix ':0' that it gets")
    arguments = parser.parse_args()

    from milvus_lite.adapter.grpc.server import start_server_in_thread

    # The server joins host and port with a colon; for a Unix socket that only lengthens the path.
    server, database, _ = start_server_in_thread(arguments.data_dir, host=f"unix:{arguments.socket}", port=0)
    sys.stdin.read()
    server.stop(grace=1).wait()
    database.close()


if __name__ == "__main__":
    main()
