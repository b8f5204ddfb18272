"""Resume tokens of watches: a place in the feed of a vault, and when it was told."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_kernel.errors import PageTokenMismatch
from memos_kernel.ids import Clock
from memos_kernel.moments import micros, moment
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.feed import Place
from memos_storage.servicer.calls import Pages

_METHOD = "/memos.internal.v1.StorageService/ListMemCubeChanges"


@dataclass(frozen=True, slots=True)
class Feeds:
    """Seals places so that they fit one vault and one caller."""

    pages: Pages
    clock: Clock

    def open(
        self, vault: VaultName, token: str, grant: Grant
    ) -> tuple[Place | None, datetime | None, Callable[[Place], str]]:
        """Return the place of a token and when it was told, and what seals the next place.

        Raises:
            PageTokenMismatch: the token is of another vault or caller.
        """
        bound = pb.ListMemCubeChangesRequest(vault=str(vault))
        try:
            page = self.pages.of(_METHOD, bound, token, grant)
        except PageTokenMismatch:
            raise PageTokenMismatch(
                "resume_token is not of this vault and caller; watch anew without it.", field="resume_token"
            ) from None
        told = micros(self.clock.now())

        def seal(place: Place) -> str:
            return page.seal({"transaction": place.transaction, "sequence": place.sequence, "told": told})

        if not page.cursor:
            return None, None, seal
        cursor = {name: int(value) for name, value in page.cursor.items()}
        return Place(cursor["transaction"], cursor["sequence"]), moment(cursor["told"]), seal
