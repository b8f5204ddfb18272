"""A server in front of a system which says, of the first call of a method, what gRPC says when a server stops."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

_LEFT_OUT = ("user-agent", "grpc-accept-encoding")


class Stopping(grpc.GenericRpcHandler):
    """Passes calls on as bytes, all but the first of a method."""

    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._channel = channel
        self._method = method
        self.met: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """See `grpc.GenericRpcHandler`."""
        path, name = details.method, details.method.rpartition("/")[2]

        async def admit(context: grpc.aio.ServicerContext) -> list[tuple[str, str]]:
            self.met[name] += 1
            if name == self._method and self.met[name] == 1:
                await context.abort(grpc.StatusCode.CANCELLED, "the server stops")
            return [pair for pair in context.invocation_metadata() if pair[0] not in _LEFT_OUT]

        async def ended(call: grpc.aio.Call, context: grpc.aio.ServicerContext) -> None:
            context.set_trailing_metadata(await call.trailing_metadata())
            context.set_code(await call.code())
            context.set_details(await call.details())

        async def unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            call = self._channel.unary_unary(path)(request, metadata=await admit(context))
            answer = b""
            try:
                answer = await call
            except grpc.aio.AioRpcError:
                await ended(call, context)
            return answer

        async def stream(request: bytes, context: grpc.aio.ServicerContext):
            async for answer in self._channel.unary_stream(path)(request, metadata=await admit(context)):
                yield answer

        if name == "Chat":
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@contextmanager
def stopping(system, method: str) -> Iterator[tuple[str, Counter[str]]]:
    """Run it in front of a system; yield its address, and how often each method was called."""
    started, over = threading.Event(), None
    found: list[tuple[str, Counter[str]]] = []

    async def run() -> None:
        nonlocal over
        over = asyncio.Event()
        async with system.caller(header=None) as caller:
            handler = Stopping(caller.channel, method)
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((handler,))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            found.append((f"127.0.0.1:{port}", handler.met))
            started.set()
            await over.wait()
            await server.stop(None)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert started.wait(30)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
