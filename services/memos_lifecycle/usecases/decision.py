"""What every decision about one cube has in common: read, decide, compare and set, once per request."""

from collections.abc import Callable

from memos_kernel.cube import MemCube
from memos_kernel.errors import EtagMismatch, Precondition
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_lifecycle.ports import CubeStore


async def decide(
    store: CubeStore,
    name: CubeName,
    rule: Callable[[MemCube], MemCube],
    *,
    etag: str,
    reason: str,
    request: RequestKey,
) -> MemCube:
    """Return the header as stored once `rule` has decided; the rule raises a Precondition to refuse.

    Raises:
        CubeNotFound: no such cube for the grant.
        EtagMismatch: `etag` is set and not the newest, or somebody changed the cube meanwhile.
        Precondition: from the rule.
        RequestIdReused: the request id was used with another body.
    """
    cube = await store.get(name)
    try:
        if etag and etag != cube.etag:
            raise EtagMismatch(f"{name} was changed meanwhile; read it again.", name=str(name))
        decided = rule(cube)
    except (EtagMismatch, Precondition) as refusal:
        return await _replay(store, cube, reason=reason, request=request, refusal=refusal)
    return await store.apply(decided, expected_revision=cube.revision, reason=reason, request=request)


async def _replay(
    store: CubeStore, cube: MemCube, *, reason: str, request: RequestKey, refusal: EtagMismatch | Precondition
) -> MemCube:
    """Answer a repeated request as the first time, or raise the refusal.

    After its own success a repeated request looks illegal, since the cube is there already. Storage knows
    the key and answers before it compares revisions; for an unknown key the revision before this one
    never fits, so nothing can change here.
    """
    if not request or cube.revision <= 1:
        raise refusal
    try:
        return await store.apply(cube, expected_revision=cube.revision - 1, reason=reason, request=request)
    except EtagMismatch:
        raise refusal from None
