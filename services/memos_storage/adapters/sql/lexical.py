"""BM25 in SQL over the postings of the catalogue; statistics are per vault (Robertson and Zaragoza 2009)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Select, and_, case, cast, func, select, type_coerce

from memos_storage.adapters.sql import filters, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.terms import terms
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import Scope, Scored

K1 = 1.2
B = 0.75
TELLING_ROWS = 2_000
"""Postings that are read to find texts, if they are enough of them."""
CANDIDATES = 4
"""Texts found for each that is wanted, before the common terms are counted."""
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
    found = _frequencies(connection, vault, wanted)
    if not found:
        return []
    weights = _weights(vault, wanted, found)
    telling = _telling(found)
    conditions = filters.fulfils(filter, now=now)
    if len(telling) < len(found):
        first = _best(vault, {term: weights[term] for term in telling}, conditions, CANDIDATES * limit)
        candidates = connection.execute(first).all()
        if len(candidates) >= limit:
            keys = [row.key for row in candidates]
            return _scored(connection, _best(vault, weights, [_CUBES.c.key.in_(keys)], limit, keys=keys))
    return _scored(connection, _best(vault, weights, conditions, limit))


def _best(
    vault: _Vault,
    weights: Mapping[str, float],
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
    *,
    keys: Sequence[int] | None = None,
) -> Select[Any]:
    """Return the statement for the best cubes by some terms, among all of the vault or only the keys."""
    posting = _POSTINGS.c
    weight = case(dict(weights), value=posting.term, else_=0.0)
    parts = _saturation(posting.frequency, posting.length, vault.terms / vault.documents) * weight
    scores = (
        select(posting.cube_key, func.sum(parts).label("score"))
        .where(posting.vault_key == vault.key, posting.term.in_(list(weights)))
        .group_by(posting.cube_key)
    )
    if keys is not None:
        scores = scores.where(posting.cube_key.in_(keys))
    ranked = scores.subquery()
    return (
        select(_CUBES.c.key, _CUBES.c.uid, ranked.c.score)
        .select_from(ranked.join(_CUBES, _CUBES.c.key == ranked.c.cube_key))
        .where(*conditions)
        .order_by(ranked.c.score.desc(), _CUBES.c.uid)
        .limit(limit)
    )


def _scored(connection: Connection, statement: Select[Any]) -> list[Scored]:
    return [Scored(row.uid, float(row.score)) for row in connection.execute(statement)]


def _frequencies(connection: Connection, vault: _Vault, wanted: Sequence[str]) -> dict[str, int]:
    """Return in how many texts of the vault each term is, without those in none."""
    posting = _POSTINGS.c
    counted = connection.execute(
        select(posting.term, func.count())
        .where(and_(posting.vault_key == vault.key, posting.term.in_(wanted)))
        .group_by(posting.term)
    )
    return {term: int(count) for term, count in counted}


def _weights(vault: _Vault, wanted: Sequence[str], found: Mapping[str, int]) -> dict[str, float]:
    """Return the share of each term that the vault has in the best score that there can be."""
    idf = {
        term: math.log(1 + (vault.documents - found.get(term, 0) + 0.5) / (found.get(term, 0) + 0.5)) for term in wanted
    }
    best = sum(idf.values())
    return {term: idf[term] / best for term in wanted if term in found}


def _telling(found: Mapping[str, int]) -> list[str]:
    """Return the rarest terms, as many as `TELLING_ROWS` postings have.

    A common term, such as a speaker's name, is in half of a vault's texts: it is not asked to bring texts in where
    rarer terms bring in enough, only to score them.
    """
    telling: list[str] = []
    rows = 0
    for term in sorted(found, key=lambda term: (found[term], term)):
        rows += found[term]
        if telling and rows > TELLING_ROWS:
            break
        telling.append(term)
    return telling


def _saturation(frequency: ColumnElement[int], length: ColumnElement[int], mean_length: float) -> ColumnElement[float]:
    count = cast(frequency, Float)
    return type_coerce(count / (count + K1 * (1 - B) + (K1 * B / mean_length) * length), Float)
