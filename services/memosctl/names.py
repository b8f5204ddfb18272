"""Short names: `notes` stands for `tenants/local/vaults/notes`."""

import os

DEFAULT_TENANT = "local"
MAIN_VAULT = "main"


def tenant() -> str:
    """Return the tenant id that short names belong to: MEMOS_TENANT, or `local`."""
    return os.environ.get("MEMOS_TENANT") or DEFAULT_TENANT


def vault(value: str) -> str:
    """Return the full name of a vault."""
    return _full(value, "vaults")


def cube(value: str) -> str:
    """Return the full name of a cube."""
    return _full(value, "cubes")


def job(value: str) -> str:
    """Return the full name of a job."""
    return _full(value, "jobs")


def snapshot(value: str) -> str:
    """Return the full name of a snapshot."""
    return _full(value, "snapshots")


def purge(value: str) -> str:
    """Return the full name of a purge."""
    return _full(value, "purges")


def key(value: str) -> str:
    """Return the full name of an API key."""
    return _full(value, "keys")


def principal(value: str) -> str:
    """Return the full name of a principal."""
    return _full(value, "principals")


def roots(value: str) -> tuple[str, ...]:
    """Return the names that a provenance root may mean, likeliest first: an answer, a cube, a plan."""
    if value.startswith("tenants/"):
        return (value,)
    if value.startswith(("cubes/", "answers/", "plans/")):
        return (f"tenants/{tenant()}/{value}",)
    return tuple(f"tenants/{tenant()}/{collection}/{value}" for collection in ("answers", "cubes", "plans"))


def short(value: str) -> str:
    """Return the last part of a resource name."""
    return value.rsplit("/", 1)[-1]


def _full(value: str, collection: str) -> str:
    if not value or value.startswith("tenants/"):
        return value
    return f"tenants/{tenant()}/{collection}/{value.removeprefix(collection + '/')}"
