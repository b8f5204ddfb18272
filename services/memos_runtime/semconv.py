"""Names of attributes, metrics and metadata that transport and adapters use, in one place.

OpenTelemetry semantic conventions where there is one (rpc.*, gen_ai.*), `memos.*` otherwise. Use cases import nothing
of the runtime: what only they know, such as the legs of a search, they tell their port under a name of the same rule.
Content of memories, prompts and answers is never an attribute.
"""

# metadata of a call
TRACEPARENT = "traceparent"
AUTHORIZATION = "authorization"
PEER_KEY = "memos-peer"
GRANT_KEY = "memos-grant-bin"
AFFINITY_KEY = "memos-affinity"

# rpc
RPC_SYSTEM = "rpc.system"
RPC_SERVICE = "rpc.service"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.grpc.status_code"
ERROR_TYPE = "error.type"
PEER_SERVICE = "peer.service"

# generative AI
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
GEN_AI_RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

OPERATION_CHAT = "chat"

# generative AI memory
GEN_AI_MEMORY_ID = "gen_ai.memory.id"
GEN_AI_MEMORY_STORE_ID = "gen_ai.memory.store.id"

# memos
MEMOS_TENANT = "memos.tenant"
MEMOS_VAULT = "memos.vault"
MEMOS_CUBE = "memos.cube"
MEMOS_CUBE_COUNT = "memos.cube.count"
MEMOS_PLAN = "memos.plan"
MEMOS_JOB = "memos.job"
MEMOS_JOB_KIND = "memos.job.kind"
MEMOS_REASON = "memos.error.reason"
MEMOS_DEGRADED = "memos.degraded"
MEMOS_LINK = "memos.link"
"""Attribute of a span link: what the linked cube was used for."""
MEMOS_FIRST_EXPECTED_MS = "memos.first_token.expected_ms"
MEMOS_FIRST_MS = "memos.first_token.ms"

# metrics
METRIC_RPC_DURATION = "rpc_server_duration_seconds"
METRIC_RPC_IN_FLIGHT = "rpc_server_in_flight"
METRIC_LOOP_LAG = "event_loop_lag_seconds"
METRIC_READY = "service_ready"
METRIC_PART_UP = "part_up"
METRIC_CERTIFICATE_END = "certificate_end_timestamp_seconds"
