"""Identity of a mutation, for idempotence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes two calls the same.

    Attributes:
        request_id: the caller's id; empty asks for no idempotence.
        method: full name of the public method.
        body_sha256: hex SHA-256 of the request without its id.
    """

    request_id: str = ""
    method: str = ""
    body_sha256: str = ""

    def __bool__(self) -> bool:
        return bool(self.request_id)
