"""Measure calls a second, latency and processor time of a thin call, an add and a search; print JSON.

    make bench-rpc                       everything, about ten minutes
    make bench-rpc ARGS="--seconds 2"    shorter
    make bench-rpc ARGS=--profile        where the time of a thin call goes, by package, in six processes

A thin call is an authenticated GetVault: it goes through every interceptor of the public port and of the internal one
of governance. One client process asks, with 1 to 64 calls under way. Calls a core are calls divided by the processor
time of all server processes, which does not depend on what the client takes. The baseline, in the same run, is a bare
server of grpc.aio on uvloop that answers the same message without an interceptor, after one hop (`bare`), and after a
second one over a Unix socket in the same process (`bare_two_hops`), as `memosctl up` takes it.
"""

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import uvloop
from corpus import queries, texts
from measure import cpu_seconds
from profile_rpc import sampled

from collector import collecting
from deployment import Caller, Deployment, free_port
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import governance_service_pb2_grpc as governance_grpc
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import vault_pb2 as vaults

VAULT = "tenants/local/vaults/main"
CONCURRENCY = (1, 4, 16, 64)
STORED = 2_000
WARM_SECONDS = 1.0

Ask = Callable[[int], Awaitable[object]]
Processes = Mapping[str, int]


class Bare(governance_grpc.GovernanceServiceServicer):
    """Answers at once."""

    async def GetVault(self, request, context):
        return governance.GetVaultResponse(vault=vaults.Vault(name=request.name))


class Forwarding(governance_grpc.GovernanceServiceServicer):
    """Asks another one."""

    def __init__(self, address: str) -> None:
        self._stub = governance_grpc.GovernanceServiceStub(grpc.aio.insecure_channel(address))

    async def GetVault(self, request, context):
        return await self._stub.GetVault(request, timeout=10)


async def serve_bare(address: str, *, hops: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        behind = f"unix:{folder}/socket"
        pairs = [(Bare(), address)] if hops == 1 else [(Bare(), behind), (Forwarding(behind), address)]
        servers = [grpc.aio.server() for _ in pairs]
        for server, (servicer, place) in zip(servers, pairs, strict=True):
            governance_grpc.add_GovernanceServiceServicer_to_server(servicer, server)
            server.add_insecure_port(place)
            await server.start()
        await servers[-1].wait_for_termination()


@contextmanager
def bare(hops: int) -> Iterator[tuple[str, int]]:
    """Run the baseline; yield its address and process."""
    address = f"127.0.0.1:{free_port()}"
    running = subprocess.Popen([sys.executable, __file__, "--bare", address, "--hops", str(hops)])
    try:
        yield address, running.pid
    finally:
        running.terminate()
        running.wait()


async def load(ask: Ask, processes: Processes, *, concurrency: int, seconds: float) -> dict[str, object]:
    """Ask without a pause, with so many calls under way, and sum up."""
    taken: list[float] = []
    number = 0

    async def worker(end: float, kept: list[float]) -> None:
        nonlocal number
        while (begin := time.perf_counter()) < end:
            number += 1
            await ask(number)
            kept.append(time.perf_counter() - begin)

    for length, kept in ((WARM_SECONDS, []), (seconds, taken)):
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        begin = time.perf_counter()
        await asyncio.gather(*(worker(begin + length, kept) for _ in range(concurrency)))
        passed = time.perf_counter() - begin
    used = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    ordered = sorted(taken)
    quantiles = {
        f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1e3 for share in (50, 95, 99)
    }
    return {
        "concurrency": concurrency,
        "calls": len(ordered),
        "calls_per_second": round(len(ordered) / passed, 1),
        **{name: round(value, 2) for name, value in quantiles.items()},
        "calls_per_core": round(len(ordered) / max(sum(used.values()), 0.01), 1),
        "cpu_ms_per_call": {name: round(value * 1e3 / len(ordered), 3) for name, value in used.items()},
    }


def asks(caller: Caller, *, marker: str) -> dict[str, Ask]:
    """Return what asks once, by the name of the operation."""
    words = queries(200)

    async def thin(number: int) -> object:
        return await caller.governance.GetVault(governance.GetVaultRequest(name=VAULT))

    async def add(number: int) -> object:
        text = f"{marker} {number}: the lamp in the hall burns until {number % 12} o'clock."
        return await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, texts=[text]))

    async def search(number: int) -> object:
        query = words[number % len(words)]
        return await caller.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[VAULT], query=query))

    return {"thin": thin, "add": add, "search": search}


async def measure(
    system: Deployment, processes: Processes, operations: Mapping[str, tuple[int, ...]], *, seconds: float, marker: str
) -> dict[str, list[dict[str, object]]]:
    """Return each operation at each concurrency."""
    async with system.caller() as caller:
        if "search" in operations:
            await fill(caller)
            await system.settled(caller)
        asking = asks(caller, marker=marker)
        return {
            name: [await load(asking[name], processes, concurrency=count, seconds=seconds) for count in counts]
            for name, counts in operations.items()
        }


async def fill(caller: Caller) -> None:
    stored = texts(STORED)
    for first in range(0, len(stored), 200):
        await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, texts=stored[first : first + 200]))


def traced(collector: str, share: float) -> dict[str, str]:
    return {
        "MEMOS_TELEMETRY__OTLP_ENDPOINT": f"http://{collector}",
        "MEMOS_TELEMETRY__SAMPLE_RATIO": str(share),
    }


async def run(seconds: float, *, only: Sequence[str] | None) -> dict[str, object]:
    """Measure the baseline and every arrangement, one after the other."""
    answer: dict[str, object] = {"machine": platform.processor() or platform.machine(), "seconds": seconds}
    for name, hops in (("bare", 1), ("bare_two_hops", 2)):
        with bare(hops) as (address, pid):
            async with Caller(address, None) as caller:
                await caller.channel.channel_ready()
                thin = asks(caller, marker="bare")["thin"]
                counts = [await load(thin, {name: pid}, concurrency=count, seconds=seconds) for count in CONCURRENCY]
        answer[name] = {"thin": counts}
        tell(name, counts[-1])
    everything = {"thin": CONCURRENCY, "add": (1, 16), "search": (1, 4, 16)}
    thin_only = {"thin": (16, 64)}
    with tempfile.TemporaryDirectory() as folder, collecting() as collector:
        arrangements: dict[str, tuple[bool, bool, dict[str, str], Mapping[str, tuple[int, ...]]]] = {
            # name: six processes, TLS at the public port, settings, operations
            "one_process": (False, False, {}, everything),
            "one_process_traced_1_percent": (False, False, traced(collector.address, 0.01), thin_only),
            "one_process_traced": (False, False, traced(collector.address, 1.0), thin_only),
            "one_process_mtls": (False, True, {}, thin_only),
            "six_processes_mtls": (True, True, {}, everything),
            "six_processes_mtls_traced_1_percent": (True, True, traced(collector.address, 0.01), thin_only),
        }
        for name, (six, tls, env, operations) in arrangements.items():
            if only is not None and name not in only:
                continue
            state = Path(folder) / name
            if six:
                system = Deployment.six_processes(state, env=env)
            else:
                certificates = Path(folder) / f"{name}-certificates" if tls else None
                system = Deployment.one_process(state, env=env, certificates=certificates)
            with system:
                measured = await measure(system, system.process_ids(), operations, seconds=seconds, marker=name)
            answer[name] = measured
            tell(name, {key: rows[-1] for key, rows in measured.items()})
    return answer


async def run_profile(seconds: float) -> dict[str, object]:
    """Sample the two services that serve a thin call while 16 are under way."""
    with tempfile.TemporaryDirectory() as folder, Deployment.six_processes(Path(folder) / "profiled") as system:
        processes = {name: pid for name, pid in system.process_ids().items() if name in ("interface", "governance")}
        async with system.caller() as caller:
            thin = asks(caller, marker="profile")["thin"]
            await load(thin, processes, concurrency=16, seconds=WARM_SECONDS)
            async with sampled(processes, seconds=seconds) as shares:
                calls = await load(thin, processes, concurrency=16, seconds=seconds + 1)
    return {"calls_per_second": calls["calls_per_second"], "shares": shares}


def tell(name: str, measured: object) -> None:
    """Show how far it has come."""
    sys.stderr.write(f"{name} {json.dumps(measured)}\n")


def main() -> None:
    """Run from the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    options.add_argument("--profile", action="store_true", help="sample a thin call with py-spy, and measure nothing")
    options.add_argument("--bare", metavar="ADDRESS", help=argparse.SUPPRESS)
    options.add_argument("--hops", type=int, help=argparse.SUPPRESS)
    options.add_argument(
        "--only", nargs="+", metavar="NAME", help="measure these arrangements alone, and the baselines"
    )
    given = options.parse_args()
    if given.bare:
        uvloop.run(serve_bare(given.bare, hops=given.hops))
        return
    work = run_profile(given.seconds) if given.profile else run(given.seconds, only=given.only)
    sys.stdout.write(json.dumps(uvloop.run(work), indent=2) + "\n")


if __name__ == "__main__":
    main()
