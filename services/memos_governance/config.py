"""Governance's part of the configuration."""

from pathlib import Path

from pydantic import Field, SecretStr

from memos_runtime.config import Section


class GovernanceConfig(Section):
    """Everything works on one machine as it is."""

    database_url: SecretStr = Field(
        SecretStr(""),
        description="SQLAlchemy URL of the database; empty is the file governance.db in the service's state directory",
    )
    readers: int = Field(4, ge=1, le=64, description="connections that read at the same time")
    standings: int = Field(10_000, ge=1, description="principals whose roles are kept in memory")
    signing_key_file: Path | None = Field(
        None,
        description="PEM file of the Ed25519 key that signs grants; empty is keys/grant_ed25519.pem beside the"
        " service's state directory",
    )

    def url(self, state_dir: Path) -> str:
        """Return the database's URL; contains its password, if it has one."""
        return self.database_url.get_secret_value() or f"sqlite:///{state_dir / 'governance.db'}"

    def signing_key(self, state_dir: Path) -> Path:
        """Return the file of the signing key."""
        return self.signing_key_file or state_dir.parent / "keys" / "grant_ed25519.pem"
