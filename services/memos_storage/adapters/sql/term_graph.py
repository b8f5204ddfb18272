"""The words that texts share, as a graph: texts and terms are its nodes, postings its edges."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, String, and_, func, select

from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.parts import fetched, listed
from memos_storage.adapters.supersession.surface import first_name
from memos_storage.adapters.terms import wanted_terms, written
from memos_storage.domain.bm25 import idf
from memos_storage.domain.walks import RARE, RAREST, RareTerm, Walk, most_texts, most_told, rarest, walk

_VAULTS, _TURNS, _POSTINGS = schema.vaults, schema.turns, schema.postings


class SqlTermGraph:
    """Implements `ports.TermGraph`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def walk(self, seeds: Mapping[str, float], known: str) -> Walk:
        """Walk from texts to others of their vaults by rare terms that are not known."""
        given = {"seeds": json.dumps(list(seeds)), "known": json.dumps(wanted_terms(known))}

        def work(connection: Connection) -> Walk:
            texts: dict[tuple[int, str, int, int], list[tuple[str, int]]] = defaultdict(list)
            for vault, documents, held, uid, term, length in fetched(
                connection, _statements(connection.dialect.name).shared, given
            ):
                texts[vault, term, documents, held].append((uid, length))
            terms = [
                RareTerm(term, idf(documents, held), found)
                for (_, term, documents, held), found in texts.items()
                if held <= most_texts(documents)
            ]
            return walk(terms, seeds)

        return await self._database.read(work) if seeds else walk((), seeds)

    async def rare_terms(self, uids: Sequence[str], *, most: int) -> dict[str, dict[str, float]]:
        """Return the rarest terms of texts, and the IDF of each in its vault."""
        given = {"seeds": json.dumps(list(uids)), "known": "[]"}

        def work(connection: Connection) -> dict[str, dict[str, float]]:
            found: dict[str, dict[str, float]] = defaultdict(dict)
            for _, documents, held, uid, term, _ in fetched(
                connection, _statements(connection.dialect.name).own, given
            ):
                if held <= most_told(documents):
                    found[uid][term] = idf(documents, held)
            return {uid: rarest(rare, most) for uid, rare in found.items()}

        return await self._database.read(work) if uids else {}

    def written(self, text: str, terms: Sequence[str]) -> tuple[str, ...]:
        """Return terms as they are written in a text."""
        return written(text, terms)

    def first_name(self, text: str) -> str:
        """Return the first name in a text."""
        return first_name(text)


@dataclass(frozen=True, slots=True)
class _Statements:
    shared: Select[Any]
    own: Select[Any]


@cache
def _statements(dialect: str) -> _Statements:
    """Postings of the rare terms of some texts, in all texts or in their own, with the vault's documents.

    How many texts have a term is counted up to one more than have a rare one: of a common term few rows are read.
    """
    seeds, known = listed("seeds", String, dialect), listed("known", String, dialect)
    terms = (
        select(_POSTINGS.c.vault_key, _POSTINGS.c.term)
        .join(_TURNS, _TURNS.c.cube_key == _POSTINGS.c.cube_key)
        .where(_TURNS.c.uid.in_(seeds), _POSTINGS.c.term.not_in(known))
        .distinct()
        .cte("terms")
    )
    one = _POSTINGS.alias("one")
    some = (
        select(one.c.cube_key)
        .where(one.c.vault_key == terms.c.vault_key, one.c.term == terms.c.term)
        .limit(RARE + 1)
        .correlate(terms)
        .subquery()
    )
    held = select(func.count()).select_from(some).correlate(terms).scalar_subquery()
    counted = select(terms.c.vault_key, terms.c.term, held.label("held")).cte("counted").prefix_with("MATERIALIZED")
    there = and_(_POSTINGS.c.vault_key == counted.c.vault_key, _POSTINGS.c.term == counted.c.term)
    rows = (
        select(
            counted.c.vault_key, _VAULTS.c.documents, counted.c.held, _TURNS.c.uid, _POSTINGS.c.term, _POSTINGS.c.length
        )
        .select_from(
            counted.join(_VAULTS, _VAULTS.c.key == counted.c.vault_key)
            .join(_POSTINGS, there)
            .join(_TURNS, _TURNS.c.cube_key == _POSTINGS.c.cube_key)
        )
        .where(counted.c.held <= RARE)
    )
    return _Statements(shared=rows.where(counted.c.held >= RAREST), own=rows.where(_TURNS.c.uid.in_(seeds)))
