"""The secrets of an installation on Kubernetes, made at random where the configuration does not give them.

Each service gets a Secret `<service>-env` of its own, whose keys are variables of the environment, so that none holds
what another one needs.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import SecretStr

from memosctl.certificates import write_certificates
from memosctl.failures import Failure
from memosctl.keys import ensure_grant_keys
from memosctl.settings import Settings
from memosctl.state import StateDir

Manifest = dict[str, object]

_DATABASE_USERS = ("governance", "storage", "scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSecrets:
    """What is to be made.

    Attributes:
        settings: the configuration; secrets that it gives are taken as they are.
        namespace: Kubernetes namespace of the services.
        services: services that get certificates; empty where an issuer in the cluster makes them.
        dev_stores: whether PostgreSQL and S3 run in the cluster, with passwords made here.
        hosts: further names and addresses in the certificates.
    """

    settings: Settings
    namespace: str
    services: Sequence[str]
    dev_stores: bool
    hosts: Sequence[str] = ()

    def manifests(self, now: datetime) -> list[Manifest]:
        """Return the objects of Kubernetes.

        Raises:
            Failure: a database or the store of blobs is not known, or its address is none.
        """
        given = self._dev() if self.dev_stores else self._configured()
        governance, storage, scheduler = self.settings.governance, self.settings.storage, self.settings.scheduler
        return [
            *self._grant_keys(),
            self._secret(
                "governance-env",
                MEMOS_GOVERNANCE__DATABASE_URL=given["governance"],
                MEMOS_GOVERNANCE__ADMIN_KEY=_or(governance.admin_key, f"mk_{secrets.token_urlsafe(32)}"),
            ),
            self._secret(
                "storage-env",
                MEMOS_STORAGE__DATABASE_URL=given["storage"],
                MEMOS_STORAGE__BLOBS_ACCESS_KEY=given["access_key"],
                MEMOS_STORAGE__BLOBS_SECRET_KEY=given["secret_key"],
                MEMOS_STORAGE__BLOBS_KEY=_or(storage.blobs_key, base64.b64encode(secrets.token_bytes(32)).decode()),
                **_if_given(MEMOS_STORAGE__MILVUS_TOKEN=storage.milvus_token),
            ),
            self._secret(
                "scheduler-env",
                MEMOS_SCHEDULER__DATABASE_URL=given["scheduler"],
                MEMOS_SCHEDULER__PAGE_TOKEN_KEY=_or(scheduler.page_token_key, secrets.token_urlsafe(32)),
            ),
            self._secret(
                "inference-env",
                MEMOS_INFERENCE__SEAL_KEY=_or(self.settings.inference.seal_key, secrets.token_urlsafe(32)),
                **_if_given(MEMOS_INFERENCE__OPENAI_KEY=self.settings.inference.openai_key),
            ),
            *self._stores(given),
            *self._certificates(now),
        ]

    def _dev(self) -> dict[str, str]:
        password = secrets.token_urlsafe(24)
        url = f"postgresql+psycopg://memos:{quote(password)}@postgres:5432/memos"
        made = {"password": password, "access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}
        return {**dict.fromkeys(_DATABASE_USERS, url), **made}

    def _configured(self) -> dict[str, str]:
        storage = self.settings.storage
        known = {
            "governance": self.settings.governance.database_url,
            "storage": storage.database_url or SecretStr(""),
            "scheduler": self.settings.scheduler.database_url,
        }
        needed = {f"{service}.database_url": url for service, url in known.items()}
        needed |= {"storage.blobs_access_key": storage.blobs_access_key}
        needed |= {"storage.blobs_secret_key": storage.blobs_secret_key}
        if missing := [key for key, value in needed.items() if not value.get_secret_value()]:
            raise Failure(
                f"Not given: {', '.join(missing)}.",
                "Give them in a file with --config or in the environment, or take --dev-stores for a trial.",
                reason="CONFIG_INVALID",
                exit_code=2,
            )
        self._check_addresses({f"{service}.database_url": url.get_secret_value() for service, url in known.items()})
        return {
            **{service: url.get_secret_value() for service, url in known.items()},
            "access_key": storage.blobs_access_key.get_secret_value(),
            "secret_key": storage.blobs_secret_key.get_secret_value(),
        }

    def _check_addresses(self, databases: Mapping[str, str]) -> None:
        """Refuse what no service of a cluster could dial. An address may hold a password, so none is repeated."""
        unfit = [
            f"{key} has to look like postgresql+psycopg://user:password@host/database."
            for key, url in databases.items()
            if not _has_host(url, schemes=("postgresql", "postgresql+psycopg"))
        ]
        for name, such in (("milvus_uri", "http://host:19530"), ("blobs_url", "https://host:9000/bucket")):
            if (url := getattr(self.settings.storage, name)) and not _has_host(url, schemes=("http", "https")):
                unfit.append(f"storage.{name} has to look like {such}.")
        if unfit:
            raise Failure(
                " ".join(unfit),
                "Mend it in the file or in the environment, or take --dev-stores for a trial.",
                reason="CONFIG_INVALID",
                exit_code=2,
            )

    def _stores(self, given: Mapping[str, str]) -> list[Manifest]:
        if not self.dev_stores:
            return []
        return [
            self._secret(
                "postgres-env", POSTGRES_USER="memos", POSTGRES_DB="memos", POSTGRES_PASSWORD=given["password"]
            ),
            self._secret("s3-env", NANIO_ACCESS_KEY=given["access_key"], NANIO_SECRET_KEY=given["secret_key"]),
        ]

    def _grant_keys(self) -> list[Manifest]:
        with TemporaryDirectory() as folder:
            state = StateDir(Path(folder))
            ensure_grant_keys(state)
            private, public = state.private_key_file, state.public_key_file
            return [
                self._secret("grant-key", **{private.name: private.read_text()}),
                self._object("ConfigMap", "grant-public-key", data={public.name: public.read_text()}),
            ]

    def _certificates(self, now: datetime) -> list[Manifest]:
        """Return a Secret a service as cert-manager makes it (`tls.crt`, `tls.key`, `ca.crt`), and the authority."""
        if not self.services:
            return []
        with TemporaryDirectory() as folder:
            out = Path(folder)
            write_certificates(out, self.services, namespace=self.namespace, extra_hosts=self.hosts, now=now)
            authority = (out / "ca.crt").read_text()
            made = [self._object("ConfigMap", "memos-ca", data={"ca.crt": authority})]
            for service in self.services:
                pair = {
                    "tls.crt": (out / f"{service}.crt").read_text(),
                    "tls.key": (out / f"{service}.key").read_text(),
                }
                secret = self._secret(f"{service}-tls", **pair, **{"ca.crt": authority})
                made.append({**secret, "type": "kubernetes.io/tls"})
            return made

    def _secret(self, name: str, **values: str) -> Manifest:
        return {**self._object("Secret", name, stringData=values), "type": "Opaque"}

    def _object(self, kind: str, name: str, **content: object) -> Manifest:
        labels = {"app.kubernetes.io/part-of": "memos"}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


def _has_host(url: str, *, schemes: Sequence[str]) -> bool:
    """Return whether a URL has one of the schemes and a host, which PostgreSQL also takes behind the `?`."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname or "host" in parse_qs(parts.query))
    except ValueError:  # such as of a bracket that is not closed
        return False


def _or(given: SecretStr, made: str) -> str:
    return given.get_secret_value() or made


def _if_given(**values: SecretStr) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in values.items() if value.get_secret_value()}
