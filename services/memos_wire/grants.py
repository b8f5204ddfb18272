"""Signing and verifying of grants (Ed25519). Governance alone holds the private key."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError

from memos_api.internal.v1 import grant_pb2 as pb
from memos_kernel import limits
from memos_kernel.errors import GrantInvalid
from memos_kernel.ids import Clock
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_kernel.quotas import VaultQuota
from memos_wire.times import from_timestamp, to_timestamp

_SKEW = timedelta(seconds=5)
"""Clock difference between services that is forgiven at the start of a grant, never at its end."""


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the raw public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a PEM file (PKCS 8)."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} does not hold an Ed25519 private key")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a PEM file (SubjectPublicKeyInfo)."""
    key = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} does not hold an Ed25519 public key")
    return key


class GrantSigner:
    """Signs grants."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._key_id = key_id(key.public_key())

    def sign(self, grant: Grant, *, clock: Clock) -> pb.SignedGrant:
        """Return the grant as signed message; its `token` is not part of it."""
        payload = pb.Grant(
            id=grant.id,
            principal=str(grant.principal),
            issued_to=grant.issued_to,
            tenant=str(grant.tenant),
            vaults=sorted(str(vault) for vault in grant.vaults),
            all_vaults=grant.all_vaults,
            actions=sorted(grant.actions),
            policy_epoch=grant.policy_epoch,
            issue_time=to_timestamp(clock.now()),
            expire_time=to_timestamp(grant.expire_time),
            quotas=[
                pb.VaultQuota(vault=str(vault), max_cubes=quota.max_cubes, max_bytes=quota.max_bytes)
                for vault, quota in sorted(grant.quotas.items(), key=lambda item: str(item[0]))
            ],
        ).SerializeToString(deterministic=True)
        return pb.SignedGrant(payload=payload, signature=self._key.sign(payload), key_id=self._key_id)


class GrantVerifier:
    """Verifies grants against one or more public keys (more than one while keys are rotated)."""

    def __init__(self, keys: Iterable[Ed25519PublicKey], *, clock: Clock) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._clock = clock

    def verify(self, token: bytes) -> Grant:
        """Return the grant that the token holds.

        Raises:
            GrantInvalid: unreadable, unknown key, wrong signature, not valid yet, expired, or with too long a life.
        """
        signed, payload = pb.SignedGrant(), pb.Grant()
        try:
            signed.ParseFromString(token)
            key = self._keys[signed.key_id]
            key.verify(signed.signature, signed.payload)
            payload.ParseFromString(signed.payload)
        except KeyError as error:
            raise GrantInvalid("The grant is signed by an unknown key.", cause="key") from error
        except (InvalidSignature, DecodeError) as error:
            raise GrantInvalid("The grant is not authentic.", cause="signature") from error
        issued = from_timestamp(payload.issue_time, field="issue_time")
        expires = from_timestamp(payload.expire_time, field="expire_time")
        now = self._clock.now()
        if not issued - _SKEW <= now < expires or expires - issued > limits.GRANT_LIFETIME:
            raise GrantInvalid("The grant has expired; get a fresh one.", cause="expired")
        return Grant(
            id=payload.id,
            principal=PrincipalName.parse(payload.principal, field="principal"),
            issued_to=payload.issued_to,
            vaults=frozenset(VaultName.parse(vault, field="vaults") for vault in payload.vaults),
            all_vaults=payload.all_vaults,
            actions=frozenset(Action(action) for action in payload.actions),
            policy_epoch=payload.policy_epoch,
            expire_time=expires,
            quotas={
                VaultName.parse(quota.vault, field="quotas"): VaultQuota(quota.max_cubes, quota.max_bytes)
                for quota in payload.quotas
            },
            token=token,
        )
