"""Pages of a list: one row more is read than shown, to know whether there is a next page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from memos_api.v1 import governance_service_pb2 as public
from memos_kernel.names import PrincipalName
from memos_runtime.paging import PageTokens, page_size, request_hash

T = TypeVar("T")

ListRequest = (
    public.ListApiKeysRequest | public.ListVaultsRequest | public.ListVaultPermissionsRequest | public.QueryAuditRequest
)

_CURSOR = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a list request asks for.

    Attributes:
        after: cursor behind which the page begins; empty on the first page.
        limit: rows to read.
    """

    after: str
    limit: int
    _seal: Callable[[str], str] = field(repr=False)

    def cut(self, rows: Sequence[T], cursor: Callable[[T], str]) -> tuple[Sequence[T], str]:
        """Return the rows to show, and the token of the next page or an empty one."""
        if len(rows) < self.limit:
            return rows, ""
        shown = rows[:-1]
        return shown, self._seal(cursor(shown[-1]))


@dataclass(frozen=True, slots=True)
class Pages:
    """Reads the page that a request asks for. A token fits only the same call of the same principal."""

    tokens: PageTokens

    def of(self, request: ListRequest, *, principal: PrincipalName) -> Page:
        """Return the page.

        Raises:
            PageTokenMismatch: the token belongs to another call.
            InvalidField, LimitExceeded: a size out of range.
        """
        binding = {
            "method": request.DESCRIPTOR.full_name,
            "principal": str(principal),
            "request_hash": request_hash(request),
        }
        cursor = self.tokens.open(request.page_token, **binding)
        return Page(
            after=str(cursor.get(_CURSOR, "")),
            limit=page_size(request.page_size) + 1,
            _seal=lambda after: self.tokens.seal({_CURSOR: after}, **binding),
        )
