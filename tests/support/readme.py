"""Write what documents and clients take from the code, or check that it is fresh.

python tests/support/readme.py           write
python tests/support/readme.py --check   exit 1 if something is stale

README.md has tables of limits and settings; clients/service_config.json tells clients of any language, in the format of
gRPC, which calls they may repeat.
"""

import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from memos_kernel import limits
from memos_runtime.channels import method_config
from memos_runtime.loading import keys
from memos_wire.methods import METHODS
from memosctl.commands.config import markdown
from memosctl.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
SERVICE_CONFIG = ROOT / "clients" / "service_config.json"

MEANINGS = {
    "LIST_ITEMS": "entries of a list in a request, unless a smaller limit is listed",
    "TEXT_TOKENS": "first tokens of a text whose vectors are kept",
    "TEXT_BYTES": "bytes of one text or message, UTF-8, but the last message of a chat",
    "QUERY_BYTES": "bytes of a search query, and of the last message of a chat, which is searched for",
    "BATCH_ITEMS": "messages and texts in one AddMemories",
    "BATCH_GET_NAMES": "names in one BatchGetMemories",
    "SEARCH_VAULTS": "vaults in one search or chat",
    "TOP_K": "hits of one search",
    "TOP_K_DEFAULT": "hits, if the call does not say",
    "PAGE_SIZE": "rows of a page",
    "PAGE_SIZE_DEFAULT": "rows, if the call does not say",
    "CHAT_MESSAGES": "messages in one Chat",
    "CHAT_TOKENS": "tokens of an answer",
    "CHAT_TOKENS_DEFAULT": "tokens, if the call does not say",
    "LABELS": "labels of a cube",
    "LABEL_VALUE_BYTES": "bytes of a label's value",
    "DISPLAY_NAME_CHARS": "characters of a display name",
    "REQUEST_ID_CHARS": "characters of a request id",
    "SOURCES": "sources of a cube",
    "SOURCE_FIELD_BYTES": "bytes of a message's id, speaker or session",
    "LINE_BYTES": "bytes of a memory as a line of the prompt, with its speaker and date",
    "DERIVED_FROM": "revisions that a cube is derived from",
    "SENSITIVITY_TAGS": "sensitivity tags of a cube",
    "PRIORITY": "largest priority",
    "PROVENANCE_DEPTH": "steps of GetProvenance",
    "PROVENANCE_DEPTH_DEFAULT": "steps, if the call does not say",
    "PRINCIPAL_VAULTS": "vaults in which one principal has a role of its own",
    "SHARED_VAULTS": "vaults of a tenant that give everybody a role",
    "PENDING_ROWS": "rows that may wait for the vector index",
    "PAST_ROWS": "cubes changed since, in one search of the past",
    "PURGE_CUBES": "cubes of one purge, derived ones included",
    "PURGE_NAMES": "names in one PurgeMemories",
    "PURGE_SAMPLE": "names that PurgeMemories shows before it erases",
    "REASON_CHARS": "characters of a reason",
    "BLOB_BYTES": "bytes of a KV cache or an adapter",
    "BLOB_CHUNK_BYTES": "bytes of one chunk of an upload",
    "BLOB_HEADER_BYTES": "bytes of the header of a safetensors file",
    "STAGED_BLOBS": "uploaded blobs of a vault that wait for a cube",
    "CONVERSION_SOURCES": "memories of one KV cache or adapter",
    "JOB_PARAMETER_BYTES": "bytes of one parameter of a job",
    "ADAPTER_RANK": "rank of an adapter",
    "ARCHIVE_REVISIONS": "revisions that an import stores at once",
    "GRANT_LIFETIME": "life of a grant",
    "VAULT_AGE": "least age at which a vault archives or deletes cubes",
    "VAULT_AGE_MOST": "most such age",
    "DELETED_RETENTION": "time for which a deleted cube is kept at least",
    "CHANGE_RETENTION": "time for which a watch can be resumed",
    "PROMPT_CACHES": "KV caches that one prompt may use",
    "KV_COPY_RETENTION": "time for which inference keeps a copy of a KV cache or adapter that nobody uses",
    "BLOB_RETENTION": "time for which an uploaded blob waits for a cube",
    "STREAM_SILENCE": "time for which a stream of requests may be silent",
    "REQUEST_ID_RETENTION": "time for which a request id is remembered",
    "CLOCK_AHEAD": "how far ahead a message's time may be",
    "HEAT_HALF_LIFE": "half-life of heat",
}

WHOLE_CALL = (
    "bytes of one request or answer as a whole (`server.max_message_bytes`); a longer request is refused by gRPC "
    "itself, with RESOURCE_EXHAUSTED and no reason"
)


def limits_table() -> str:
    """Return every limit with its value."""
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    rows = [f"| {MEANINGS[name]} | {_plain(value)} |" for name, value in values.items()]
    rows.append(f"| {WHOLE_CALL} | {_plain(Settings().server.max_message_bytes)} |")
    return "\n".join(["| limit | value |", "|---|---|", *rows])


def service_config() -> str:
    """Return the gRPC service config of the public API: repeated is what does nothing the second time."""
    repeated = [method for method in METHODS.values() if method.public and method.retryable]
    retries = method_config(repeated, attempts=4, most_backoff="2s", factor=3)
    return json.dumps({"methodConfig": [retries]}, indent=2) + "\n"


def fresh(text: str) -> str:
    """Return the README with its tables made anew."""
    tables: dict[str, Callable[[], str]] = {"limits": limits_table, "configuration": lambda: markdown(keys(Settings))}
    for name, make in tables.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, make=make: f"{match[1]}\n{make()}\n\n{match[2]}", text)
        if found != 1:
            raise SystemExit(f"README.md has {found} places for the table of {name}")
    return text


def _plain(value: int | timedelta) -> str:
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"{value.days} days" if value.days > 1 else f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds} s"
    return f"{value:,}"


def main() -> None:
    """Run the command."""
    made = {README: fresh(README.read_text()), SERVICE_CONFIG: service_config()}
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:] and stale:
        raise SystemExit(f"{', '.join(path.name for path in stale)}: stale; run `make readme`")
    for path in stale:
        path.write_text(made[path])


if __name__ == "__main__":
    main()
