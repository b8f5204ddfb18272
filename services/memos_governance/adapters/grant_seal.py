"""Governance's Ed25519 signature."""

from dataclasses import replace

from memos_kernel.ids import Clock
from memos_kernel.permission import Grant
from memos_wire.grants import GrantSigner


class Ed25519GrantSeal:
    """GrantSeal with the private key that governance alone holds."""

    def __init__(self, signer: GrantSigner, *, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    def seal(self, grant: Grant) -> Grant:
        """See the port."""
        return replace(grant, token=self._signer.sign(grant, clock=self._clock).SerializeToString())
