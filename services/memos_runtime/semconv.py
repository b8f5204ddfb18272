"""Names of attributes, metrics and metadata, in one place.

OpenTelemetry semantic conventions where there is one (rpc.*, gen_ai.*), `memos.*` otherwise.
Content of memories, prompts and answers is never an attribute.
"""

# metadata of a call
TRACEPARENT = "traceparent"
AUTHORIZATION = "authorization"
PEER_KEY = "memos-peer"
GRANT_KEY = "memos-grant-bin"

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
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"

OPERATION_CREATE_MEMORY = "create_memory"
OPERATION_SEARCH_MEMORY = "search_memory"
OPERATION_UPDATE_MEMORY = "update_memory"
OPERATION_DELETE_MEMORY = "delete_memory"
OPERATION_CHAT = "chat"
OPERATION_EMBEDDINGS = "embeddings"

# generative AI memory
GEN_AI_MEMORY_ID = "gen_ai.memory.id"
GEN_AI_MEMORY_STORE_ID = "gen_ai.memory.store.id"
GEN_AI_MEMORY_TYPE = "gen_ai.memory.type"
GEN_AI_MEMORY_SEARCH_RESULT_COUNT = "gen_ai.memory.search.result.count"

# memos
MEMOS_TENANT = "memos.tenant"
MEMOS_VAULT = "memos.vault"
MEMOS_CUBE = "memos.cube"
MEMOS_CUBE_COUNT = "memos.cube.count"
MEMOS_CUBE_REVISION = "memos.cube.revision"
MEMOS_CUBE_KIND = "memos.cube.kind"
MEMOS_PLAN = "memos.plan"
MEMOS_ANSWER = "memos.answer"
MEMOS_JOB = "memos.job"
MEMOS_JOB_KIND = "memos.job.kind"
MEMOS_REASON = "memos.error.reason"
MEMOS_DEGRADED = "memos.degraded"
MEMOS_LEGS = "memos.search.legs"
MEMOS_LINK = "memos.link"
"""Attribute of a span link: what the linked cube was used for."""

# metrics
METRIC_RPC_DURATION = "rpc_server_duration_seconds"
METRIC_RPC_IN_FLIGHT = "rpc_server_in_flight"
METRIC_LOOP_LAG = "event_loop_lag_seconds"
