"""Jobs that one service orders and the scheduler runs: their kinds, and the names of their parameters."""

RESTORE_VAULT = "restore_vault"
"""Takes a vault back to a moment."""

AS_OF = "as_of"
"""The moment, RFC 3339."""

SNAPSHOT = "snapshot"
"""Name of the snapshot that was asked for."""
