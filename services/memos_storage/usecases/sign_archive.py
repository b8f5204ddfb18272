"""Sign what is said about an archive."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from memos_kernel.errors import InvalidField
from memos_storage.domain.archives import FORM
from memos_storage.ports import Signer


@dataclass(frozen=True, slots=True)
class SignArchive:
    """Signs with the key of the installation, and only statements of this kind."""

    signer: Callable[[], Signer]

    def __call__(self, statement: bytes) -> tuple[bytes, bytes]:
        """Return the signature and the public key.

        Raises:
            InvalidField: it is no such statement.
        """
        try:
            form = json.loads(statement)["form"]
        except (ValueError, TypeError, KeyError):
            form = None
        if not isinstance(form, str) or not form.startswith(FORM):
            raise InvalidField(f"statement is no JSON object whose form begins with {FORM}.", field="statement")
        signer = self.signer()
        return signer.sign(statement), signer.public_key
