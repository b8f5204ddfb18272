"""Files that are of use for a while only."""

import os
from datetime import timedelta

from memos_inference.adapters.old_files import OldFiles


async def test_what_nobody_has_written_to_for_a_while_goes(tmp_path, clock):
    files = OldFiles(tmp_path / "made", keep=timedelta(minutes=10), clock=clock)
    await files.start()
    now = clock.now().timestamp()
    for name, minutes in (("new", 1), ("old", 9), ("older", 100)):
        path = tmp_path / "made" / name
        path.touch()
        os.utime(path, (now, now - 60 * minutes))
    await files.sweep()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["new"]
    await files.close()
