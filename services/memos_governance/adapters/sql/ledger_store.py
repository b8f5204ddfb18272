"""Audit chains and lineage graphs in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, or_, select

from memos_governance.adapters.sql import chains
from memos_governance.adapters.sql.database import Database
from memos_governance.adapters.sql.schema import audit_entries, audit_heads, lineage_edges, lineage_nodes
from memos_governance.domain.audit import AuditEntry, AuditEvent, AuditFilter, Head, TenantEvent
from memos_governance.domain.lineage import Direction, OwnedEdge, OwnedNode
from memos_kernel.errors import ResourceNotFound
from memos_kernel.lineage import Edge, Node, NodeKind, Relation
from memos_kernel.names import PrincipalName, TenantName
from memos_runtime.sql.engine import insert_or_ignore


class SqlLedgerStore:
    """LedgerStore on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, events: Sequence[TenantEvent]) -> int:
        """See the port."""
        chained: dict[TenantName, list[AuditEvent]] = {}
        for item in events:
            chained.setdefault(item.tenant, []).append(item.event)
        # In the order of names, so that two replicas never lock two chains crosswise.
        ordered = sorted(chained.items(), key=lambda item: str(item[0]))

        def work(connection: Connection) -> int:
            return sum(chains.append(connection, tenant, theirs) for tenant, theirs in ordered)

        return await self._database.write(work)

    async def query(
        self, tenant: TenantName, wanted: AuditFilter, *, before_sequence: int | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """See the port."""
        table = audit_entries.c
        query = select(audit_entries).where(table.tenant == tenant.tenant, *_conditions(wanted))
        if before_sequence is not None:
            query = query.where(table.sequence < before_sequence)
        query = query.order_by(table.sequence.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(chains.entry_of(row) for row in rows)

    async def chains(self) -> tuple[TenantName, ...]:
        """See the port."""
        query = select(audit_heads.c.tenant).order_by(audit_heads.c.tenant)
        names = await self._database.read(lambda connection: connection.scalars(query).all())
        return tuple(TenantName(name) for name in names)

    async def head(self, tenant: TenantName) -> Head:
        """See the port."""
        return await self._database.read(lambda connection: chains.head_of(connection, tenant)) or Head()

    async def entries(self, tenant: TenantName, *, after_sequence: int, limit: int) -> tuple[AuditEntry, ...]:
        """See the port."""
        table = audit_entries.c
        query = select(audit_entries).where(table.tenant == tenant.tenant, table.sequence > after_sequence)
        query = query.order_by(table.sequence).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(chains.entry_of(row) for row in rows)

    async def record(self, tenant: TenantName, nodes: Sequence[OwnedNode], edges: Sequence[OwnedEdge]) -> None:
        """See the port."""
        await self._database.write(lambda connection: _record(connection, tenant, nodes, edges))

    async def nodes(self, names: Sequence[str], viewer: PrincipalName) -> tuple[Node, ...]:
        """See the port."""
        query = select(lineage_nodes).where(lineage_nodes.c.name.in_(names), *_visible(lineage_nodes, viewer))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(_node_of(row) for row in rows)

    async def edges_at(
        self, names: Sequence[str], direction: Direction, viewer: PrincipalName, *, limit: int
    ) -> tuple[Edge, ...]:
        """See the port."""
        table = lineage_edges.c
        end = table.target if direction is Direction.SOURCES else table.source
        query = select(lineage_edges).where(end.in_(names), *_visible(lineage_edges, viewer))
        query = query.order_by(table.id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(Edge(row.source, row.target, Relation(row.relation), row.detail) for row in rows)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    table = audit_entries.c
    equal = ("principal", "action", "resource")
    conditions = [table[name] == getattr(wanted, name) for name in equal if getattr(wanted, name)]
    if wanted.after is not None:
        conditions.append(table.time >= wanted.after)
    if wanted.before is not None:
        conditions.append(table.time < wanted.before)
    return conditions


def _visible(table: Table, viewer: PrincipalName) -> tuple[ColumnElement[bool], ...]:
    mine = or_(table.c.principal.is_(None), table.c.principal == viewer.id)
    return table.c.tenant == viewer.tenant, mine


def _record(connection: Connection, tenant: TenantName, nodes: Sequence[OwnedNode], edges: Sequence[OwnedEdge]) -> None:
    if nodes:
        rows = [_node_values(tenant, owned) for owned in nodes]
        connection.execute(insert_or_ignore(connection.dialect.name, lineage_nodes), rows)
        _check_owners(connection, tenant, nodes)
    if edges:
        rows = [_edge_values(tenant, owned) for owned in edges]
        connection.execute(insert_or_ignore(connection.dialect.name, lineage_edges), rows)


def _check_owners(connection: Connection, tenant: TenantName, nodes: Sequence[OwnedNode]) -> None:
    wanted = {owned.node.name: _id(owned.principal) for owned in nodes}
    table = lineage_nodes.c
    query = select(table.name, table.principal).where(table.tenant == tenant.tenant, table.name.in_(list(wanted)))
    for name, principal in connection.execute(query):
        if wanted[name] != principal:
            raise ResourceNotFound(f"There is no {name}.", name=name)


def _node_values(tenant: TenantName, owned: OwnedNode) -> dict[str, object]:
    node = owned.node
    return {
        "tenant": tenant.tenant,
        "name": node.name,
        "kind": int(node.kind),
        "revision": node.revision,
        "summary": node.summary,
        "time": node.time,
        "trace_id": node.trace_id,
        "principal": _id(owned.principal),
    }


def _edge_values(tenant: TenantName, owned: OwnedEdge) -> dict[str, object]:
    edge = owned.edge
    return {
        "tenant": tenant.tenant,
        "source": edge.source,
        "target": edge.target,
        "relation": int(edge.relation),
        "detail": edge.detail,
        "principal": _id(owned.principal),
    }


def _node_of(row: Row[Any]) -> Node:
    return Node(row.name, NodeKind(row.kind), row.revision, row.summary, row.time, row.trace_id)


def _id(principal: PrincipalName | None) -> str | None:
    return None if principal is None else principal.id
