import base64
import json
from datetime import UTC, datetime

import pytest

from memos_governance.domain.credentials import well_formed
from memos_wire.methods import SERVICES
from memosctl.cluster_secrets import ClusterSecrets
from memosctl.failures import Failure
from memosctl.settings import load_settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OWN = {
    "MEMOS_GOVERNANCE__DATABASE_URL": "postgresql+psycopg://g:1@db/g",
    "MEMOS_STORAGE__DATABASE_URL": "postgresql+psycopg://s:2@db/s",
    "MEMOS_STORAGE__MILVUS_URI": "http://milvus:19530",
    "MEMOS_STORAGE__MILVUS_TOKEN": "root:Milvus",
    "MEMOS_STORAGE__BLOBS_URL": "http://s3:9000/memos",
    "MEMOS_STORAGE__BLOBS_ACCESS_KEY": "access",
    "MEMOS_STORAGE__BLOBS_SECRET_KEY": "secret",
    "MEMOS_SCHEDULER__DATABASE_URL": "postgresql+psycopg://q:3@db/q",
    "MEMOS_INFERENCE__SEAL_KEY": "sealed before",
}


def made(environ, **options):
    options = {"namespace": "memos", "services": SERVICES, "dev_stores": False, **options}
    objects = ClusterSecrets(settings=load_settings(environ=environ), **options).manifests(NOW)
    return {each["metadata"]["name"]: each for each in objects}


def test_what_is_given_is_taken_and_the_rest_is_made() -> None:
    objects = made(OWN)

    storage, inference = objects["storage-env"]["stringData"], objects["inference-env"]["stringData"]
    assert storage["MEMOS_STORAGE__DATABASE_URL"] == OWN["MEMOS_STORAGE__DATABASE_URL"]
    assert storage["MEMOS_STORAGE__MILVUS_TOKEN"] == "root:Milvus"
    assert len(base64.b64decode(storage["MEMOS_STORAGE__BLOBS_KEY"])) == 32
    assert inference == {"MEMOS_INFERENCE__SEAL_KEY": "sealed before"}
    assert well_formed(objects["governance-env"]["stringData"]["MEMOS_GOVERNANCE__ADMIN_KEY"])
    assert "postgres-env" not in objects


def test_each_is_taken_by_the_service_that_it_is_for() -> None:
    for service in ("governance", "storage", "scheduler", "inference"):
        given = made({}, dev_stores=True)[f"{service}-env"]["stringData"]
        needed = {"MEMOS_STORAGE__MILVUS_URI": "http://m", "MEMOS_STORAGE__BLOBS_URL": "http://s/b"}
        load_settings(environ={**given, **(needed if service == "storage" else {})})


def test_no_two_installations_have_the_same() -> None:
    first, second = (made({}, dev_stores=True) for _ in range(2))

    for name, each in first.items():
        for key, value in each.get("stringData", {}).items():
            if key not in ("POSTGRES_USER", "POSTGRES_DB"):
                assert value != second[name]["stringData"][key], f"{name}: {key}"


def test_an_issuer_in_the_cluster_makes_the_certificates() -> None:
    assert not [name for name in made(OWN, services=()) if name.endswith("-tls") or name == "memos-ca"]


def test_what_is_missing_is_named(memosctl) -> None:
    ran = memosctl.run("secrets", "--json")

    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert "storage.blobs_secret_key" in json.loads(ran.stderr)["error"]["message"]
    with pytest.raises(Failure, match=r"Not given: governance\.database_url\."):
        made({key: value for key, value in OWN.items() if key != "MEMOS_GOVERNANCE__DATABASE_URL"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("governance.database_url", "rubbish"),
        ("storage.database_url", "postgresql+psycopg:///memos"),
        ("storage.database_url", "postgresql://[::1/memos"),
        ("scheduler.database_url", "sqlite:////state/jobs.db"),
        ("storage.milvus_uri", "nonsense"),
        ("storage.blobs_url", "s3://bucket"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused_by_its_key_and_not_repeated(key: str, value: str) -> None:
    with pytest.raises(Failure, match=rf"^{key} has to look like ") as caught:
        made({**OWN, f"MEMOS_{key.upper().replace('.', '__')}": value})
    assert caught.value.exit_code == 2
    assert value not in str(caught.value)


def test_a_database_may_be_named_by_its_socket() -> None:
    socket = "postgresql+psycopg://g@/memos?host=/run/postgresql"

    objects = made({**OWN, "MEMOS_GOVERNANCE__DATABASE_URL": socket})

    assert objects["governance-env"]["stringData"]["MEMOS_GOVERNANCE__DATABASE_URL"] == socket


def test_the_objects_are_for_the_namespace_asked_for(memosctl) -> None:
    printed = json.loads(memosctl.run("secrets", "--dev-stores", "--namespace", "trial").stdout)

    assert printed["kind"] == "List"
    assert {each["metadata"]["namespace"] for each in printed["items"]} == {"trial"}
