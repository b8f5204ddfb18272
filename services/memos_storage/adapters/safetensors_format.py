"""The safetensors format, as its own library reads it."""

import tempfile

from safetensors import SafetensorError, safe_open

from memos_kernel import limits
from memos_kernel.errors import InvalidField

_FIELD = "chunk.data"
_FIRST = 8
"""Bytes of the number that tells the length of the header, little endian."""


class SafetensorsFormat:
    """Implements `ports.BlobFormat`."""

    def head_bytes(self, first: bytes) -> int:
        """Return how many bytes the header takes, with the number of its length.

        Raises:
            InvalidField: longer than any header can be.
        """
        length = int.from_bytes(first[:_FIRST], "little")
        if not 0 < length <= limits.BLOB_HEADER_BYTES:
            raise InvalidField(
                f"This is no safetensors file: its header would have {length} bytes; 1 to {limits.BLOB_HEADER_BYTES}"
                " are possible.",
                field=_FIELD,
            )
        return _FIRST + length

    def check(self, head: bytes, size_bytes: int) -> None:
        """Let the library read the header, over a file of the size that has nothing behind it and takes no room.

        Raises:
            InvalidField: the library refuses it.
        """
        with tempfile.NamedTemporaryFile(prefix="memos-") as file:
            file.write(head)
            file.flush()
            file.truncate(size_bytes)
            try:
                with safe_open(file.name, framework="np"):
                    pass
            except SafetensorError as error:
                raise InvalidField(f"This is no safetensors file: {error}.", field=_FIELD) from error
