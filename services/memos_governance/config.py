"""Governance's part of the configuration."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from memos_governance.domain.credentials import well_formed
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
    admin_key: SecretStr = Field(
        SecretStr(""),
        description="API key that the local admin gets at the first start, such as `memosctl secrets` makes; empty"
        " makes one, which is written to admin.key in the state directory",
    )

    @field_validator("admin_key")
    @classmethod
    def _it_could_be_guessed_otherwise(cls, given: SecretStr) -> SecretStr:
        if given.get_secret_value() and not well_formed(given.get_secret_value()):
            raise ValueError("an API key is mk_ and 43 characters of base64url, made at random")
        return given

    def url(self, state_dir: Path) -> str:
        """Return the database's URL; contains its password, if it has one."""
        return self.database_url.get_secret_value() or f"sqlite:///{state_dir / 'governance.db'}"

    def signing_key(self, state_dir: Path) -> Path:
        """Return the file of the signing key."""
        return self.signing_key_file or state_dir.parent / "keys" / "grant_ed25519.pem"
