"""Idempotence of mutations: the request id is stored with the mutation, in its transaction."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from memos_governance.ports import PolicyTransaction
from memos_kernel import limits
from memos_kernel.errors import RequestIdReused
from memos_kernel.names import PrincipalName
from memos_kernel.requests import RequestKey

T = TypeVar("T")


def once(
    tx: PolicyTransaction,
    principal: PrincipalName,
    request: RequestKey,
    *,
    now: datetime,
    mutate: Callable[[], tuple[str, T]],
    replay: Callable[[str], T],
) -> T:
    """Run a mutation, or answer it again if its request id was used before.

    Args:
        tx: transaction of the mutation; the caller has checked in it that the principal may do it.
        principal: who asks.
        request: identity of the mutation; falsy asks for no idempotence.
        now: time of the mutation.
        mutate: does it and returns a text to remember, and the answer.
        replay: returns the answer for a remembered text.

    Raises:
        RequestIdReused: the id was used with another body.
    """
    if not request:
        return mutate()[1]
    forget = now - limits.REQUEST_ID_RETENTION
    stored = tx.find_request(principal, request, since=forget)
    if stored is not None:
        if stored.body_sha256 != request.body_sha256:
            raise RequestIdReused(
                "The request id was used with another body; take a new one.",
                field="request_id",
                request_id=request.request_id,
            )
        return replay(stored.result)
    result, answer = mutate()
    tx.remember_request(principal, request, result=result, create_time=now, forget=forget)
    return answer
