"""A cluster of one machine that runs rendered manifests as a kubelet would, without a container engine.

Each pod is a network namespace; each container a process with a root of its own (an overlay over this machine's files,
from which all is hidden that its image does not hold), as the user, with the mounts, variables and probes that the
manifest says. Services are names in a DNS server and addresses of a router, NetworkPolicies rules of its firewall.

manifests   what is read from the YAML
images      what an image holds, and what it runs
network     namespaces, router, firewall, DNS
policies    NetworkPolicies as rules of nftables
volumes     what is mounted
containers  a process in its namespaces
probes      gRPC, HTTP and TCP
pods        one pod from its first container to its last breath
cluster     all of it
trial       the overlay `dev` with its secrets
"""
