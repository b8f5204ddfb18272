"""The baseline: mem0 with infer=False, MiniLM and local Qdrant, timed on the texts given on standard input.

Runs in a scratch environment (see `bench.py --mem0`), reads {"texts": [...], "queries": [...], "model": path} and
prints {"add": [seconds], "search": {"1000": [seconds], ...}}.
"""

import json
import os
import sys
import tempfile
import time


def main() -> None:
    """Time adds one by one, then searches at each size."""
    os.environ.update(MEM0_TELEMETRY="False", HF_HUB_OFFLINE="1", MEM0_DIR=tempfile.mkdtemp())
    from mem0 import Memory

    work = json.load(sys.stdin)
    folder = tempfile.mkdtemp()
    memory = Memory.from_config(
        {
            "vector_store": {
                "provider": "qdrant",
                "config": {"path": folder, "on_disk": True, "embedding_model_dims": 384},
            },
            "embedder": {"provider": "huggingface", "config": {"model": work["model"], "embedding_dims": 384}},
            "llm": {"provider": "openai", "config": {"api_key": "unused"}},
            "history_db_path": f"{folder}/history.db",
        }
    )
    adds, searches = [], {}
    for number, text in enumerate(work["texts"], start=1):
        begin = time.perf_counter()
        memory.add(text, user_id="bench", infer=False)
        adds.append(time.perf_counter() - begin)
        if str(number) in work["sizes"]:
            searches[str(number)] = [_search(memory, query) for query in work["queries"]]
    json.dump({"add": adds, "search": searches}, sys.stdout)


def _search(memory: object, query: str) -> float:
    begin = time.perf_counter()
    memory.search(query, filters={"user_id": "bench"}, top_k=10)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
