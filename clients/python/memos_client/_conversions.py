"""Memories in other forms."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import Iterable

from memos_api.v1 import conversion_service_pb2 as pb
from memos_api.v1 import job_pb2
from memos_client._base import Calls


class ConversionCalls(Calls):
    """ConversionService."""

    async def build_activation(
        self, vault: str, names: Iterable[str], *, request_id: str = "", timeout: float | None = None
    ) -> job_pb2.Job:
        """Have the model read memories once, and keep what that gives as a KV cache; a job that can be watched.

        Its result names the `cube`. Chats about these memories begin with the cache, see `form` of `chat`.

        Args:
            vault: where the memories are, and the cube will be.
            names: 1 to 100 memories.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound (the vault), RequestError (no memory, or too many).
        """
        request = pb.BuildActivationRequest(
            vault=self._name("vaults", vault),
            names=self._cubes(names),
            request_id=request_id,
        )
        answer: pb.BuildActivationResponse = await self.call(request, timeout=timeout)
        return answer.job

    async def train_adapter(
        self, vault: str, names: Iterable[str], *, request_id: str = "", timeout: float | None = None
    ) -> job_pb2.Job:
        """Train a LoRA adapter on memories, so that the model knows them without being told; a job that can be watched.

        Its result names the `cube`, how many `facts` were found, in how many memories none was (`unread`), and the
        marks of the exam. Chats with `form="lora"` use it.

        Args:
            vault: where the memories are, and the cube will be.
            names: 1 to 100 memories.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound (the vault), RequestError (no memory, or too many).
        """
        request = pb.TrainAdapterRequest(
            vault=self._name("vaults", vault),
            names=self._cubes(names),
            request_id=request_id,
        )
        answer: pb.TrainAdapterResponse = await self.call(request, timeout=timeout)
        return answer.job

    async def recover_text(
        self, vault: str, name: str, *, request_id: str = "", timeout: float | None = None
    ) -> job_pb2.Job:
        """Write down as text what a KV cache or an adapter holds; a job that can be watched.

        Its result tells how many `texts` there are, how many of them are `new`, and the least `confidence`: of an
        adapter the share of phrasings of a question that got the same answer.

        Args:
            vault: where the cube is, and the memories will be.
            name: a KV cache or an adapter.
            request_id: makes the call idempotent; made for each call if empty.
            timeout: seconds for the call; None takes that of the client.

        Raises:
            MemosError: NotFound (the vault), RequestError (no name).
        """
        request = pb.RecoverTextRequest(
            vault=self._name("vaults", vault), name=self._name("cubes", name), request_id=request_id
        )
        answer: pb.RecoverTextResponse = await self.call(request, timeout=timeout)
        return answer.job
