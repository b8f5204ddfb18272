"""Puts lifecycle together."""

import grpc

from memos_api.internal.v1.lifecycle_service_pb2_grpc import add_LifecycleServiceServicer_to_server
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_lifecycle.adapters.storage_client import StorageCubeStore
from memos_lifecycle.config import LifecycleConfig
from memos_lifecycle.servicer import LifecycleServicer
from memos_lifecycle.usecases.freeze_cube import FreezeCube, UnfreezeCube
from memos_lifecycle.usecases.record_use import RecordUse
from memos_lifecycle.usecases.sweep_expired import SweepExpired
from memos_lifecycle.usecases.sweep_vault import SweepVault
from memos_lifecycle.usecases.transition_cube import TransitionCube
from memos_runtime.service import Service, ServiceContext
from memos_wire.methods import STORAGE


def build(config: LifecycleConfig, context: ServiceContext) -> Service:
    """Return the service. It keeps no state: storage is asked for everything, so it is ready at once."""
    store = StorageCubeStore(context.channels.stub(StorageServiceStub, STORAGE))
    servicer = LifecycleServicer(
        record_use=RecordUse(store=store, clock=context.clock, in_flight=config.transitions_in_flight),
        transition=TransitionCube(store=store),
        freeze=FreezeCube(store=store),
        unfreeze=UnfreezeCube(store=store),
        sweep=SweepExpired(store=store, clock=context.clock, in_flight=config.transitions_in_flight),
        sweep_vault=SweepVault(store=store, clock=context.clock, in_flight=config.transitions_in_flight),
    )

    def register(server: grpc.aio.Server) -> None:
        add_LifecycleServiceServicer_to_server(servicer, server)

    async def nothing() -> None:
        """Neither start nor close has anything to do."""

    return Service(name=context.name, register=register, start=nothing, close=nothing, ready=lambda: True)
