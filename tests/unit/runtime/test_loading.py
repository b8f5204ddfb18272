import pytest
from pydantic import Field, SecretStr

from memos_runtime.config import PeerConfig, Section, ServerConfig, TelemetryConfig
from memos_runtime.loading import ConfigError, dump, keys, load


class StorageSection(Section):
    database_url: str = Field("sqlite://", description="where the catalogue is")
    secret_key: SecretStr = Field(SecretStr(""), description="key of the store")
    addresses: dict[str, str] = Field(default_factory=dict, description="targets by name")
    milvus_uri: str | None = Field(None, description="where the index is")
    sizes: list[int] = Field(default_factory=list, description="sizes")


class Schema(Section):
    server: ServerConfig = Field(default_factory=ServerConfig)
    storage: StorageSection = Field(default_factory=StorageSection)
    telemetry: TelemetryConfig = Field(default_factory=TelemetryConfig)
    peers: PeerConfig = Field(default_factory=PeerConfig)


def read(environ=None, *, file=None, **options):
    return load(Schema, file=file, environ=environ or {}, **options)


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "memos.toml"
        path.write_text(text)
        return path

    return write


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(toml):
    file = toml('[storage]\ndatabase_url = "file"\n[server]\ndrain_seconds = 3\ngrace_seconds = 4\n')
    config = read({"MEMOS_SERVER__GRACE_SECONDS": "5", "PATH": "/bin"}, file=file)
    assert config.storage.database_url == "file"
    assert (config.server.drain_seconds, config.server.grace_seconds) == (3, 5)
    assert config.server.max_concurrent_calls == 256


def test_tables_and_lists_come_from_the_environment_too():
    config = read({"MEMOS_STORAGE__ADDRESSES__INFERENCE": "host:1", "MEMOS_STORAGE__SIZES": "[1, 2]"})
    assert config.storage.addresses == {"inference": "host:1"}
    assert config.storage.sizes == [1, 2]


def test_an_empty_text_leaves_unset_what_may_be_unset_and_is_a_text_elsewhere():
    config = read({"MEMOS_STORAGE__MILVUS_URI": "", "MEMOS_STORAGE__DATABASE_URL": ""})
    assert config.storage.milvus_uri is None
    assert config.storage.database_url == ""


def test_a_short_name_sets_the_key_that_it_stands_for():
    assert read({"MEMOS_DB": "x"}, aliases={"MEMOS_DB": "storage.database_url"}).storage.database_url == "x"


def test_names_that_belong_to_something_else_are_left_alone():
    assert read({"MEMOS_TENANT": "acme"}, reserved=("MEMOS_TENANT",)) == Schema()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[storage]\ndatabase_ulr = 1", "storage.database_ulr is not a key"),
        ("[storgae]\ndatabase_url = 1", "did you mean storage.database_url?"),
        ("nonsense = 1", "nonsense is not a key"),
    ],
)
def test_an_unknown_key_in_the_file_is_named_with_the_nearest_known_one(toml, text, said):
    with pytest.raises(ConfigError, match="is not a key") as caught:
        read(file=toml(text))
    assert said in str(caught.value)


def test_an_unknown_name_in_the_environment_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigError) as caught:
        read({"MEMOS_STORAGE__DATABASE_ULR": "x"})
    assert caught.value.problems == (
        "MEMOS_STORAGE__DATABASE_ULR is not a key of the configuration; did you mean MEMOS_STORAGE__DATABASE_URL?",
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MEMOS_ADRESS", "MEMOS_ADDRESS"),
        ("MEMOS_API_KEYFILE", "MEMOS_API_KEY_FILE"),
        ("MEMOS_MODL", "MEMOS_MODEL"),
        ("MEMOS_STORGE__X", "MEMOS_STORAGE__..."),
        ("MEMOS_STORGE__DATABASE_ULR", "MEMOS_STORAGE__DATABASE_URL"),
        ("MEMOS_SERVER_ADDRESS", "MEMOS_SERVER__ADDRESS"),
        ("MEMOS_MILVUS_URI", "MEMOS_STORAGE__MILVUS_URI"),
        ("MEMOS_STORAGE__X", ""),
        ("MEMOS_NOTHING_LIKE_IT", ""),
    ],
)
def test_the_nearest_name_is_a_variable_of_clients_or_the_key_or_its_section(name, near):
    clients = ("MEMOS_ADDRESS", "MEMOS_API_KEY", "MEMOS_API_KEY_FILE")
    with pytest.raises(ConfigError) as caught:
        read({name: "x"}, aliases={"MEMOS_MODEL": "storage.database_url"}, reserved=clients)
    assert str(caught.value).partition("configuration")[2] == (f"; did you mean {near}?" if near else ".")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server.address", "foo"),
        ("server.address", ""),
        ("server.address", ":7070"),
        ("server.health_address", "127.0.0.1:70000"),
        ("telemetry.prometheus_address", "9090"),
        ("peers.addresses.storage", "storage"),
        ("peers.addresses.storage", "dns:///storage"),
        ("peers.addresses.storage", "https://storage:7070"),
    ],
)
def test_what_is_no_address_is_refused_by_the_name_of_its_key(key, value):
    with pytest.raises(ConfigError) as caught:
        read({f"MEMOS_{key.upper().replace('.', '__')}": value})
    assert str(caught.value).startswith(f"{key}: it has to be ")


def test_addresses_may_be_any_that_a_server_or_a_channel_takes():
    config = read(
        {
            "MEMOS_SERVER__ADDRESS": "[::1]:0",
            "MEMOS_SERVER__HEALTH_ADDRESS": "",
            "MEMOS_TELEMETRY__PROMETHEUS_ADDRESS": ":9090",
            "MEMOS_PEERS__ADDRESSES": '{"storage": "dns:///storage:7070", "inference": "unix:/run/i", "a": "b:1"}',
        }
    )
    assert config.server.address == "[::1]:0"
    assert config.peers.addresses["inference"] == "unix:/run/i"


def test_a_value_that_does_not_fit_is_named_and_not_repeated():
    with pytest.raises(ConfigError) as caught:
        read({"MEMOS_SERVER__GRACE_SECONDS": "hunter2", "MEMOS_TELEMETRY__SAMPLE_RATIO": "7"})
    assert "server.grace_seconds" in str(caught.value)
    assert "telemetry.sample_ratio" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["a = ", "\x00"])
def test_a_file_that_is_not_toml_is_an_error(toml, text):
    with pytest.raises(ConfigError, match="is not TOML"):
        read(file=toml(text))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(file=tmp_path / "none.toml")


def test_secrets_are_not_shown():
    config = read({"MEMOS_STORAGE__SECRET_KEY": "hunter2", "MEMOS_STORAGE__DATABASE_URL": "postgresql://me:pw@host/db"})
    shown = dump(config)
    assert shown["storage"]["secret_key"] == "***"
    assert shown["storage"]["database_url"] == "postgresql://me:***@host/db"
    assert dump(Schema())["storage"]["secret_key"] == ""


def test_every_key_is_listed_with_its_variable_default_and_description():
    by_key = {key.key: key for key in keys(Schema)}
    key = by_key["storage.database_url"]
    assert (key.env, key.default, key.description) == (
        "MEMOS_STORAGE__DATABASE_URL",
        "sqlite://",
        "where the catalogue is",
    )
    assert all(key.description for key in by_key.values())
