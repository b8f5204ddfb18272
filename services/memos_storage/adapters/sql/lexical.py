"""BM25 in SQL over the postings of the catalogue; statistics are per vault (Robertson and Zaragoza 2009)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Float, and_, case, cast, func, select, type_coerce

from memos_storage.adapters.sql import filters, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.terms import terms
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import Scope, Scored

K1 = 1.2
B = 0.75
QUERY_TERMS = 64
"""Most different terms of a query that are looked up; of a longer one, the first."""

_CUBES, _VAULTS, _POSTINGS = schema.cubes, schema.vaults, schema.postings


@dataclass(frozen=True, slots=True)
class _Vault:
    key: int
    documents: int
    terms: int


class SqlLexicalIndex:
    """Implements `ports.LexicalIndex`. The transaction writes the postings; this reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, query: str, scope: Scope, filter: CubeFilter, *, limit: int, now: datetime) -> list[Scored]:
        """Return the cubes that share terms with the query, best first; scores from 0 to 1.

        A score is the BM25 sum over what it would be in a text that holds every term of the query very often.
        """
        wanted = list(dict.fromkeys(terms(query)))[:QUERY_TERMS]
        if not wanted:
            return []

        def work(connection: Connection) -> list[Scored]:
            table = _VAULTS.c
            found = connection.execute(
                select(table.key, table.documents, table.terms).where(filters.in_scope(scope), table.documents > 0)
            )
            scored = [
                item
                for vault in [_Vault(*row) for row in found]
                for item in _score_vault(connection, vault, wanted, filter, limit=limit, now=now)
            ]
            return sorted(scored, key=lambda item: (-item.score, item.uid))[:limit]

        return await self._database.read(work)


def _score_vault(
    connection: Connection, vault: _Vault, wanted: Sequence[str], filter: CubeFilter, *, limit: int, now: datetime
) -> list[Scored]:
    weights = _weights(connection, vault, wanted)
    if not weights:
        return []
    posting = _POSTINGS.c
    weight = case(weights, value=posting.term, else_=0.0)
    parts = _saturation(posting.frequency, posting.length, vault.terms / vault.documents) * weight
    scores = (
        select(posting.cube_key, func.sum(parts).label("score"))
        .where(posting.vault_key == vault.key, posting.term.in_(list(weights)))
        .group_by(posting.cube_key)
        .subquery()
    )
    statement = (
        select(_CUBES.c.uid, scores.c.score)
        .select_from(scores.join(_CUBES, _CUBES.c.key == scores.c.cube_key))
        .where(*filters.fulfils(filter, now=now))
        .order_by(scores.c.score.desc(), _CUBES.c.uid)
        .limit(limit)
    )
    return [Scored(uid, float(score)) for uid, score in connection.execute(statement)]


def _weights(connection: Connection, vault: _Vault, wanted: Sequence[str]) -> Mapping[str, float]:
    """Return the share of each term that the vault has in the best score that there can be."""
    posting = _POSTINGS.c
    counted = connection.execute(
        select(posting.term, func.count())
        .where(and_(posting.vault_key == vault.key, posting.term.in_(wanted)))
        .group_by(posting.term)
    )
    frequency = {term: int(count) for term, count in counted}
    idf = {
        term: math.log(1 + (vault.documents - frequency.get(term, 0) + 0.5) / (frequency.get(term, 0) + 0.5))
        for term in wanted
    }
    best = (K1 + 1) * sum(idf.values())
    return {term: (K1 + 1) * idf[term] / best for term in wanted if term in frequency}


def _saturation(frequency: ColumnElement[int], length: ColumnElement[int], mean_length: float) -> ColumnElement[float]:
    count = cast(frequency, Float)
    return type_coerce(count / (count + K1 * (1 - B) + (K1 * B / mean_length) * length), Float)
