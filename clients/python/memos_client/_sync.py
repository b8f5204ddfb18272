"""The blocking client. Written by `_facade.py` from the asynchronous one; do not edit it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message as ProtoMessage

from memos_api.v1 import (
    governance_service_pb2,
    job_pb2,
    memcube_pb2,
    memory_service_pb2,
    provenance_pb2,
    purge_service_pb2,
    snapshot_service_pb2,
    vault_pb2,
)
from memos_client._archives import ArchiveOptions, ExportedPart, ImportedPart
from memos_client._client import DEFAULT_TIMEOUT, AsyncClient
from memos_client._errors import MemosError
from memos_client._filters import Filter
from memos_client._governance import NewApiKey
from memos_client._imports import ImportAnswer, NewMemory
from memos_client._portal import Portal
from memos_client._retry import Retries
from memos_client._settings import DEFAULT_ADDRESS, DEFAULT_TENANT, Settings, Tls
from memos_client._values import AddAnswer, ChatEvent, Cube, Difference, Link, Message, SearchAnswer
from memos_client._vaults import VaultPolicy

_List = list  # the method `list` of the class hides the type


class Client:
    """Memory for code without asyncio; each call blocks until its answer is there.

    Usage:

        with Client.from_env() as memos:
            memos.add("main", ["Nora's cat is called Biscuit."])
            for hit in memos.search("what is the cat called?", vaults=["main"]).hits:
                print(hit.cube.text)
            for event in memos.chat("What is the name of Nora's cat?", vaults=["main"]):
                print(event)

    It runs an AsyncClient in a thread of its own, and may be shared between threads.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str = "",
        tenant: str = DEFAULT_TENANT,
        tls: Tls | None = None,
        allow_plaintext: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008  # an immutable value
    ) -> None:
        """Make a client; see AsyncClient for the arguments."""
        self._client = AsyncClient(
            address,
            api_key=api_key,
            tenant=tenant,
            tls=tls,
            allow_plaintext=allow_plaintext,
            timeout=timeout,
            retries=retries,
        )
        self._portal = Portal()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return a client as the environment says; see `AsyncClient.from_env`."""
        return cls(**Settings.from_env(environ).arguments())

    def close(self) -> None:
        """Close the connection and the thread. Idempotent."""
        if not self._portal.closed:
            self._portal.run(self._client.close())
            self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, request: ProtoMessage, *, timeout: float | None = None) -> Any:
        """Send any request of the contract (`memos_api.v1`) and return its answer.

        Args:
            request: message of a method that gives one answer.
            timeout: seconds for all attempts together; None takes that of the client.

        Raises:
            MemosError: see the tree in `memos_client.MemosError`.
        """
        return self._portal.run(self._client.call(request, timeout=timeout))

    def stream(self, request: ProtoMessage, *, timeout: float | None = None) -> Iterator[Any]:
        """Send any request of the contract whose answer is a stream, and yield its messages.

        Args:
            request: message of a streaming method.
            timeout: seconds for the whole stream; None takes that of the server.

        Raises:
            MemosError: see the tree in `memos_client.MemosError`.
        """
        return self._portal.iterate(self._client.stream(request, timeout=timeout))

    def add(
        self,
        vault: str,
        items: Sequence[str | Message],
        *,
        labels: Mapping[str, str] | None = None,
        semantic_type: str = "",
        extract: bool = False,
        expire_time: datetime | None = None,
        keep_earlier: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> AddAnswer:
        """Remember texts and messages, at most 256. What is acknowledged is durable and found by the next search.

        A statement that makes an earlier one untrue ends the validity of that, and the answer links the two.

        Args:
            vault: vault to write to.
            items: plain texts, and messages with speaker, session and time; the answer names messages first.
            labels: labels for every cube.
            semantic_type: sort of content, such as `PREFERENCE`; empty lets the reader decide.
            extract: let a model extract facts from the messages.
            expire_time: when the cubes expire.
            keep_earlier: leave what the vault says already as it is.
            request_id: makes repeated calls one; made for each call if empty.
            timeout: seconds for all attempts.

        Raises:
            TypeError: `items` is one string, or an item is neither string nor Message.
            MemosError: RequestError, NotFound (the vault), PreconditionFailed (extraction), Unavailable.
        """
        return self._portal.run(
            self._client.add(
                vault,
                items,
                labels=labels,
                semantic_type=semantic_type,
                extract=extract,
                expire_time=expire_time,
                keep_earlier=keep_earlier,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def create(
        self,
        vault: str,
        text: str,
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        semantic_type: str = "",
        expire_time: datetime | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        priority: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Cube:
        """Store one cube as given, under a name of your own if you like.

        In the world the fact holds from `valid_from` on, and before `valid_until`.

        Raises:
            MemosError: RequestError, NotFound (the vault), DuplicateContent, AlreadyExists, Unavailable.
        """
        return self._portal.run(
            self._client.create(
                vault,
                text,
                name=name,
                labels=labels,
                semantic_type=semantic_type,
                expire_time=expire_time,
                valid_from=valid_from,
                valid_until=valid_until,
                priority=priority,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def get(self, name: str, *, as_of: datetime | None = None, timeout: float | None = None) -> Cube:
        """Return one cube with its text, as it was known at a moment of the past if one is given.

        Raises:
            MemosError: NotFound, RequestError (a moment that has not come).
        """
        return self._portal.run(self._client.get(name, as_of=as_of, timeout=timeout))

    def batch_get(
        self, names: Iterable[str], *, as_of: datetime | None = None, timeout: float | None = None
    ) -> _List[Cube | MemosError]:
        """Return up to 100 cubes in the order asked for; one that cannot be read is its error instead.

        Raises:
            TypeError: `names` is one string.
            MemosError: RequestError.
        """
        return self._portal.run(self._client.batch_get(names, as_of=as_of, timeout=timeout))

    def list(
        self, vault: str, *, filter: Filter | None = None, as_of: datetime | None = None, page_size: int = 0
    ) -> Iterator[Cube]:
        """Yield the headers (without text) of a vault's cubes, newest first, page after page.

        With `as_of` they are those of a moment of the past.

        Raises:
            MemosError: NotFound (the vault), RequestError.
        """
        return self._portal.iterate(self._client.list(vault, filter=filter, as_of=as_of, page_size=page_size))

    def update(
        self,
        name: str,
        *,
        text: str | None = None,
        labels: Mapping[str, str] | None = None,
        semantic_type: str | None = None,
        priority: int | None = None,
        expire_time: datetime | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        etag: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> Cube:
        """Change what is given, as a new revision; labels replace all labels.

        Raises:
            MemosError: NotFound, EtagMismatch, RequestError, PreconditionFailed (a frozen cube), Unavailable.
        """
        return self._portal.run(
            self._client.update(
                name,
                text=text,
                labels=labels,
                semantic_type=semantic_type,
                priority=priority,
                expire_time=expire_time,
                valid_from=valid_from,
                valid_until=valid_until,
                etag=etag,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def delete(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Take a cube out of every read and search; return its header with delete and purge time.

        Raises:
            MemosError: NotFound, EtagMismatch, Unavailable.
        """
        return self._portal.run(self._client.delete(name, etag=etag, request_id=request_id, timeout=timeout))

    def links(self, name: str, *, timeout: float | None = None) -> tuple[Link, ...]:
        """Return what a cube does to earlier ones and later ones do to it, the latest first.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.links(name, timeout=timeout))

    def settle_link(
        self, newer: str, older: str, kind: str, *, request_id: str = "", timeout: float | None = None
    ) -> Link:
        """Say what one cube does to an earlier one, whatever was judged.

        Args:
            newer: the cube that was told later.
            older: the cube that was told before.
            kind: `SUPERSEDES` ends the validity of the older one, `RESTATES` and `UNRELATED` take that back.
            request_id: makes repeated calls one; made for each call if empty.
            timeout: seconds for all attempts.

        Raises:
            ValueError: there is no such kind.
            MemosError: NotFound, PreconditionFailed (the older one is frozen), RequestError.
        """
        return self._portal.run(self._client.settle_link(newer, older, kind, request_id=request_id, timeout=timeout))

    def undelete(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Take the deletion of a cube back, until its purge time; return its header.

        Raises:
            MemosError: NotFound, AlreadyExists (not deleted, or its content is held by another cube), EtagMismatch,
                Unavailable.
        """
        return self._portal.run(self._client.undelete(name, etag=etag, request_id=request_id, timeout=timeout))

    def revisions(self, name: str, *, page_size: int = 0) -> Iterator[Cube]:
        """Yield the headers (without text) of a cube's revisions, newest first, page after page.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.iterate(self._client.revisions(name, page_size=page_size))

    def diff(
        self, name: str, *, from_revision: int = 0, to_revision: int = 0, timeout: float | None = None
    ) -> Difference:
        """Return two revisions of a cube and what differs; without numbers the newest and the one in front of it.

        Raises:
            MemosError: NotFound (the cube, a revision).
        """
        return self._portal.run(
            self._client.diff(name, from_revision=from_revision, to_revision=to_revision, timeout=timeout)
        )

    def watch(
        self, vault: str, *, resume_token: str = "", full: bool = False
    ) -> Iterator[memory_service_pb2.WatchMemoriesResponse]:
        """Yield what changes in a vault, in order; `full` brings the texts. It goes on until you stop.

        Each answer has a token: give the last one as `resume_token` to go on behind it, at most 7 days later.
        Without one it begins now, and the first answer, which comes at once, has a token alone; then list the vault.
        Answers without changes come every 20 seconds.

        Raises:
            MemosError: NotFound (the vault), PreconditionFailed (the token is too old), RequestError, Unavailable.
        """
        return self._portal.iterate(self._client.watch(vault, resume_token=resume_token, full=full))

    def rollback(
        self, name: str, revision: int, *, etag: str = "", request_id: str = "", timeout: float | None = None
    ) -> Cube:
        """Give a cube the text and the fields of an older revision, as a new revision.

        Raises:
            MemosError: NotFound (the cube, the revision), EtagMismatch, PreconditionFailed (a frozen cube),
                DuplicateContent, Unavailable.
        """
        return self._portal.run(
            self._client.rollback(name, revision, etag=etag, request_id=request_id, timeout=timeout)
        )

    def freeze(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Forbid changes to a cube until it is unfrozen; it is still found and used. Return its header.

        Raises:
            MemosError: NotFound, EtagMismatch, PreconditionFailed (expired, stale or frozen already), Unavailable.
        """
        return self._portal.run(self._client.freeze(name, etag=etag, request_id=request_id, timeout=timeout))

    def unfreeze(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Allow changes to a frozen cube again; return its header.

        Raises:
            MemosError: NotFound, EtagMismatch, PreconditionFailed (not frozen), Unavailable.
        """
        return self._portal.run(self._client.unfreeze(name, etag=etag, request_id=request_id, timeout=timeout))

    def search(
        self,
        query: str,
        *,
        vaults: Iterable[str] = (),
        top_k: int = 0,
        filter: Filter | None = None,
        as_of: datetime | None = None,
        without: Iterable[str] = (),
        token_budget: int = 0,
        paths: bool = False,
        time_zone: str = "",
        timeout: float | None = None,
    ) -> SearchAnswer:
        """Find the cubes that fit a query best.

        Args:
            query: what to look for.
            vaults: where; empty means every vault that the key may read.
            top_k: most cubes, 1 to 100; 0 means 10.
            filter: conditions.
            as_of: moment of the past to search at; None is the present.
            without: legs (`dense`, `lexical`) and stages of the ranking (`neighbours`, `speaker`, `form`,
                `late_interaction`, `time`, `validity`, `hops`, `sessions`, `ranker`, `identifiers`, `updates`) to
                leave out.
            token_budget: most tokens of all texts together, by estimate; 0 is no limit.
            paths: whether to tell how the hits hang together: topic, concept, fact.
            time_zone: in which the query's times are meant, such as `last Tuesday`: an IANA name or an offset,
                `Europe/Oslo` or `+02:00`; empty is UTC.
            timeout: seconds for all attempts.

        Raises:
            TypeError: `vaults` or `without` is one string.
            MemosError: RequestError, NotFound (a vault), Unavailable.
        """
        return self._portal.run(
            self._client.search(
                query,
                vaults=vaults,
                top_k=top_k,
                filter=filter,
                as_of=as_of,
                without=without,
                token_budget=token_budget,
                paths=paths,
                time_zone=time_zone,
                timeout=timeout,
            )
        )

    def provenance(self, name: str, *, depth: int = 0, timeout: float | None = None) -> provenance_pb2.Provenance:
        """Return the graph around a cube, an answer or a plan. A short name is that of a cube.

        Raises:
            MemosError: NotFound, RequestError.
        """
        return self._portal.run(self._client.provenance(name, depth=depth, timeout=timeout))

    def import_memories(
        self, vault: str, items: Iterable[NewMemory], *, embedder: str = "", resume_token: str = ""
    ) -> Iterator[ImportAnswer]:
        """Store many memories, and yield what became of each batch once it is durable.

        Items are taken from `items` as fast as they are stored. If it breaks off, call again with the same items and
        the newest resume token, and what was answered is left out; without a token nothing is stored twice either.

        Args:
            vault: vault to write to.
            items: what to store.
            embedder: id of the embedder that made the vectors; empty if the items have none.
            resume_token: token of an answer.

        Raises:
            MemosError: RequestError (another embedder than the one that runs), LimitExceeded (an item does not fit into
                a message; `.field` says which), NotFound (the vault), Unavailable.
            ValueError: an item has a value of the wrong type.
        """
        return self._portal.iterate(
            self._client.import_memories(vault, items, embedder=embedder, resume_token=resume_token)
        )

    def create_parametric(
        self,
        vault: str,
        source: Path | bytes,
        *,
        identity: Mapping[str, str],
        rank: int,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Cube:
        """Store a LoRA adapter: a safetensors file, or its bytes. Done again, it names the cube that has these bytes.

        Args:
            vault: vault to write to.
            source: what is stored.
            identity: the fields of `CompatibilityIdentity`, all but `token_ids_sha256`: the model that it fits.
            rank: rank of the adapter.
            name: name of the cube; one is made if it is left out.
            labels: labels of the cube.
            progress: told of the number of bytes after each that went.
            timeout: seconds for the upload.

        Raises:
            MemosError: RequestError, NotFound (the vault), DuplicateContent, AlreadyExists, Unavailable.
            OSError: the file cannot be read.
        """
        return self._portal.run(
            self._client.create_parametric(
                vault,
                source,
                identity=identity,
                rank=rank,
                name=name,
                labels=labels,
                progress=progress,
                timeout=timeout,
            )
        )

    def create_activation(
        self,
        vault: str,
        source: Path | bytes,
        *,
        identity: Mapping[str, str],
        token_count: int,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Cube:
        """Store a KV cache: a safetensors file, or its bytes. See `create_parametric`; here every field is needed.

        Raises:
            MemosError: RequestError, NotFound (the vault), DuplicateContent, AlreadyExists, Unavailable.
            OSError: the file cannot be read.
        """
        return self._portal.run(
            self._client.create_activation(
                vault,
                source,
                identity=identity,
                token_count=token_count,
                name=name,
                labels=labels,
                progress=progress,
                timeout=timeout,
            )
        )

    def upload_blob(
        self,
        vault: str,
        source: Path | bytes,
        *,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> memcube_pb2.BlobRef:
        """Store bytes in the safetensors format, for a cube that is created within 24 hours.

        Raises:
            MemosError: RequestError, NotFound (the vault), Unavailable.
            OSError: the file cannot be read.
        """
        return self._portal.run(self._client.upload_blob(vault, source, progress=progress, timeout=timeout))

    def download_blob(self, name: str, *, offset: int = 0, limit: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a cube's payload, from `offset` on and with a limit at most so many.

        Raises:
            MemosError: NotFound, RequestError (a cube of text), and at the end InternalError if all was read and
                differs from its hash.
        """
        return self._portal.iterate(self._client.download_blob(name, offset=offset, limit=limit))

    def save_blob(self, name: str, path: Path, *, progress: Callable[[int], None] | None = None) -> int:
        """Write the bytes of a cube's payload to a file, which appears whole or not at all; return their number.

        Raises:
            MemosError: see `download_blob`.
            OSError: the file cannot be written.
        """
        return self._portal.run(self._client.save_blob(name, path, progress=progress))

    def export_vault(
        self, vault: str, directory: Path, *, options: ArchiveOptions | None = None
    ) -> Iterator[ExportedPart]:
        """Write a vault as an archive into a directory, and yield each part once it is on disk.

        The directory is made, or is that of an export of the same vault with the same options that broke off, which
        goes on behind its last part. The archive is complete when the generator ends.

        Args:
            vault: vault to export.
            directory: where to write.
            options: what to take; None takes all that is not deleted.

        Raises:
            MemosError: NotFound (the vault), PermissionDenied, ServerFault (bytes that are damaged), Unavailable.
            FileExistsError: the directory holds something else.
            OSError: it cannot be written.
        """
        return self._portal.iterate(self._client.export_vault(vault, directory, options=options))

    def import_vault(
        self,
        directory: Path,
        vault: str,
        *,
        trusted_key: str = "",
        permissions: bool = False,
        first_part: int = 0,
        compare: bool = True,
    ) -> Iterator[ImportedPart]:
        """Take an archive into a vault, and yield what became of each part once it is durable.

        Every file is compared with its hash before the first one is sent. Done again, it changes nothing more.

        Args:
            directory: the archive.
            vault: vault to import into.
            trusted_key: fingerprint of the installation that made it, or its first 16 digits; empty trusts only the
                installation itself.
            permissions: whether the principals of the archive get the roles that they had.
            first_part: number of the first part to send, to go on with an import that broke off.
            compare: False leaves the comparison out, for a caller who has just made it.

        Raises:
            MemosError: RequestError (the archive is damaged, or signed by somebody who is not trusted), NotFound (the
                vault), PermissionDenied, Overloaded (the disk there is full), Unavailable.
            OSError: it cannot be read.
        """
        return self._portal.iterate(
            self._client.import_vault(
                directory,
                vault,
                trusted_key=trusted_key,
                permissions=permissions,
                first_part=first_part,
                compare=compare,
            )
        )

    def chat(
        self,
        messages: str | Message | Sequence[str | Message],
        *,
        vaults: Iterable[str] = (),
        remember_in: str = "",
        session: str = "",
        max_tokens: int = 0,
        temperature: float = 0.0,
        memory_token_budget: int = 0,
        filter: Filter | None = None,
        form: str = "auto",
        time_zone: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> Iterator[ChatEvent]:
        """Ask, and yield a ChatPlan, ChatDeltas and a ChatEnd. Stopping early stops the generation.

        Args:
            messages: the question, or the conversation with the question last. A string is the user's.
            vaults: where to recall from; empty means every vault that the key may read.
            remember_in: vault to store this turn in; empty stores nothing.
            session: conversation of the stored turn.
            max_tokens: most tokens to generate; 0 means 256.
            temperature: 0 is greedy.
            memory_token_budget: most tokens of memory in the prompt; 0 means what the model reads well.
            filter: conditions on the memories.
            form: how memories reach the model: `text`; `kv`, a KV cache if there is one, with all memories in it; or
                `auto`, a KV cache where it holds nothing but what was found, so that the prompt stays the same.
            time_zone: in which the question's times are meant, as in `search`.
            request_id: makes storing the turn idempotent; made for each call if empty.
            timeout: seconds for the whole answer; None takes that of the server.

        Raises:
            ValueError: an unknown form.
            TypeError: `vaults` is one string.
            MemosError: RequestError, NotFound (a vault), PreconditionFailed (the prompt is too long), Unavailable.
        """
        return self._portal.iterate(
            self._client.chat(
                messages,
                vaults=vaults,
                remember_in=remember_in,
                session=session,
                max_tokens=max_tokens,
                temperature=temperature,
                memory_token_budget=memory_token_budget,
                filter=filter,
                form=form,
                time_zone=time_zone,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def build_activation(
        self, vault: str, names: Iterable[str], *, request_id: str = "", timeout: float | None = None
    ) -> job_pb2.Job:
        """Have the model read memories once, and keep what that gives as a KV cache; a job that can be watched.

        Its result names the `cube`. Chats about these memories begin with the cache, see `form` of `chat`.

        Args:
            vault: where the memories are, and the cube will be.
            names: 1 to 100 memories.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound (the vault), RequestError (no memory, or too many).
        """
        return self._portal.run(self._client.build_activation(vault, names, request_id=request_id, timeout=timeout))

    def train_adapter(
        self, vault: str, names: Iterable[str], *, request_id: str = "", timeout: float | None = None
    ) -> job_pb2.Job:
        """Train a LoRA adapter on memories, so that the model knows them without being told; a job that can be watched.

        Its result names the `cube`, how many `facts` were found, in how many memories none was (`unread`), and the
        marks of the exam. Chats with `form="lora"` use it.

        Args:
            vault: where the memories are, and the cube will be.
            names: 1 to 100 memories.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound (the vault), RequestError (no memory, or too many).
        """
        return self._portal.run(self._client.train_adapter(vault, names, request_id=request_id, timeout=timeout))

    def recover_text(self, vault: str, name: str, *, request_id: str = "", timeout: float | None = None) -> job_pb2.Job:
        """Write down as text what a KV cache or an adapter holds; a job that can be watched.

        Its result tells how many `texts` there are, how many of them are `new`, and the least `confidence`: of an
        adapter the share of phrasings of a question that got the same answer.

        Args:
            vault: where the cube is, and the memories will be.
            name: a KV cache or an adapter.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            MemosError: NotFound (the vault), RequestError (no name).
        """
        return self._portal.run(self._client.recover_text(vault, name, request_id=request_id, timeout=timeout))

    def create_snapshot(
        self,
        vault: str,
        *,
        name: str = "",
        as_of: datetime | None = None,
        display_name: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> snapshot_service_pb2.Snapshot:
        """Name a moment of a vault: now, or one of the past.

        Raises:
            MemosError: NotFound (the vault), AlreadyExists (the name), RequestError (a moment that has not come).
        """
        return self._portal.run(
            self._client.create_snapshot(
                vault, name=name, as_of=as_of, display_name=display_name, request_id=request_id, timeout=timeout
            )
        )

    def get_snapshot(self, name: str, *, timeout: float | None = None) -> snapshot_service_pb2.Snapshot:
        """Return one snapshot; read the vault with its `as_of`.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.get_snapshot(name, timeout=timeout))

    def list_snapshots(self, vault: str, *, page_size: int = 0) -> Iterator[snapshot_service_pb2.Snapshot]:
        """Yield the snapshots of a vault, the latest moment first.

        Raises:
            MemosError: NotFound (the vault).
        """
        return self._portal.iterate(self._client.list_snapshots(vault, page_size=page_size))

    def delete_snapshot(self, name: str, *, request_id: str = "", timeout: float | None = None) -> None:
        """Forget the name of a moment; the moment can still be read.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.delete_snapshot(name, request_id=request_id, timeout=timeout))

    def restore_snapshot(self, name: str, *, request_id: str = "", timeout: float | None = None) -> job_pb2.Job:
        """Take a vault back to a snapshot, as a job that can be watched; all of it is new revisions.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.restore_snapshot(name, request_id=request_id, timeout=timeout))

    def purge(
        self,
        vault: str,
        names: Iterable[str] = (),
        *,
        filter: Filter | None = None,
        expected_count: int = 0,
        validate_only: bool = False,
        reason: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> purge_service_pb2.PurgeMemoriesResponse:
        """Erase cubes for good, by name or filter, with what is derived from them; or only count them.

        Nobody sees them from then on; the job in the answer erases them on every tier, and then `get_purge` has the
        signed receipt. `expected_count` is what the same call counts with `validate_only`.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound, RequestError, PreconditionFailed (another count, a frozen cube), PermissionDenied.
        """
        return self._portal.run(
            self._client.purge(
                vault,
                names,
                filter=filter,
                expected_count=expected_count,
                validate_only=validate_only,
                reason=reason,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def get_purge(self, name: str, *, timeout: float | None = None) -> purge_service_pb2.Purge:
        """Return one purge, with its receipt once it is done.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.get_purge(name, timeout=timeout))

    def list_purges(self, vault: str, *, page_size: int = 0) -> Iterator[purge_service_pb2.Purge]:
        """Yield the purges of a vault, the newest first, without receipts.

        Raises:
            MemosError: NotFound (the vault).
        """
        return self._portal.iterate(self._client.list_purges(vault, page_size=page_size))

    def lift_purge(self, name: str, *, request_id: str = "", timeout: float | None = None) -> purge_service_pb2.Purge:
        """Let what a purge erased be stored again when it is told again.

        Raises:
            MemosError: NotFound, PreconditionFailed (it was lifted before).
        """
        return self._portal.run(self._client.lift_purge(name, request_id=request_id, timeout=timeout))

    def get_job(self, name: str) -> job_pb2.Job:
        """Return one job.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.get_job(name))

    def list_jobs(self, *, states: Iterable[str] = (), page_size: int = 0) -> Iterator[job_pb2.Job]:
        """Yield the tenant's jobs, newest first; `states` such as `DEAD` leaves out the others.

        Raises:
            ValueError: an unknown state.
            TypeError: `states` is one string.
        """
        return self._portal.iterate(self._client.list_jobs(states=states, page_size=page_size))

    def cancel_job(self, name: str, *, request_id: str = "") -> job_pb2.Job:
        """Cancel a job that has not ended.

        Raises:
            MemosError: NotFound, PreconditionFailed (it has ended).
        """
        return self._portal.run(self._client.cancel_job(name, request_id=request_id))

    def retry_job(self, name: str, *, request_id: str = "") -> job_pb2.Job:
        """Put a job that failed at every attempt, or that was cancelled, back into the queue.

        Raises:
            MemosError: NotFound, PreconditionFailed (it is neither).
        """
        return self._portal.run(self._client.retry_job(name, request_id=request_id))

    def watch_job(self, name: str) -> Iterator[job_pb2.Job]:
        """Yield a job at each change until it ends.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.iterate(self._client.watch_job(name))

    def create_key(
        self, principal: str, *, display_name: str = "", admin: bool = False, request_id: str = ""
    ) -> NewApiKey:
        """Make an API key for a principal, who is made if he is new. Never repeated on its own.

        Raises:
            MemosError: PermissionDenied, RequestError.
        """
        return self._portal.run(
            self._client.create_key(principal, display_name=display_name, admin=admin, request_id=request_id)
        )

    def list_keys(self, *, page_size: int = 0) -> Iterator[governance_service_pb2.ApiKey]:
        """Yield the tenant's keys without their secrets.

        Raises:
            MemosError: PermissionDenied.
        """
        return self._portal.iterate(self._client.list_keys(page_size=page_size))

    def revoke_key(self, name: str, *, request_id: str = "") -> governance_service_pb2.ApiKey:
        """End a key.

        Raises:
            MemosError: NotFound, PermissionDenied.
        """
        return self._portal.run(self._client.revoke_key(name, request_id=request_id))

    def create_vault(
        self,
        name: str,
        *,
        display_name: str = "",
        type: str = "",
        policy: VaultPolicy | None = None,
        request_id: str = "",
    ) -> vault_pb2.Vault:
        """Make a vault; the caller becomes its owner.

        Args:
            name: name of the vault.
            display_name: title for people.
            type: `USER_PRIVATE` (if empty), `EXPERT`, `INDUSTRY_SHARED`, `CONTEXTUAL_POOL` or `PIPELINE_CACHE`.
            policy: rules that differ from those of the type.
            request_id: makes the call idempotent.

        Raises:
            MemosError: AlreadyExists, PermissionDenied, RequestError.
            ValueError: an unknown type or role.
        """
        return self._portal.run(
            self._client.create_vault(name, display_name=display_name, type=type, policy=policy, request_id=request_id)
        )

    def get_vault(self, name: str) -> vault_pb2.Vault:
        """Return a vault.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.get_vault(name))

    def update_vault(
        self, name: str, *, display_name: str | None = None, policy: VaultPolicy | None = None, request_id: str = ""
    ) -> vault_pb2.Vault:
        """Change the title of a vault, or the rules that are set in `policy`; what is None stays.

        Raises:
            MemosError: NotFound, PermissionDenied, RequestError.
            ValueError: an unknown role.
        """
        return self._portal.run(
            self._client.update_vault(name, display_name=display_name, policy=policy, request_id=request_id)
        )

    def vault_usage(self, name: str) -> vault_pb2.VaultUsage:
        """Return what a vault holds.

        Raises:
            MemosError: NotFound.
        """
        return self._portal.run(self._client.vault_usage(name))

    def list_vaults(self, *, page_size: int = 0) -> Iterator[vault_pb2.Vault]:
        """Yield the vaults in which the caller has a role."""
        return self._portal.iterate(self._client.list_vaults(page_size=page_size))

    def set_permission(
        self, vault: str, principal: str, role: str, *, request_id: str = ""
    ) -> vault_pb2.VaultPermission:
        """Give a principal a role in a vault: `READER`, `WRITER` or `OWNER`; an empty role takes it.

        Raises:
            MemosError: NotFound, PermissionDenied.
            ValueError: an unknown role.
        """
        return self._portal.run(self._client.set_permission(vault, principal, role, request_id=request_id))

    def list_permissions(self, vault: str, *, page_size: int = 0) -> Iterator[vault_pb2.VaultPermission]:
        """Yield the roles in a vault.

        Raises:
            MemosError: NotFound, PermissionDenied.
        """
        return self._portal.iterate(self._client.list_permissions(vault, page_size=page_size))

    def audit(
        self,
        *,
        principal: str = "",
        action: str = "",
        resource: str = "",
        after: datetime | None = None,
        before: datetime | None = None,
        page_size: int = 0,
    ) -> Iterator[governance_service_pb2.AuditEvent]:
        """Yield events of the tenant's audit log, newest first; what is given narrows them.

        Raises:
            MemosError: PermissionDenied, RequestError.
        """
        return self._portal.iterate(
            self._client.audit(
                principal=principal, action=action, resource=resource, after=after, before=before, page_size=page_size
            )
        )
