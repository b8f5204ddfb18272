"""What happens to the pods of a cluster, and to which of them."""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployment import SERVICES
from kube.cluster import Cluster
from kube.trial import overlay

READY_SECONDS = 300.0
EVERY_SECONDS = 30.0
CUT_SECONDS = 20.0
"""Longer than a caller waits for an acknowledgement, so connections are given up, and made anew afterwards."""
FIRST_HALF, SECOND_HALF = 0.2, 0.75
"""Shares of the time after which one pod of each service is upgraded, and after which the others are."""


@dataclass
class Fault:
    """What happened to a pod.

    Attributes:
        kind: of what happened.
        pod: name of the pod.
        upgraded: how many pods of all services ran the new release before.
        at: when it began, in seconds.
        ready: when the pod, or the one in its place, was ready again.
        normal: when calls were as before.
    """

    kind: str
    pod: str
    upgraded: int
    at: float
    ready: float = 0.0
    normal: float | None = None


def kill(cluster: Cluster, pod: str) -> None:
    """End the process."""
    cluster.kill(pod)
    cluster.wait_ready(READY_SECONDS, only=[pod])


def drain(cluster: Cluster, pod: str) -> None:
    """Replace the pod."""
    cluster.replace_pod(pod, seconds=READY_SECONDS)


def cut(cluster: Cluster, pod: str) -> None:
    """Take the network away for a while."""
    cluster.network.cut(pod)
    time.sleep(CUT_SECONDS)
    cluster.network.mend(pod)
    cluster.wait_ready(READY_SECONDS, only=[pod])


def roll(cluster: Cluster, pod: str) -> None:
    """Replace all pods of the service, one after the other."""
    for each in cluster.of(cluster.pods[pod].workload.name):
        cluster.replace_pod(each.name, seconds=READY_SECONDS)


def upgrade(cluster: Cluster, pod: str) -> None:
    """Replace the pod by one of the new release."""
    cluster.roll_out(pod, seconds=READY_SECONDS)


KINDS = {"kill": kill, "drain": drain, "cut": cut, "roll": roll}


class Fire:
    """Lets things happen until a time is over, one kind after the other; each comes to every service in turn.

    With the tree of a new release, one pod of each service is upgraded early and the others late, so that for half of
    the time both releases serve side by side, and pods of the old one are also started.
    """

    def __init__(
        self, cluster: Cluster, now: Callable[[], float], *, seed: int, kinds: Sequence[str], new: Path | None
    ) -> None:
        self._cluster, self._now, self._new = cluster, now, new
        self._rng = random.Random(seed)
        services = {kind: self._rng.sample(SERVICES, len(SERVICES)) for kind in self._rng.sample(kinds, len(kinds))}
        self._order = [(kind, services[kind][turn]) for turn in range(len(SERVICES)) for kind in services]
        self.faults: list[Fault] = []

    async def burn(self, seconds: float) -> None:
        """Begin now; return when the time is over and every pod is ready."""
        begin = self._now()
        if self._new is not None:
            await self._until(begin + FIRST_HALF * seconds)
            await asyncio.to_thread(self._cluster.apply, overlay(self._new), tree=self._new)
            await self._upgrade()
            await self._until(begin + SECOND_HALF * seconds)
            await self._upgrade()
        await self._until(begin + seconds)

    def upgraded(self) -> int:
        """Return how many pods run the new release."""
        return sum(pod.tree == self._new for service in SERVICES for pod in self._cluster.of(service))

    async def _until(self, end: float) -> None:
        while self._now() < end:
            kind, service = self._order[sum(each.kind in KINDS for each in self.faults) % len(self._order)]
            pod = self._rng.choice([each.name for each in self._cluster.of(service)])
            await self._let(kind, KINDS[kind], pod)
            await asyncio.sleep(max(0.0, min(EVERY_SECONDS, end - self._now())))

    async def _upgrade(self) -> None:
        """Upgrade one pod of each service that is still of the old release."""
        for service in self._rng.sample(SERVICES, len(SERVICES)):
            old = [pod.name for pod in self._cluster.of(service) if pod.tree != self._new]
            if old:
                await self._let("upgrade", upgrade, self._rng.choice(old))

    async def _let(self, kind: str, happen: Callable[[Cluster, str], None], pod: str) -> None:
        fault = Fault(kind, pod, self.upgraded(), self._now())
        self.faults.append(fault)
        await asyncio.to_thread(happen, self._cluster, pod)
        fault.ready = self._now()
        sys.stderr.write(f"{fault.at:6.0f} s  {kind:7} {pod}: ready after {fault.ready - fault.at:.0f} s\n")
