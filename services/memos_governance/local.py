"""Work on governance's database by whoever owns its machine: first start, a lost key, checks. No rpc leads here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memos_governance.config import GovernanceConfig
from memos_governance.domain.audit import ChainProblem
from memos_governance.domain.credentials import new_secret
from memos_governance.usecases.authority import Scribe
from memos_governance.usecases.bootstrap import Bootstrap
from memos_governance.usecases.verify_chain import VerifyChain
from memos_kernel.ids import Clock, uuid7
from memos_kernel.names import PrincipalName, TenantName

if TYPE_CHECKING:
    from memos_governance.adapters.sql.database import Database

LOCAL_TENANT, LOCAL_ADMIN, LOCAL_VAULT = "local", "admin", "main"
"""What `bootstrap_local` makes: tenants/local with the principal admin and the vault main."""


def migrate(config: GovernanceConfig, state_dir: Path) -> None:
    """Bring the schema to the newest version. Blocks."""
    from memos_governance import migrations

    migrations.migrate(config.url(state_dir))


async def bootstrap_local(config: GovernanceConfig, state_dir: Path, clock: Clock) -> str | None:
    """Make the tenant of a machine with its admin, vault and key.

    Returns:
        The secret of the key, or None if the tenant was there already.
    """
    given = config.admin_key.get_secret_value()
    return await create_tenant(config, state_dir, clock, TenantName(LOCAL_TENANT), secret=given or None)


async def create_tenant(
    config: GovernanceConfig, state_dir: Path, clock: Clock, tenant: TenantName, *, secret: str | None = None
) -> str | None:
    """Make a further tenant with an admin, a vault and a key, named as those of the local one.

    Args:
        config: of governance.
        state_dir: directory of governance.
        clock: source of the time.
        tenant: name of the tenant.
        secret: secret of the key; None makes one.

    Returns:
        The secret of the key, or None if the tenant was there already.
    """
    async with _bootstrap(config, state_dir, clock) as bootstrap:
        return await bootstrap(tenant, admin=LOCAL_ADMIN, vault=LOCAL_VAULT, secret=secret)


async def recover_local_key(config: GovernanceConfig, state_dir: Path, clock: Clock) -> str:
    """Return the secret of a new key of the local admin, for when the key file was lost.

    Whoever can write the database needs no key to be trusted.

    Raises:
        LookupError: there is no local tenant.
    """
    async with _bootstrap(config, state_dir, clock) as bootstrap:
        return await bootstrap.recover(PrincipalName(LOCAL_TENANT, LOCAL_ADMIN))


async def verify_audit(config: GovernanceConfig, state_dir: Path) -> list[ChainProblem]:
    """Check every tenant's audit chain; return the first problem of each that has one. Nothing is changed.

    Raises:
        RuntimeError: the database has another schema.
    """
    from memos_governance.adapters.sql.ledger_store import SqlLedgerStore

    async with _opened(config, state_dir, make_ready=_require_current) as database:
        ledger = SqlLedgerStore(database)
        verify = VerifyChain(ledger)
        found = [await verify(tenant) for tenant in await ledger.chains()]
    return [problem for problem in found if problem is not None]


def prepare(url: str) -> None:
    """Migrate a database of this machine; refuse a shared one that is behind. Blocks.

    Raises:
        RuntimeError: the shared database has an older schema.
    """
    from memos_governance import migrations
    from memos_runtime.sql.engine import is_sqlite

    if is_sqlite(url):
        migrations.migrate(url)
    else:
        _require_current(url)


def _require_current(url: str) -> None:
    from memos_governance import migrations

    if not migrations.is_current(url):
        raise RuntimeError("Governance's database has another schema; run `memosctl migrate` first.")


@asynccontextmanager
async def _bootstrap(config: GovernanceConfig, state_dir: Path, clock: Clock) -> AsyncIterator[Bootstrap]:
    from memos_governance.adapters.sql.policy_store import SqlPolicyStore

    async with _opened(config, state_dir) as database:
        yield Bootstrap(
            store=SqlPolicyStore(database),
            scribe=Scribe(clock, uuid7),
            clock=clock,
            new_id=uuid7,
            new_secret=new_secret,
        )


@asynccontextmanager
async def _opened(
    config: GovernanceConfig, state_dir: Path, *, make_ready: Callable[[str], None] = prepare
) -> AsyncIterator["Database"]:
    from memos_governance.adapters.sql.database import Database

    url = config.url(state_dir)
    await asyncio.to_thread(make_ready, url)
    database = Database(url, readers=1)
    await asyncio.to_thread(database.open)
    try:
        yield database
    finally:
        await database.close()
