"""The words that texts share, as a graph: texts and terms are its nodes, postings its edges."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, String, and_, func, select

from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.lexical import wanted_terms
from memos_storage.adapters.sql.parts import fetched, listed
from memos_storage.adapters.terms import written
from memos_storage.domain.walks import RARE, RAREST, Posting, Reached, most_texts, reached

_VAULTS, _TURNS, _POSTINGS = schema.vaults, schema.turns, schema.postings


class SqlTermGraph:
    """Implements `ports.TermGraph`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def walk(self, seeds: Mapping[str, float], known: str) -> dict[str, Reached]:
        """Walk from texts to others of their vaults by rare terms that are not known."""
        given = {"seeds": json.dumps(list(seeds)), "known": json.dumps(wanted_terms(known))}

        def work(connection: Connection) -> dict[str, Reached]:
            by_vault: dict[int, list[Posting]] = defaultdict(list)
            for vault, documents, held, uid, term, length in fetched(
                connection, _shared(connection.dialect.name), given
            ):
                if held <= most_texts(documents):
                    idf = math.log(1 + (documents - held + 0.5) / (held + 0.5))
                    by_vault[vault].append(Posting(uid, term, idf, length))
            return {uid: step for postings in by_vault.values() for uid, step in reached(postings, seeds).items()}

        return await self._database.read(work) if seeds else {}

    def written(self, text: str, terms: Sequence[str]) -> tuple[str, ...]:
        """Return terms as they are written in a text."""
        return written(text, terms)


@cache
def _shared(dialect: str) -> Select[Any]:
    """Postings of the rare terms of some texts, in all texts, with the vault's documents and how many have the term.

    How many have a term is counted up to one more than may have a rare one: of a common one few rows are read.
    """
    own = (
        select(_POSTINGS.c.vault_key, _POSTINGS.c.term)
        .join(_TURNS, _TURNS.c.cube_key == _POSTINGS.c.cube_key)
        .where(
            _TURNS.c.uid.in_(listed("seeds", String, dialect)),
            _POSTINGS.c.term.not_in(listed("known", String, dialect)),
        )
        .distinct()
        .cte("own")
    )
    one = _POSTINGS.alias("one")
    some = (
        select(one.c.cube_key)
        .where(one.c.vault_key == own.c.vault_key, one.c.term == own.c.term)
        .limit(RARE + 1)
        .correlate(own)
        .subquery()
    )
    held = select(func.count()).select_from(some).correlate(own).scalar_subquery()
    counted = select(own.c.vault_key, own.c.term, held.label("held")).cte("counted")
    there = and_(_POSTINGS.c.vault_key == counted.c.vault_key, _POSTINGS.c.term == counted.c.term)
    return (
        select(
            counted.c.vault_key,
            _VAULTS.c.documents,
            counted.c.held,
            _TURNS.c.uid,
            _POSTINGS.c.term,
            _POSTINGS.c.length,
        )
        .select_from(
            counted.join(_VAULTS, _VAULTS.c.key == counted.c.vault_key)
            .join(_POSTINGS, there)
            .join(_TURNS, _TURNS.c.cube_key == _POSTINGS.c.cube_key)
        )
        .where(counted.c.held.between(RAREST, RARE))
    )
