"""Reading and writing memories."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.v1 import memcube_pb2, memory_service_pb2, provenance_pb2
from memos_api.v1 import memory_service_pb2 as pb
from memos_client._base import Calls, pages
from memos_client._checks import check_words, listed
from memos_client._errors import MemosError, error_of_item
from memos_client._filters import Filter, semantic_type, timestamp
from memos_client._values import AddAnswer, Cube, Difference, Link, Message, SearchAnswer


class MemoryCalls(Calls):
    """MemoryService. Vaults and cubes are named in full, or by their last part."""

    async def add(
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
        _check_items(items)
        check_words(items=items, labels=labels)
        request = pb.AddMemoriesRequest(
            vault=self._name("vaults", vault),
            messages=[item.to_proto() for item in items if isinstance(item, Message)],
            texts=[item for item in items if isinstance(item, str)],
            labels=labels,
            semantic_type=_sort(semantic_type),
            extract=extract,
            expire_time=timestamp(expire_time),
            keep_earlier=keep_earlier,
            request_id=request_id,
        )
        return AddAnswer.from_proto(await self.call(request, timeout=timeout))

    async def create(
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
        check_words(text=text, labels=labels)
        cube = memcube_pb2.MemCube(
            name=self._name("cubes", name),
            vault=self._name("vaults", vault),
            labels=labels,
            semantic_type=_sort(semantic_type),
            expire_time=timestamp(expire_time),
            valid_from=timestamp(valid_from),
            valid_until=timestamp(valid_until),
            priority=priority,
            plaintext=memcube_pb2.PlaintextPayload(text=text),
        )
        answer: pb.CreateMemoryResponse = await self.call(
            pb.CreateMemoryRequest(cube=cube, request_id=request_id), timeout=timeout
        )
        return Cube(answer.cube)

    async def get(self, name: str, *, as_of: datetime | None = None, timeout: float | None = None) -> Cube:
        """Return one cube with its text, as it was known at a moment of the past if one is given.

        Raises:
            MemosError: NotFound, RequestError (a moment that has not come).
        """
        request = pb.GetMemoryRequest(name=self._name("cubes", name), as_of=timestamp(as_of))
        answer: pb.GetMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def batch_get(
        self, names: Iterable[str], *, as_of: datetime | None = None, timeout: float | None = None
    ) -> list[Cube | MemosError]:
        """Return up to 100 cubes in the order asked for; one that cannot be read is its error instead.

        Raises:
            TypeError: `names` is one string.
            MemosError: RequestError.
        """
        request = pb.BatchGetMemoriesRequest(names=self._cubes(names), as_of=timestamp(as_of))
        answer: pb.BatchGetMemoriesResponse = await self.call(request, timeout=timeout)
        return [
            error_of_item(item.error) if item.WhichOneof("result") == "error" else Cube(item.cube)
            for item in answer.results
        ]

    async def list(
        self, vault: str, *, filter: Filter | None = None, as_of: datetime | None = None, page_size: int = 0
    ) -> AsyncGenerator[Cube, None]:
        """Yield the headers (without text) of a vault's cubes, newest first, page after page.

        With `as_of` they are those of a moment of the past.

        Raises:
            MemosError: NotFound (the vault), RequestError.
        """
        request = pb.ListMemoriesRequest(
            vault=self._name("vaults", vault),
            filter=_filter(filter),
            as_of=timestamp(as_of),
            page_size=page_size,
        )
        async for cube in pages(self, request, "cubes"):
            yield Cube(cube)

    async def update(
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
        check_words(text=text, labels=labels)
        cube = memcube_pb2.MemCube(name=self._name("cubes", name), etag=etag)
        paths = []
        if text is not None:
            cube.plaintext.text = text
            paths.append("plaintext.text")
        if labels is not None:
            cube.labels.update(labels)
            paths.append("labels")
        if semantic_type is not None:
            cube.semantic_type = _sort(semantic_type)
            paths.append("semantic_type")
        if priority is not None:
            cube.priority = priority
            paths.append("priority")
        for field, time in (("expire_time", expire_time), ("valid_from", valid_from), ("valid_until", valid_until)):
            if (stamp := timestamp(time)) is not None:
                getattr(cube, field).CopyFrom(stamp)
                paths.append(field)
        request = pb.UpdateMemoryRequest(cube=cube, update_mask=FieldMask(paths=paths), request_id=request_id)
        answer: pb.UpdateMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def delete(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Take a cube out of every read and search; return its header with delete and purge time.

        Raises:
            MemosError: NotFound, EtagMismatch, Unavailable.
        """
        request = pb.DeleteMemoryRequest(name=self._name("cubes", name), etag=etag, request_id=request_id)
        answer: pb.DeleteMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def links(self, name: str, *, timeout: float | None = None) -> tuple[Link, ...]:
        """Return what a cube does to earlier ones and later ones do to it, the latest first.

        Raises:
            MemosError: NotFound.
        """
        request = pb.ListMemoryLinksRequest(name=self._name("cubes", name))
        answer: pb.ListMemoryLinksResponse = await self.call(request, timeout=timeout)
        return tuple(Link.from_proto(link) for link in answer.links)

    async def settle_link(
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
        request = pb.SettleMemoryLinkRequest(
            newer=self._name("cubes", newer),
            older=self._name("cubes", older),
            kind=pb.LinkKind.Value(f"LINK_KIND_{kind}"),
            request_id=request_id,
        )
        answer: pb.SettleMemoryLinkResponse = await self.call(request, timeout=timeout)
        return Link.from_proto(answer.link)

    async def undelete(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Take the deletion of a cube back, until its purge time; return its header.

        Raises:
            MemosError: NotFound, AlreadyExists (not deleted, or its content is held by another cube), EtagMismatch,
                Unavailable.
        """
        request = pb.UndeleteMemoryRequest(name=self._name("cubes", name), etag=etag, request_id=request_id)
        answer: pb.UndeleteMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def revisions(self, name: str, *, page_size: int = 0) -> AsyncGenerator[Cube, None]:
        """Yield the headers (without text) of a cube's revisions, newest first, page after page.

        Raises:
            MemosError: NotFound.
        """
        request = pb.ListMemoryRevisionsRequest(name=self._name("cubes", name), page_size=page_size)
        async for cube in pages(self, request, "revisions"):
            yield Cube(cube)

    async def diff(
        self, name: str, *, from_revision: int = 0, to_revision: int = 0, timeout: float | None = None
    ) -> Difference:
        """Return two revisions of a cube and what differs; without numbers the newest and the one in front of it.

        Raises:
            MemosError: NotFound (the cube, a revision).
        """
        request = pb.DiffMemoryRevisionsRequest(
            name=self._name("cubes", name), from_revision=from_revision, to_revision=to_revision
        )
        return Difference.from_proto(await self.call(request, timeout=timeout))

    async def watch(
        self, vault: str, *, resume_token: str = "", full: bool = False
    ) -> AsyncGenerator[memory_service_pb2.WatchMemoriesResponse, None]:
        """Yield what changes in a vault, in order; `full` brings the texts. It goes on until you stop.

        Each answer has a token: give the last one as `resume_token` to go on behind it, at most 7 days later.
        Without one it begins now, and the first answer, which comes at once, has a token alone; then list the vault.
        Answers without changes come every 20 seconds.

        Raises:
            MemosError: NotFound (the vault), PreconditionFailed (the token is too old), RequestError, Unavailable.
        """
        view = memcube_pb2.CUBE_VIEW_FULL if full else memcube_pb2.CUBE_VIEW_BASIC
        request = pb.WatchMemoriesRequest(vault=self._name("vaults", vault), resume_token=resume_token, view=view)
        async for answer in self.stream(request):
            yield answer

    async def rollback(
        self, name: str, revision: int, *, etag: str = "", request_id: str = "", timeout: float | None = None
    ) -> Cube:
        """Give a cube the text and the fields of an older revision, as a new revision.

        Raises:
            MemosError: NotFound (the cube, the revision), EtagMismatch, PreconditionFailed (a frozen cube),
                DuplicateContent, Unavailable.
        """
        request = pb.RollbackMemoryRequest(
            name=self._name("cubes", name), revision=revision, etag=etag, request_id=request_id
        )
        answer: pb.RollbackMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def freeze(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Forbid changes to a cube until it is unfrozen; it is still found and used. Return its header.

        Raises:
            MemosError: NotFound, EtagMismatch, PreconditionFailed (expired, stale or frozen already), Unavailable.
        """
        request = pb.FreezeMemoryRequest(name=self._name("cubes", name), etag=etag, request_id=request_id)
        answer: pb.FreezeMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def unfreeze(self, name: str, *, etag: str = "", request_id: str = "", timeout: float | None = None) -> Cube:
        """Allow changes to a frozen cube again; return its header.

        Raises:
            MemosError: NotFound, EtagMismatch, PreconditionFailed (not frozen), Unavailable.
        """
        request = pb.UnfreezeMemoryRequest(name=self._name("cubes", name), etag=etag, request_id=request_id)
        answer: pb.UnfreezeMemoryResponse = await self.call(request, timeout=timeout)
        return Cube(answer.cube)

    async def search(
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
        check_words(query=query, time_zone=time_zone)
        request = pb.SearchMemoriesRequest(
            vaults=self._vaults(vaults),
            query=query,
            top_k=top_k,
            filter=_filter(filter),
            as_of=timestamp(as_of),
            ranking=pb.Ranking(without=listed("without", without), token_budget=token_budget),
            paths=paths,
            time_zone=time_zone,
        )
        return SearchAnswer.from_proto(await self.call(request, timeout=timeout))

    async def provenance(self, name: str, *, depth: int = 0, timeout: float | None = None) -> provenance_pb2.Provenance:
        """Return the graph around a cube, an answer or a plan. A short name is that of a cube.

        Raises:
            MemosError: NotFound, RequestError.
        """
        request = pb.GetProvenanceRequest(name=self._name("cubes", name), depth=depth)
        answer: pb.GetProvenanceResponse = await self.call(request, timeout=timeout)
        return answer.provenance


def _check_items(items: Sequence[str | Message]) -> None:
    if isinstance(items, str | Message):
        raise TypeError(f"items is one {type(items).__name__}; give a list")
    for index, item in enumerate(items):
        if not isinstance(item, str | Message):
            raise TypeError(f"items[{index}] is a {type(item).__name__}; give a string or a Message")


def _filter(value: Filter | None) -> pb.CubeFilter | None:
    return value.to_proto() if value is not None else None


_sort = semantic_type
