"""The audit trail of reads: durable within a second, once, and what is lost is counted."""

import asyncio

import pytest

from memos_interface.adapters.audit_buffer import AuditBuffer
from memos_kernel.errors import DependencyUnavailable

AWAY = DependencyUnavailable("away", dependency="governance")


@pytest.fixture
def lost():
    return []


@pytest.fixture
def buffer(desk, lost):
    return AuditBuffer(
        desk.audit,
        clock=desk.clock,
        new_id=desk.new_id,
        trace_id=lambda: "a" * 32,
        count_lost=lost.append,
        interval=0.01,
        capacity=1_500,
    )


async def test_events_are_written_in_the_background(desk, buffer, monkeypatch):
    written = asyncio.Event()
    append = desk.audit.append

    async def tell(events):
        await append(events)
        written.set()

    monkeypatch.setattr(desk.audit, "append", tell)
    await buffer.start()
    buffer.note(desk.caller.name, "cube.read", ["tenants/t/cubes/a", "tenants/t/cubes/b"])
    await asyncio.wait_for(written.wait(), timeout=1)
    await buffer.close()
    events = list(desk.audit.events.values())
    assert [event.resource for event in events] == ["tenants/t/cubes/a", "tenants/t/cubes/b"]
    assert {(event.action, event.principal, event.trace_id) for event in events} == {
        ("cube.read", desk.caller.name, "a" * 32)
    }


async def test_closing_writes_what_waits(desk, buffer, lost):
    buffer.note(desk.caller.name, "cube.read", (f"tenants/t/cubes/{number}" for number in range(1_200)))
    await buffer.close()
    await buffer.close()
    assert len(desk.audit.events) == 1_200
    assert lost == []


async def test_events_wait_while_the_ledger_is_away(desk, buffer, lost):
    desk.audit.failure = AWAY
    buffer.note(desk.caller.name, "cube.read", ["tenants/t/cubes/a"])
    await buffer.flush()
    assert not buffer.healthy
    desk.audit.failure = None
    await buffer.flush()
    assert buffer.healthy
    assert len(desk.audit.events) == 1
    assert lost == []


async def test_what_does_not_fit_is_lost_and_counted(desk, buffer, lost):
    desk.audit.failure = AWAY
    buffer.note(desk.caller.name, "cube.read", (f"tenants/t/cubes/{number}" for number in range(1_502)))
    assert sum(lost) == 2
    await buffer.close()
    assert sum(lost) == 1_502


async def test_the_log_tells_the_sum_of_what_was_lost_and_not_more_than_once_a_minute(desk, buffer, lost, caplog):
    def told():
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    async def lose(count):
        buffer.note(desk.caller.name, "cube.read", (f"tenants/t/cubes/{number}" for number in range(count)))
        await asyncio.sleep(0.05)  # some rounds of the writer

    desk.audit.failure = AWAY
    await lose(1_500)
    await buffer.start()
    await lose(3)
    await lose(2)
    assert told() == ["audit events lost: 3"]
    desk.clock.pass_(60)
    await lose(1)
    assert told() == ["audit events lost: 3", "audit events lost: 3"]
    assert sum(lost) == 6
    await buffer.close()
    assert told()[2:] == ["audit events lost: 1500"]


async def test_an_event_that_is_sent_twice_is_one(desk, buffer, monkeypatch):
    append = desk.audit.append

    async def answer_is_lost(events):
        await append(events)
        raise AWAY

    buffer.note(desk.caller.name, "cube.read", ["tenants/t/cubes/a"])
    with monkeypatch.context() as patch:
        patch.setattr(desk.audit, "append", answer_is_lost)
        await buffer.flush()
    await buffer.flush()
    assert len(desk.audit.events) == 1
