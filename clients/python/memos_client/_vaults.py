"""What vaults are for, and their rules."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from memos_api.v1 import vault_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPolicy:
    """The rules of a vault.

    A rule that is None is as the vault's type has it when the vault is made, and stays as it is in an update.

    Attributes:
        member_role: role of every principal of the tenant: `READER`, `WRITER`, or empty for none.
        max_cubes: most cubes, deleted ones counted until they are erased; 0 is no limit.
        max_bytes: most bytes of texts and blobs, counted in the same way; 0 is no limit.
        cold_after: age at which cubes go into the archive that nobody changed or used; at least an hour, 0 is never.
        delete_after: age at which cubes are deleted; at least an hour, 0 is never.
    """

    member_role: str | None = None
    max_cubes: int | None = None
    max_bytes: int | None = None
    cold_after: timedelta | None = None
    delete_after: timedelta | None = None

    @classmethod
    def of(cls, vault: vault_pb2.Vault) -> Self:
        """Return the policy of a vault, with every rule set."""
        policy = vault.policy
        role = vault_pb2.VaultRole.Name(policy.member_role).removeprefix("VAULT_ROLE_")
        return cls(
            member_role="" if role == "UNSPECIFIED" else role,
            max_cubes=policy.max_cubes,
            max_bytes=policy.max_bytes,
            cold_after=policy.cold_after.ToTimedelta(),
            delete_after=policy.delete_after.ToTimedelta(),
        )

    def to_proto(self) -> vault_pb2.VaultPolicy:
        """Return the message of the contract.

        Raises:
            ValueError: an unknown role.
        """
        message = vault_pb2.VaultPolicy(max_cubes=self.max_cubes, max_bytes=self.max_bytes)
        if self.member_role is not None:
            message.member_role = vault_pb2.VaultRole.Value(f"VAULT_ROLE_{self.member_role or 'UNSPECIFIED'}")
        if self.cold_after is not None:
            message.cold_after.FromTimedelta(self.cold_after)
        if self.delete_after is not None:
            message.delete_after.FromTimedelta(self.delete_after)
        return message

    def paths(self) -> list[str]:
        """Return the paths of the rules that are set, for an update mask."""
        rules = ("member_role", "max_cubes", "max_bytes", "cold_after", "delete_after")
        return [f"policy.{rule}" for rule in rules if getattr(self, rule) is not None]
