"""Talking with the model."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import AsyncGenerator, Iterable, Sequence

from memos_api.v1 import chat_service_pb2 as pb
from memos_client._base import Calls
from memos_client._checks import check_words
from memos_client._filters import Filter
from memos_client._values import ChatEvent, Message, chat_event, memory_form


class ChatCalls(Calls):
    """ChatService."""

    async def chat(
        self,
        messages: str | Message | Sequence[str | Message],
        *,
        vaults: Iterable[str] = (),
        remember_in: str = "",
        session: str = "",
        max_tokens: int = 0,
        temperature: float = 0.0,
        memory_token_budget: int = 0,
        filter: Filter | None = None,
        form: str = "auto",
        time_zone: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Ask, and yield a ChatPlan, ChatDeltas and a ChatEnd. Stopping early stops the generation.

        Args:
            messages: the question, or the conversation with the question last. A string is the user's.
            vaults: where to recall from; empty means every vault that the key may read.
            remember_in: vault to store this turn in; empty stores nothing.
            session: conversation of the stored turn.
            max_tokens: most tokens to generate; 0 means 256.
            temperature: 0 is greedy.
            memory_token_budget: most tokens of memory in the prompt; 0 means what the model reads well.
            filter: conditions on the memories.
            form: how memories reach the model: `text`; `kv`, a KV cache if there is one, with all memories in it; or
                `auto`, a KV cache where it holds nothing but what was found, so that the prompt stays the same.
            time_zone: in which the question's times are meant, as in `search`.
            request_id: makes storing the turn idempotent; made for each call if empty.
            timeout: seconds for the whole answer; None takes that of the server.

        Raises:
            ValueError: an unknown form.
            TypeError: `vaults` is one string.
            MemosError: RequestError, NotFound (a vault), PreconditionFailed (the prompt is too long), Unavailable.
        """
        said = [messages] if isinstance(messages, str | Message) else messages
        check_words(messages=said, session=session, time_zone=time_zone)
        request = pb.ChatRequest(
            vaults=self._vaults(vaults),
            messages=[(Message(text=item) if isinstance(item, str) else item).to_proto() for item in said],
            remember_in=self._name("vaults", remember_in),
            session=session,
            max_tokens=max_tokens,
            temperature=temperature,
            memory_token_budget=memory_token_budget,
            filter=filter.to_proto() if filter is not None else None,
            form=memory_form(form),
            time_zone=time_zone,
            request_id=request_id,
        )
        async for answer in self.stream(request, timeout=timeout):
            yield chat_event(answer)
