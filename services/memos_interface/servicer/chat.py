"""ChatService: convert, call the use case, convert."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memos_api.v1 import chat_service_pb2 as pb
from memos_api.v1 import chat_service_pb2_grpc as pb_grpc
from memos_interface.domain.chat import ChatEvent, ChatQuestion, Delta, Plan
from memos_interface.servicer.convert import messages_from_proto, vaults_from_proto
from memos_interface.usecases.chat import Chat
from memos_interface.wire.chat import plan_to_proto
from memos_interface.wire.search import filter_from_proto
from memos_kernel.forms import MemoryForm
from memos_kernel.names import VaultName
from memos_runtime.context import current_principal, current_request_key
from memos_wire.cubes import enum_from_proto


class ChatServicer(pb_grpc.ChatServiceServicer):
    """Talks with the model, with the memory loop around it."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def Chat(self, request: pb.ChatRequest, context: object) -> AsyncGenerator[pb.ChatResponse, None]:
        """Stream one answer."""
        events = self._chat(_question(request), caller=current_principal(), key=current_request_key())
        async with aclosing(events):
            async for event in events:
                yield _event(event)


def _question(request: pb.ChatRequest) -> ChatQuestion:
    return ChatQuestion(
        messages=messages_from_proto(request.messages),
        vaults=vaults_from_proto(request.vaults),
        remember_in=VaultName.parse(request.remember_in, field="remember_in") if request.remember_in else None,
        session=request.session,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        memory_token_budget=request.memory_token_budget,
        filter=filter_from_proto(request.filter) if request.HasField("filter") else None,
        form=enum_from_proto(MemoryForm, request.form, field="form"),
        time_zone=request.time_zone,
    )


def _event(event: ChatEvent) -> pb.ChatResponse:
    if isinstance(event, Plan):
        return pb.ChatResponse(plan=plan_to_proto(event))
    if isinstance(event, Delta):
        return pb.ChatResponse(delta=pb.ChatDelta(text=event.text))
    return pb.ChatResponse(
        end=pb.ChatEnd(
            answer=event.answer,
            text=event.text,
            finish_reason=event.generation.finish_reason,
            prompt_tokens=event.generation.prompt_tokens,
            completion_tokens=event.generation.completion_tokens,
            recorded=event.recorded,
            timings_ms=event.timings_ms,
            model=event.generation.model,
            cached_tokens=event.generation.cached_tokens,
            approximate_tokens=event.generation.approximate_tokens,
            refusals=[
                pb.CacheRefusal(cube=one.cube, reason=one.reason, message=one.message)
                for one in event.generation.refusals
            ],
        )
    )
