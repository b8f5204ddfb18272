"""What the servicers of storage read from a call beside its message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from google.protobuf.message import Message

from memos_api.internal.v1 import grant_pb2
from memos_kernel.permission import Grant
from memos_runtime.context import current_grant, current_trace
from memos_runtime.paging import Cursor, PageTokens, request_hash
from memos_storage.usecases.mutation import Mutation
from memos_wire.requests import request_key_from_proto


class Keyed(Protocol):
    """A request that carries the identity of its mutation."""

    @property
    def request_key(self) -> grant_pb2.RequestKey:
        """The identity."""
        ...


def mutation_of(request: Keyed) -> Mutation:
    """Return who changes what, once."""
    key = request_key_from_proto(request.request_key)
    return Mutation(grant=current_grant(), request=key, trace=current_trace())


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page begins, and how the token of the next one is made."""

    cursor: Mapping[str, str | int]
    seal: Callable[[Cursor], str]

    @property
    def after(self) -> tuple[datetime, str] | None:
        """The time and the id of the last one on the page before, for lists that are in this order."""
        if not self.cursor:
            return None
        return datetime.fromisoformat(str(self.cursor["time"])), str(self.cursor["uid"])

    def token(self, last: tuple[datetime, str] | None) -> str:
        """Return the token behind the time and the id of the last one on this page; empty if it is the last page."""
        return "" if last is None else self.seal({"time": last[0].isoformat(), "uid": last[1]})


@dataclass(frozen=True, slots=True)
class Pages:
    """Page tokens, bound to method, principal and request."""

    tokens: Callable[[], PageTokens]

    def of(self, method: str, request: Message, token: str, grant: Grant) -> Page:
        """Return the page that a request asks for.

        Raises:
            PageTokenMismatch: the token is of another call.
        """
        tokens = self.tokens()
        binding = {"method": method, "principal": str(grant.principal), "request_hash": request_hash(request)}
        return Page(tokens.open(token, **binding), lambda cursor: tokens.seal(cursor, **binding))
