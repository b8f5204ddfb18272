"""Probes as a kubelet makes them: gRPC health in plain text, HTTP and TCP."""

import socket
import urllib.error
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kube.manifests import Object, port_number


def succeeds(probe: Object, address: str, pod: Object) -> bool:
    """Make a probe once."""
    timeout = probe.get("timeoutSeconds", 1)
    match probe:
        case {"grpc": {"port": port, **rest}}:
            return _healthy(f"{address}:{port}", rest.get("service", ""), timeout)
        case {"httpGet": {"path": path, "port": port}}:
            return _answers(f"http://{address}:{port_number(port, pod)}{path}", timeout)
        case {"tcpSocket": {"port": port}}:
            return _listens(address, port_number(port, pod), timeout)
    raise NotImplementedError(str(probe))


def _healthy(target: str, service: str, timeout: float) -> bool:
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _answers(url: str, timeout: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as page:
            return 200 <= page.status < 400
    except (urllib.error.URLError, OSError):
        return False


def _listens(address: str, port: int | None, timeout: float) -> bool:
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError:
        return False
    return True
