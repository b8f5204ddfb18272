"""The suite of grafomem, from outside, against a running system: all that the adapter claims passes."""

import asyncio
import json

from grafomem_run import run

CLAIMED = {
    "audit",
    "supersession_chain",
    "bi_temporal",
    "hard_delete",
    "multi_tenant",
    "provenance",
    "point_lookup",
}


async def test_every_capability_that_is_claimed_passes(tmp_path):
    report = tmp_path / "report.json"
    suite = await asyncio.to_thread(run, tmp_path, report, seeds=1, quiet=True)
    assert suite.returncode == 0, suite.stdout + suite.stderr
    verdicts = json.loads(report.read_text())["capability_verdicts"]
    passed = {verdict["capability"]: verdict["passed"] for verdict in verdicts}
    assert passed == dict.fromkeys(CLAIMED, True), suite.stdout
