import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from memos_runtime import process
from memos_runtime.process import ChildProcess

SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


async def eventually(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture
async def child(tmp_path):
    made = ChildProcess("sleeper", SLEEP, log_file=tmp_path / "log")
    yield made
    await made.stop(grace=1)


async def test_a_child_runs_until_it_is_stopped(child, tmp_path):
    await child.start()
    await eventually(lambda: (tmp_path / "log").read_text() == "up\n")
    assert child.running
    await child.stop()
    await child.stop()
    assert not child.running


async def test_a_child_that_dies_is_started_again(child, monkeypatch, caplog):
    monkeypatch.setattr(process, "_PAUSE_MIN", 0.01)
    await child.start()
    first = child.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: child.restarts == 1 and child.running)
    assert child.pid != first
    assert "sleeper ended with code -9" in caplog.text


async def test_a_child_that_does_not_listen_is_killed(tmp_path):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = ChildProcess("deaf", (sys.executable, "-c", deaf), log_file=tmp_path / "log")
    await child.start()
    await eventually(lambda: (tmp_path / "log").read_text())
    await child.stop(grace=0.1)
    assert not child.running


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
async def test_a_child_does_not_outlive_an_owner_that_is_killed(tmp_path):
    owner = textwrap.dedent(
        f"""
        import asyncio, pathlib
        from memos_runtime.process import ChildProcess

        async def main():
            child = ChildProcess("sleeper", {SLEEP!r}, log_file=pathlib.Path({str(tmp_path / "log")!r}))
            await child.start()
            print(child.pid, flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", owner)
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    pid = int(await running.stdout.readline())
    await eventually(lambda: (tmp_path / "log").read_text())
    running.kill()
    await running.wait()
    await eventually(lambda: not alive(pid))
