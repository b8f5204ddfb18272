"""The sections of the configuration that belong to the transport."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

_RESOLVED_BY_GRPC = ("unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:")


def host_and_port(address: str) -> tuple[str, int]:
    """Read `host:port` or `[v6]:port`; the host may be empty.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("it has to be host:port, such as 127.0.0.1:7070")
    return host.strip("[]"), int(port)


def _server(address: str) -> str:
    if not host_and_port(address)[0]:
        raise ValueError("it has to be host:port, and has no host; 0.0.0.0 is every address of this machine")
    return address


def _server_if_any(address: str) -> str:
    return _server(address) if address else address


def _metrics(address: str) -> str:
    if address:
        host_and_port(address)
    return address


def _target(target: str) -> str:
    if target.startswith(_RESOLVED_BY_GRPC):
        return target
    host, _ = host_and_port(target.rpartition("/")[2] if target.startswith("dns:") else target)
    if not host or "/" in host:
        raise ValueError("it has to be a target of gRPC, such as dns:///storage:7070")
    return target


ServerAddress = Annotated[str, AfterValidator(_server)]
OptionalServerAddress = Annotated[str, AfterValidator(_server_if_any)]
MetricsAddress = Annotated[str, AfterValidator(_metrics)]
Target = Annotated[str, AfterValidator(_target)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values never change."""

    # An error must not show what was given: it may be a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerConfig(Section):
    """Servers of the process."""

    address: ServerAddress = Field(
        "127.0.0.1:7600", description="host:port of the gRPC server; public API or internal service"
    )
    health_address: OptionalServerAddress = Field(
        "127.0.0.1:7601", description="host:port of the plaintext grpc.health.v1 server; empty turns it off"
    )
    drain_seconds: float = Field(
        0.0, ge=0, description="seconds between health off and the end of new calls, for load balancers to notice"
    )
    grace_seconds: float = Field(10.0, ge=0, description="seconds that running calls get to end at shutdown")
    connection_seconds: float = Field(
        0.0,
        ge=0,
        description="seconds after which a connection is asked to make way for a new one, so that callers find replicas"
        " that came later; calls that run on it end there; 0 keeps connections",
    )
    max_message_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="largest message, bytes")
    max_concurrent_calls: int = Field(
        256, ge=1, description="calls served at the same time at the public edge; more are refused with OVERLOADED"
    )


class TlsConfig(Section):
    """Mutual TLS; all three files or none."""

    cert_file: Path | None = Field(None, description="PEM certificate chain with a spiffe://memos/<service> identity")
    key_file: Path | None = Field(None, description="PEM private key of the certificate")
    ca_file: Path | None = Field(None, description="PEM certificates of the authorities that peers are checked against")
    client_certificates: bool = Field(
        False,
        description="whether clients of the public API need a certificate of these authorities, beside their API key",
    )


class PeerConfig(Section):
    """How the services find and trust each other."""

    addresses: dict[str, Target] = Field(
        default_factory=dict, description="gRPC target of each service, such as dns:///storage:7070"
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="shared secret of services that meet on one machine without TLS; `serve` needs it then, `up` makes "
        "its own",
    )


class TelemetryConfig(Section):
    """What the process tells about itself. Nothing leaves the machine unless an endpoint is given."""

    otlp_endpoint: str = Field(
        "", description="OTLP gRPC endpoint for spans and log lines, http://host:port; empty is off"
    )
    otlp_logs: bool = Field(
        True, description="whether log lines go to the endpoint, too; a backend for spans alone takes none"
    )
    prometheus_address: MetricsAddress = Field("", description="host:port of the Prometheus endpoint; empty is off")
    sample_ratio: float = Field(1.0, ge=0, le=1, description="share of new traces that are recorded")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["text", "json"] = Field("text", description="form of a log line")
