"""A command line with a state directory of its own, and none of the caller's environment."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from interface_server import KEY, Running, serving
from memosctl.main import app


class CommandLine:
    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def memosctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name in list(os.environ):
        if name.startswith("MEMOS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("MEMOS_STATE_DIR", str(tmp_path / "state"))
    return CommandLine(tmp_path / "state")


@pytest.fixture
def server(memosctl: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Runs the interface in a thread, and has the command line call it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving()
    running = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
    monkeypatch.setenv("MEMOS_ADDRESS", running.address)
    monkeypatch.setenv("MEMOS_API_KEY", KEY)
    monkeypatch.setenv("MEMOS_TENANT", "t")
    yield running
    asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
