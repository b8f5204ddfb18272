"""Resource names (AIP-122): `tenants/{tenant}/<collection>/{id}`."""

import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Self

from memos_kernel.errors import MalformedName, MissingField

_ID = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_TENANT = re.compile(rf"tenants/({_ID})")


@cache
def _below(collection: str) -> re.Pattern[str]:
    return re.compile(rf"tenants/({_ID})/{collection}/({_ID})")


@dataclass(frozen=True, slots=True)
class TenantName:
    """`tenants/{tenant}`."""

    tenant: str

    @classmethod
    def parse(cls, value: str, *, field: str = "tenant") -> Self:
        """Read a name.

        Raises:
            MissingField: the value is empty.
            MalformedName: the value is not of this form.
        """
        match = _TENANT.fullmatch(_present(value, field))
        if match is None:
            raise _malformed(value, field, "tenants/{tenant}")
        return cls(match[1])

    def __str__(self) -> str:
        return f"tenants/{self.tenant}"


@dataclass(frozen=True, slots=True)
class _Child:
    """A resource right below a tenant."""

    collection: ClassVar[str]
    singular: ClassVar[str]

    tenant: str
    id: str

    @classmethod
    def parse(cls, value: str, *, field: str = "name") -> Self:
        """Read a name.

        Raises:
            MissingField: the value is empty.
            MalformedName: the value is not of this form.
        """
        match = _below(cls.collection).fullmatch(_present(value, field))
        if match is None:
            raise _malformed(value, field, f"tenants/{{tenant}}/{cls.collection}/{{{cls.singular}}}")
        return cls(match[1], match[2])

    @property
    def parent(self) -> TenantName:
        """The tenant that the resource belongs to."""
        return TenantName(self.tenant)

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/{self.collection}/{self.id}"


class CubeName(_Child):
    """`tenants/{tenant}/cubes/{cube}`."""

    __slots__ = ()
    collection = "cubes"
    singular = "cube"


class VaultName(_Child):
    """`tenants/{tenant}/vaults/{vault}`."""

    __slots__ = ()
    collection = "vaults"
    singular = "vault"


class PrincipalName(_Child):
    """`tenants/{tenant}/principals/{principal}`."""

    __slots__ = ()
    collection = "principals"
    singular = "principal"


class KeyName(_Child):
    """`tenants/{tenant}/keys/{key}`."""

    __slots__ = ()
    collection = "keys"
    singular = "key"


class JobName(_Child):
    """`tenants/{tenant}/jobs/{job}`."""

    __slots__ = ()
    collection = "jobs"
    singular = "job"


class SnapshotName(_Child):
    """`tenants/{tenant}/snapshots/{snapshot}`."""

    __slots__ = ()
    collection = "snapshots"
    singular = "snapshot"


class PurgeName(_Child):
    """`tenants/{tenant}/purges/{purge}`."""

    __slots__ = ()
    collection = "purges"
    singular = "purge"


class PlanName(_Child):
    """`tenants/{tenant}/plans/{plan}`."""

    __slots__ = ()
    collection = "plans"
    singular = "plan"


class AnswerName(_Child):
    """`tenants/{tenant}/answers/{answer}`."""

    __slots__ = ()
    collection = "answers"
    singular = "answer"


def _present(value: str, field: str) -> str:
    if not value:
        raise MissingField(f"{field} is required.", field=field)
    return value


def _malformed(value: str, field: str, pattern: str) -> MalformedName:
    shown = value if len(value) <= 80 else value[:77] + "..."
    return MalformedName(
        f"{field} is {shown!r}; write it as {pattern}, ids in lower-case letters, digits, '.', '_' and '-'.",
        field=field,
        pattern=pattern,
    )
