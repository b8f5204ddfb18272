"""A command line with a state directory of its own, and none of the caller's environment."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from memosctl.main import app


class CommandLine:
    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
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
