"""The shape of an interceptor."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from memos_runtime.context import Call
from memos_wire.methods import Method

Proceed = Callable[[Call], Awaitable[Any]]
"""The rest of the chain. A unary call returns its answer; a stream writes its items and returns None."""


class Interceptor(Protocol):
    """One idea around every call. It fails a call by raising a domain error."""

    def wrap(self, method: Method, proceed: Proceed, /) -> Proceed:
        """Return `proceed` with this around it. Called once a method: look things up here, not in the call."""
        ...
