"""Lets only domain errors out of a call. What else goes wrong is logged under an id, and the id is all that is told."""

import logging
from typing import Any

from memos_kernel.errors import Fault, InternalError, MemosError
from memos_kernel.ids import uuid7
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.errors import CODES
from memos_wire.methods import Method

_LOG = logging.getLogger(__name__)


class ErrorMap:
    """Masks unknown exceptions. Cancellation is not an error, and passes."""

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""

        async def mapped(call: Call) -> Any:
            try:
                return await proceed(call)
            except Exception as error:
                if isinstance(error, MemosError) and type(error) in CODES:
                    if isinstance(error, Fault):
                        _LOG.error("%s failed: %s", method.name, error.reason, exc_info=error)
                    raise
                raise _masked(method, error) from error

        return mapped


def _masked(method: Method, error: Exception) -> InternalError:
    error_id = uuid7()
    _LOG.error("%s failed, error id %s", method.name, error_id, exc_info=error)
    return InternalError(
        f"The call failed inside the system; its log tells why under the error id {error_id}.", error_id=error_id
    )
