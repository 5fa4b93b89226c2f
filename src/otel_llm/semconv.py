"""Every name this distribution writes or reads: attributes, metrics, units, buckets, environment variables.

Literals only, no logic and no import, so that a reader can search for a name and find all of its users. ``gen_ai.*``
follows the OpenTelemetry semantic conventions for generative AI (repository ``semantic-conventions-genai``, status
Development); they left ``opentelemetry-semantic-conventions`` and have no package of their own, hence the copies here.
What no convention names is ours and starts with ``otel_llm.``.
"""

from typing import Final

SCOPE_NAME: Final = "otel_llm"
"""Instrumentation scope of every span, metric and log of ours."""

SCOPE_VERSION: Final = "0.1.0"
"""The distribution's version; ``pyproject.toml`` says the same, and a test that it does."""

# --- attributes of an inference span -------------------------------------------------------------------------------

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"

REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"

RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"

USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_SOURCE: Final = "otel_llm.usage.source"

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
CONTENT: Final = (SYSTEM_INSTRUCTIONS, INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_DEFINITIONS)
"""What a user and a model said, as JSON text; on a span only where it is asked for."""

FOREIGN_CONTENT: Final = (
    *("gen_ai.prompt", "gen_ai.completion", "gen_ai.event.content", "gen_ai.tool.call.arguments"),
    *("gen_ai.tool.call.result", "gen_ai.retrieval.documents", "gen_ai.retrieval.query", "traceloop.entity.input"),
    *("traceloop.entity.output", "input.value", "output.value", "llm.input_messages", "llm.output_messages"),
    *("llm.prompts", "llm.completions", "llm.choices", "llm.prompt_template", "llm.function_call", "llm.tools"),
    *("retrieval.documents", "reranker.input_documents", "reranker.output_documents", "reranker.query"),
    *("embedding.embeddings", "embedding.text", "message.content", "tool_call.function.arguments"),
    *("ai.prompt", "ai.response.text", "ai.response.object", "ai.response.reasoning", "ai.response.toolCalls"),
    *("ai.toolCall.args", "ai.toolCall.result", "ai.value", "ai.values", "ai.embedding", "ai.embeddings"),
    *("langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.input", "langfuse.trace.output"),
)
"""Where others put what a user and a model said: the convention's older names, Traceloop, OpenInference, Vercel's AI
SDK, Langfuse. Names below one of these (with a dot) are content too."""

NO_CONTENT: Final = frozenset({"gen_ai.prompt.name", "gen_ai.prompt.version"})
"""Below one of them, and no content."""

SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

TIME_TO_FIRST_TOKEN: Final = "otel_llm.time_to_first_token"
TIME_PER_OUTPUT_TOKEN: Final = "otel_llm.time_per_output_token"
STREAM_CHUNKS: Final = "otel_llm.stream.chunks"
STREAM_MAX_GAP: Final = "otel_llm.stream.max_gap"

OUTCOME: Final = "otel_llm.outcome"
TRUNCATED: Final = "otel_llm.truncated"
ERROR_TYPE: Final = "error.type"
ERROR_CODE: Final = "otel_llm.error.code"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"

HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
ATTEMPT_BACKOFF: Final = "otel_llm.attempt.backoff"

RATELIMIT_LIMIT_REQUESTS: Final = "otel_llm.ratelimit.limit.requests"
RATELIMIT_LIMIT_TOKENS: Final = "otel_llm.ratelimit.limit.tokens"
RATELIMIT_REMAINING_REQUESTS: Final = "otel_llm.ratelimit.remaining.requests"
RATELIMIT_REMAINING_TOKENS: Final = "otel_llm.ratelimit.remaining.tokens"
RATELIMIT_TYPE: Final = "otel_llm.ratelimit.type"
RETRY_AFTER: Final = "otel_llm.retry_after"

CONNECTION_WAIT: Final = "otel_llm.connection.wait"
SERVER_QUEUE_TIME: Final = "otel_llm.server.queue_time"
SERVER_PREFILL_TIME: Final = "otel_llm.server.prefill_time"
SERVER_DECODE_TIME: Final = "otel_llm.server.decode_time"

BATCH_SIZE: Final = "otel_llm.batch.size"
DUPLICATE_OF: Final = "otel_llm.duplicate_of"
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"

QUEUE_NAME: Final = "otel_llm.queue.name"
QUEUE_WAIT: Final = "otel_llm.queue.wait"
SERVICE_TIER: Final = "otel_llm.service_tier"
COST: Final = "otel_llm.cost"
COST_CURRENCY: Final = "otel_llm.cost.currency"
COST_SOURCE: Final = "otel_llm.cost.source"
METADATA_PREFIX: Final = "otel_llm.metadata."

EVENT_EXCEPTION: Final = "gen_ai.client.operation.exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

ENERGY: Final = "otel_llm.energy"
ENERGY_IDLE: Final = "otel_llm.energy.idle"
ENERGY_METHOD: Final = "otel_llm.energy.method"

# --- values --------------------------------------------------------------------------------------------------------

OPERATION_CHAT: Final = "chat"
OPERATION_TEXT_COMPLETION: Final = "text_completion"
OPERATION_GENERATE_CONTENT: Final = "generate_content"
OPERATION_EMBEDDINGS: Final = "embeddings"
INFERENCE_OPERATIONS: Final = frozenset(
    {OPERATION_CHAT, OPERATION_TEXT_COMPLETION, OPERATION_GENERATE_CONTENT, OPERATION_EMBEDDINGS}
)
"""A span with one of these as ``gen_ai.operation.name`` is an inference span, whoever made it."""

OPERATION_DUPLICATE: Final = "duplicate"
"""The operation of a span that tells again of a call which another span tells; ``otel_llm.duplicate_of`` names it."""

OUTCOME_COMPLETED: Final = "completed"
OUTCOME_ABANDONED: Final = "abandoned"
OUTCOME_CANCELLED: Final = "cancelled"
OUTCOME_ERROR: Final = "error"

USAGE_SOURCE_PROVIDER: Final = "provider"
USAGE_SOURCE_ESTIMATED: Final = "estimated"

EVENT_INFERENCE_DETAILS: Final = "gen_ai.client.inference.operation.details"
"""An event, a log record with the span's context, that holds content apart from the span."""

COST_SOURCE_OVERRIDE: Final = "override"
COST_SOURCE_GPU_HOUR: Final = "gpu_hour"
ENERGY_METHOD_COUNTER: Final = "counter"
ENERGY_METHOD_SAMPLED: Final = "sampled"

# --- cards ---------------------------------------------------------------------------------------------------------
# Names of the hardware conventions; what they do not name is ours.

HW_ID: Final = "hw.id"
HW_NAME: Final = "hw.name"
HW_VENDOR: Final = "hw.vendor"
HW_TYPE: Final = "hw.type"
HW_TYPE_GPU: Final = "gpu"
HW_PARENT: Final = "hw.parent"
HW_GPU_TASK: Final = "hw.gpu.task"
HW_SENSOR_LOCATION: Final = "hw.sensor_location"
NETWORK_IO_DIRECTION: Final = "network.io.direction"
GPU_CLOCK_DOMAIN: Final = "otel_llm.gpu.clock.domain"
GPU_THROTTLE_REASON: Final = "otel_llm.gpu.throttle.reason"

METRIC_GPU_UTILIZATION: Final = "hw.gpu.utilization"
METRIC_GPU_MEMORY_USAGE: Final = "hw.gpu.memory.usage"
METRIC_GPU_MEMORY_LIMIT: Final = "hw.gpu.memory.limit"
METRIC_GPU_MEMORY_UTILIZATION: Final = "hw.gpu.memory.utilization"
METRIC_GPU_IO: Final = "hw.gpu.io"
METRIC_POWER: Final = "hw.power"
METRIC_ENERGY: Final = "hw.energy"
METRIC_TEMPERATURE: Final = "hw.temperature"
METRIC_FAN_SPEED_RATIO: Final = "hw.fan.speed_ratio"
METRIC_HW_ERRORS: Final = "hw.errors"
METRIC_GPU_CLOCK: Final = "otel_llm.gpu.clock"
METRIC_GPU_THROTTLE: Final = "otel_llm.gpu.throttle"
METRIC_GPU_THROUGHPUT: Final = "otel_llm.gpu.throughput"
METRIC_PROCESS_GPU_MEMORY: Final = "otel_llm.process.gpu.memory"
METRIC_SELF_GPU_READ_ERRORS: Final = "otel_llm.self.gpu_read_errors"

# --- metrics -------------------------------------------------------------------------------------------------------

METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
METRIC_TIME_PER_OUTPUT_TOKEN: Final = "otel_llm.client.time_per_output_token"
METRIC_OPERATIONS: Final = "otel_llm.client.operations"
METRIC_ACTIVE_REQUEST_MAX_AGE: Final = "otel_llm.client.active_request.max_age"
METRIC_ACTIVE_REQUESTS: Final = "otel_llm.client.active_requests"
METRIC_COST: Final = "otel_llm.client.cost"
METRIC_QUEUE_DEPTH: Final = "otel_llm.queue.depth"
METRIC_QUEUE_WAIT: Final = "otel_llm.queue.wait"
METRIC_RATELIMIT_REMAINING: Final = "otel_llm.ratelimit.remaining"
METRIC_RATELIMIT_LIMIT: Final = "otel_llm.ratelimit.limit"
METRIC_RATELIMIT_RESET: Final = "otel_llm.ratelimit.reset"
METRIC_RATELIMIT_TIME_TO_LIMIT: Final = "otel_llm.ratelimit.time_to_limit"
METRIC_SELF_ERRORS: Final = "otel_llm.self.errors"
METRIC_SELF_SPANS: Final = "otel_llm.self.spans"
METRIC_SELF_QUEUE_DEPTH: Final = "otel_llm.self.queue.depth"
METRIC_SELF_CPU_UTILIZATION: Final = "otel_llm.self.cpu.utilization"
METRIC_SELF_RESTARTS: Final = "otel_llm.self.restarts"
METRIC_SELF_FLEET_JOINED: Final = "otel_llm.self.fleet.joined"
METRIC_SELF_UNPRICED_CALLS: Final = "otel_llm.self.unpriced_calls"

RATELIMIT_TYPE_REQUESTS: Final = "requests"
RATELIMIT_TYPE_TOKENS: Final = "tokens"

METRIC_SERVER_RUNNING: Final = "otel_llm.server.requests.running"
METRIC_SERVER_WAITING: Final = "otel_llm.server.requests.waiting"
METRIC_SERVER_KV_CACHE: Final = "otel_llm.server.kv_cache.utilization"
METRIC_SERVER_CACHE_HITS: Final = "otel_llm.server.prefix_cache.hit_ratio"
METRIC_SERVER_INPUT_RATE: Final = "otel_llm.server.input_tokens.rate"
METRIC_SERVER_OUTPUT_RATE: Final = "otel_llm.server.output_tokens.rate"
METRIC_SERVER_PREFILL_RATE: Final = "otel_llm.server.prefill.rate"
METRIC_SERVER_DECODE_RATE: Final = "otel_llm.server.decode.rate"
METRIC_SERVER_QUEUE_TIME: Final = "otel_llm.server.queue.mean_time"
METRIC_SERVER_PREFILL_TIME: Final = "otel_llm.server.prefill.mean_time"
METRIC_SERVER_DECODE_TIME: Final = "otel_llm.server.decode.mean_time"

TOKEN_TYPE: Final = "gen_ai.token.type"
TOKEN_TYPE_INPUT: Final = "input"
TOKEN_TYPE_OUTPUT: Final = "output"
RESEND: Final = "otel_llm.resend"
SELF_WHERE: Final = "otel_llm.self.where"
SELF_STATE: Final = "otel_llm.self.state"
SELF_REASON: Final = "otel_llm.self.reason"
SELF_PART: Final = "otel_llm.self.part"
METRIC_OVERFLOW: Final = "otel.metric.overflow"

UNIT_SECONDS: Final = "s"
UNIT_TOKENS: Final = "{token}"
UNIT_OPERATIONS: Final = "{operation}"
UNIT_REQUESTS: Final = "{request}"
UNIT_ITEMS: Final = "{item}"
UNIT_QUOTA: Final = "{quota}"
UNIT_ERRORS: Final = "{error}"
UNIT_CURRENCY: Final = "{currency}"
UNIT_CALLS: Final = "{call}"
UNIT_SPANS: Final = "{span}"
UNIT_RESTARTS: Final = "{restart}"

DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""[s] Wider than the convention's advice at both ends: local models answer in 5 ms, reasoning ones in 10 min."""

TIME_TO_FIRST_CHUNK_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""[s]"""

TIME_PER_OUTPUT_TOKEN_BUCKETS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0),
)
"""[s] Down to half a millisecond: the convention's buckets begin at 10 ms and cannot tell 200 from 2,000 tokens/s."""

QUEUE_WAIT_BUCKETS: Final = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""[s] Five seconds, at which a queue is long, is an edge."""

TOKEN_BUCKETS: Final = (*(4.0**power for power in range(14)),)
"""[{token}] Powers of four from 1 to 67,108,864, as the convention advises."""

# --- the machine: semantic conventions ``system``, ``process``, ``cpu``, ``disk``, ``network`` ----------------------

METRIC_SYSTEM_CPU_UTILIZATION: Final = "system.cpu.utilization"
METRIC_SYSTEM_LOAD_1: Final = "system.cpu.load_average.1m"
METRIC_SYSTEM_LOAD_5: Final = "system.cpu.load_average.5m"
METRIC_SYSTEM_LOAD_15: Final = "system.cpu.load_average.15m"
METRIC_SYSTEM_MEMORY_USAGE: Final = "system.memory.usage"
METRIC_SYSTEM_MEMORY_LIMIT: Final = "system.memory.limit"
METRIC_SYSTEM_MEMORY_UTILIZATION: Final = "system.memory.utilization"
METRIC_SYSTEM_PAGING_USAGE: Final = "system.paging.usage"
METRIC_SYSTEM_PAGING_UTILIZATION: Final = "system.paging.utilization"
METRIC_SYSTEM_DISK_IO: Final = "system.disk.io"
METRIC_SYSTEM_NETWORK_IO: Final = "system.network.io"
METRIC_PROCESS_CPU_TIME: Final = "process.cpu.time"
METRIC_PROCESS_CPU_UTILIZATION: Final = "process.cpu.utilization"
METRIC_PROCESS_MEMORY_USAGE: Final = "process.memory.usage"
METRIC_PROCESS_THREAD_COUNT: Final = "process.thread.count"
METRIC_PROCESS_FILE_DESCRIPTOR_COUNT: Final = "process.unix.file_descriptor.count"
METRIC_PROCESS_EVENT_LOOP_LAG: Final = "otel_llm.process.event_loop.lag"

PROCESS_PID: Final = "process.pid"
CPU_MODE: Final = "cpu.mode"
CPU_MODE_USER: Final = "user"
CPU_MODE_NICE: Final = "nice"
CPU_MODE_SYSTEM: Final = "system"
CPU_MODE_IDLE: Final = "idle"
CPU_MODE_IOWAIT: Final = "iowait"
CPU_MODE_INTERRUPT: Final = "interrupt"
CPU_MODE_STEAL: Final = "steal"

MEMORY_STATE: Final = "system.memory.state"
MEMORY_STATE_USED: Final = "used"
MEMORY_STATE_FREE: Final = "free"
MEMORY_STATE_CACHED: Final = "cached"
MEMORY_STATE_BUFFERS: Final = "buffers"
PAGING_STATE: Final = "system.paging.state"
PAGING_STATE_USED: Final = "used"
PAGING_STATE_FREE: Final = "free"
DISK_IO_DIRECTION: Final = "disk.io.direction"
DISK_IO_READ: Final = "read"
DISK_IO_WRITE: Final = "write"
NETWORK_IO_RECEIVE: Final = "receive"
NETWORK_IO_TRANSMIT: Final = "transmit"

LIMIT_SOURCE: Final = "otel_llm.limit.source"
LIMIT_SOURCE_CGROUP: Final = "cgroup"
LIMIT_SOURCE_HOST: Final = "host"

UNIT_BYTES: Final = "By"
UNIT_RATIO: Final = "1"
UNIT_THREADS: Final = "{thread}"
UNIT_FILE_DESCRIPTORS: Final = "{file_descriptor}"

# --- alerts --------------------------------------------------------------------------------------------------------

EVENT_ALERT: Final = "otel_llm.alert"
"""An event, a log record, for each word that is told about an alert."""

ALERT_NAME: Final = "otel_llm.alert.name"
ALERT_STATUS: Final = "otel_llm.alert.status"
ALERT_FINGERPRINT: Final = "otel_llm.alert.fingerprint"
ALERT_EPISODE: Final = "otel_llm.alert.episode"
ALERT_REPEAT: Final = "otel_llm.alert.repeat"
ALERT_LABEL_PREFIX: Final = "otel_llm.alert.label."
ALERT_ANNOTATION_PREFIX: Final = "otel_llm.alert.annotation."
ALERT_RECEIVER: Final = "otel_llm.alert.receiver"
ALERT_OUTCOME: Final = "otel_llm.alert.outcome"

METRIC_ALERT_STATE: Final = "otel_llm.alert.state"
METRIC_ALERT_NOTIFICATIONS: Final = "otel_llm.alert.notifications"
METRIC_ALERT_EVALUATIONS: Final = "otel_llm.alert.evaluations"
METRIC_ALERT_FAILURES: Final = "otel_llm.alert.evaluation.failures"
METRIC_ALERT_TICKS_MISSED: Final = "otel_llm.alert.ticks.missed"
METRIC_ALERT_RELOAD_FAILURES: Final = "otel_llm.alert.reload.failures"
METRIC_ALERT_CALLS_DROPPED: Final = "otel_llm.alert.calls.dropped"
METRIC_ALERT_SAMPLES_FOLDED: Final = "otel_llm.alert.samples.folded"
METRIC_CLOCK_JUMPS: Final = "otel_llm.clock.jumps"

UNIT_NOTIFICATIONS: Final = "{notification}"
UNIT_EVALUATIONS: Final = "{evaluation}"
UNIT_RELOADS: Final = "{reload}"
UNIT_JUMPS: Final = "{jump}"
UNIT_SAMPLES: Final = "{sample}"

# --- environment ---------------------------------------------------------------------------------------------------
# Each is the YAML key's path in capitals; ``config.py`` derives them, ``opentelemetry-instrument`` reads this module's
# names (entry-point group ``opentelemetry_environment_variables``) and makes a flag of every ``OTEL_LLM_*``.

CAPTURE_MESSAGE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT_EVENT: Final = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
"""Two of OpenTelemetry's own."""

OTEL_LLM_CONFIG: Final = "OTEL_LLM_CONFIG"
OTEL_LLM_STORE_PATH: Final = "OTEL_LLM_STORE_PATH"
OTEL_LLM_STORE_ENABLED: Final = "OTEL_LLM_STORE_ENABLED"
OTEL_LLM_STORE_MAX_SIZE: Final = "OTEL_LLM_STORE_MAX_SIZE"
OTEL_LLM_STORE_MAX_AGE: Final = "OTEL_LLM_STORE_MAX_AGE"
OTEL_LLM_FORWARD: Final = "OTEL_LLM_FORWARD"
OTEL_LLM_RECEIVE_HOST: Final = "OTEL_LLM_RECEIVE_HOST"
OTEL_LLM_RECEIVE_PORT: Final = "OTEL_LLM_RECEIVE_PORT"
OTEL_LLM_RECEIVE_TOKEN: Final = "OTEL_LLM_RECEIVE_TOKEN"
OTEL_LLM_RECORD_ENABLED: Final = "OTEL_LLM_RECORD_ENABLED"
OTEL_LLM_RECORD_HOSTS: Final = "OTEL_LLM_RECORD_HOSTS"
OTEL_LLM_RECORD_PATHS: Final = "OTEL_LLM_RECORD_PATHS"
OTEL_LLM_RECORD_CONTENT_REDACT: Final = "OTEL_LLM_RECORD_CONTENT_REDACT"
OTEL_LLM_RECORD_CONTENT_MAX_SIZE: Final = "OTEL_LLM_RECORD_CONTENT_MAX_SIZE"
OTEL_LLM_COST_ENABLED: Final = "OTEL_LLM_COST_ENABLED"
OTEL_LLM_COST_PRICES: Final = "OTEL_LLM_COST_PRICES"
OTEL_LLM_PROBE_HOST: Final = "OTEL_LLM_PROBE_HOST"
OTEL_LLM_PROBE_GPU: Final = "OTEL_LLM_PROBE_GPU"
OTEL_LLM_PROBE_SERVER: Final = "OTEL_LLM_PROBE_SERVER"
OTEL_LLM_PROBE_SERVERS: Final = "OTEL_LLM_PROBE_SERVERS"
OTEL_LLM_PROBE_INTERVAL: Final = "OTEL_LLM_PROBE_INTERVAL"
OTEL_LLM_ALERTS_MODE: Final = "OTEL_LLM_ALERTS_MODE"
OTEL_LLM_ALERTS_RULES: Final = "OTEL_LLM_ALERTS_RULES"
OTEL_LLM_ALERTS_DEFAULTS: Final = "OTEL_LLM_ALERTS_DEFAULTS"
OTEL_LLM_ALERTS_URL: Final = "OTEL_LLM_ALERTS_URL"
OTEL_LLM_ALERTS_WEBHOOK: Final = "OTEL_LLM_ALERTS_WEBHOOK"
OTEL_LLM_REDIS_URL: Final = "OTEL_LLM_REDIS_URL"
OTEL_LLM_REDIS_NAMESPACE: Final = "OTEL_LLM_REDIS_NAMESPACE"
OTEL_LLM_LOG_FILE: Final = "OTEL_LLM_LOG_FILE"
OTEL_LLM_LOG_LEVEL: Final = "OTEL_LLM_LOG_LEVEL"
OTEL_LLM_LOG_MAX_SIZE: Final = "OTEL_LLM_LOG_MAX_SIZE"
OTEL_LLM_LOG_MAX_FILES: Final = "OTEL_LLM_LOG_MAX_FILES"
