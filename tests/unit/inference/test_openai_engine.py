"""A model on another server: what it is asked, what its answers and its errors mean here."""

import asyncio
import http.server
import json
import logging
import threading
from contextlib import aclosing

import pytest

from memos_inference.adapters.openai_engine import OpenAICompatibleEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Delta, Ended, FinishReason, Prompt, Role, Sampling, Turn
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.errors import ContextExceeded, DependencyUnavailable, FormUnsupported, InvalidField, Overloaded
from memos_kernel.names import CubeName, VaultName

MEMORY = MemCube(
    name=CubeName("t", "c"),
    vault=VaultName("t", "v"),
    kind=Kind.PLAINTEXT,
    payload=Plaintext("The violin of Marta is in the cellar."),
)
PROMPT = Prompt((Turn(Role.USER, "Where is the violin of Marta?"),), (MEMORY,))
KEY = "sk-a-secret-key"


def engine_at(url, **fields):
    given = {
        "url": url,
        "key": KEY,
        "model": "some-model",
        "context_length": 1_000,
        "memories_read_well": 8,
        "seconds": 5.0,
        "max_running": 2,
        "max_waiting": 1,
    }
    engine = OpenAICompatibleEngine(**{**given, **fields})
    engine.start()
    return engine


async def said(engine, sampling=None):
    *pieces, end = [event async for event in engine.generate(PROMPT, sampling or Sampling(max_tokens=24))]
    assert all(isinstance(piece, Delta) for piece in pieces)
    return "".join(piece.text for piece in pieces), end


class Server:
    """Answers with what it is told to, and keeps what it was asked."""

    def __init__(self):
        self.status, self.headers, self.body, self.asked = 200, {}, b"", []
        self.hold = threading.Event()
        self.hold.set()
        self.left = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                outer.key = self.headers["Authorization"]
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(outer.body)
                    self.wfile.flush()
                    while not outer.hold.wait(0.05):
                        self.wfile.write(b": still here\n\n")
                        self.wfile.flush()
                except OSError:
                    outer.left.set()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def say(self, *chunks, done=True):
        self.headers = {"Content-Type": "text/event-stream"}
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self.body = "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()

    def refuse(self, status, message, **headers):
        self.status = status
        self.headers = {"Content-Type": "application/json", **headers}
        self.body = json.dumps({"error": {"message": message, "code": None}}).encode()


def chunk(text=None, finish=None, usage=None):
    choices = [{"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}]
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [] if usage else choices,
        **({"usage": usage} if usage else {}),
    }


@pytest.fixture
def server():
    made = Server()
    yield made
    made.hold.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
async def engine(server):
    made = engine_at(server.url)
    yield made
    await made.close()


USAGE = {"prompt_tokens": 31, "completion_tokens": 2, "total_tokens": 33}


async def test_the_server_is_told_the_prompt_and_its_pieces_come_as_they_are(server, engine):
    server.say(chunk("In "), chunk(""), chunk("the cellar."), chunk(finish="stop"), chunk(usage=USAGE))
    text, end = await said(engine, Sampling(max_tokens=7, temperature=0.5))
    assert text == "In the cellar."
    assert (end.finish_reason, end.prompt_tokens, end.completion_tokens) == (FinishReason.STOP, 31, 2)
    (asked,) = server.asked
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("some-model", 7, 0.5)
    assert [turn["role"] for turn in asked["messages"]] == ["system", "user"]
    assert "The violin of Marta is in the cellar." in asked["messages"][0]["content"]
    assert server.key == f"Bearer {KEY}"


async def test_without_counts_of_the_server_tokens_are_estimated(server, engine):
    server.say(chunk("abc"), chunk(finish="length"))
    _, end = await said(engine)
    assert (end.finish_reason, end.completion_tokens) == (FinishReason.LENGTH, 1)
    assert end.prompt_tokens > 20


@pytest.mark.parametrize(
    ("status", "message", "error", "field"),
    [
        (400, "This model's maximum context length is 10 tokens.", ContextExceeded, None),
        (400, "roles must alternate", InvalidField, "turns"),
        (401, "no such key", DependencyUnavailable, None),
        (404, "no such model", DependencyUnavailable, None),
        (429, "slow down", Overloaded, None),
        (500, "oh", DependencyUnavailable, None),
        (503, "loading", DependencyUnavailable, None),
    ],
)
async def test_errors_of_the_server_are_typed_and_tell_no_key(server, engine, caplog, status, message, error, field):
    server.refuse(status, message, **{"retry-after-ms": "1"})
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        await said(engine)
    assert caught.value.metadata.get("field") == field
    assert KEY not in f"{caught.value} {caught.value.metadata} {caplog.text}"
    assert "Marta" not in caplog.text
    assert engine.healthy is (status in (400, 429))


async def test_an_answer_gets_the_room_that_the_prompt_leaves(server):
    engine = engine_at(server.url, context_length=300)
    server.say(chunk("In "), chunk(finish="length"))
    await said(engine, Sampling(max_tokens=1_000))
    (asked,) = server.asked
    assert 16 <= asked["max_tokens"] < 300
    with pytest.raises(ContextExceeded):
        await anext(engine.generate(Prompt((Turn(Role.USER, "long " * 300),)), Sampling()))
    assert len(server.asked) == 1
    await engine.close()


async def test_the_server_says_when_to_come_again(server, engine):
    server.refuse(429, "slow down", **{"retry-after-ms": "1", "retry-after": "7"})
    with pytest.raises(Overloaded) as caught:
        await said(engine)
    assert caught.value.retry_after == 7


async def test_counts_that_are_none_are_estimated(server, engine):
    server.say(chunk("abc"), chunk(finish="stop"), chunk(usage={"prompt_tokens": "many"}))
    _, end = await said(engine)
    assert (end.completion_tokens, end.prompt_tokens > 20) == (1, True)


@pytest.mark.parametrize("body", [b"", b"data: {\n\n", b"<html>", b'data: {"choices": 3}\n\n'])
async def test_rubbish_is_an_error_and_not_an_answer(server, engine, body):
    server.say()
    server.body = body
    with pytest.raises(DependencyUnavailable):
        await said(engine)


async def test_an_answer_that_breaks_off_is_an_error(server, engine):
    server.say(chunk("In the"), done=False)
    with pytest.raises(DependencyUnavailable, match="broke off"):
        await said(engine)


async def test_nobody_there_is_an_error(caplog):
    engine = engine_at("http://127.0.0.1:9/v1")
    with pytest.raises(DependencyUnavailable):
        await said(engine)
    assert not engine.healthy
    await engine.close()


async def test_who_leaves_closes_the_connection(server, engine):
    server.say(chunk("In "), done=False)
    server.hold.clear()
    async with aclosing(engine.generate(PROMPT, Sampling())) as events:
        assert (await anext(events)).text == "In "
    assert await asyncio.to_thread(server.left.wait, 10)


async def test_so_many_answers_go_on_and_so_many_wait(server, engine):
    server.say(chunk("In "), done=False)
    server.hold.clear()
    running = [engine.generate(PROMPT, Sampling()) for _ in range(2)]
    for events in running:
        await anext(events)
    waiting = asyncio.ensure_future(anext(engine.generate(PROMPT, Sampling())))
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await anext(engine.generate(PROMPT, Sampling()))
    for events in running:
        await events.aclose()
    assert (await waiting).text == "In "


async def test_no_cache_and_no_adapter_is_taken_and_it_says_what_is(engine, tmp_path):
    for refused in (
        engine.encode([MEMORY], tmp_path / "x"),
        engine.open_cache(tmp_path / "x", MEMORY),
        engine.open_adapter(tmp_path / "x", MEMORY),
        anext(engine.train([MEMORY], tmp_path, identity=(await engine.describe()).identity)),
    ):
        with pytest.raises(FormUnsupported, match="text only"):
            await refused


async def test_tokens_are_estimated(engine):
    assert await engine.count_tokens(["", "abcdef", "日本"]) == [0, 2, 2]


async def test_no_answer_is_no_token_but_an_end(server, engine):
    server.say(chunk(finish="stop"), chunk(usage=USAGE))
    text, end = await said(engine)
    assert (text, isinstance(end, Ended)) == ("", True)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"openai_url": "vllm:8000"},
        {"openai_url": "http://user:secret@vllm/v1", "model": "m"},
        {"openai_url": "http://v/v1"},
    ],
)
def test_a_server_needs_an_address_and_a_model(given):
    with pytest.raises(ValueError, match="with engine openai") as caught:
        InferenceConfig(engine="openai", **given)
    assert "secret" not in str(caught.value)
