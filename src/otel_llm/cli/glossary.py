"""What every name means, in one place: ``otel-llm explain`` and the reference page are made from it. Data only."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from otel_llm import semconv
from otel_llm.probe.instruments import INSTRUMENTS

Kind: TypeAlias = Literal["attribute", "metric", "event", "figure", "setting", "variable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One name that users meet.

    Attributes:
        kind: ``attribute`` of a span or metric, ``metric``, ``event`` (a log record), ``figure`` of ``otel-llm
            summary``, ``setting``, or ``variable`` of the environment that is no setting.
        unit: In UCUM, as OpenTelemetry writes it; ``None`` where there is none.
        formula: How it is worked out, ``None`` where it is simply read.
        absent: When there is no value. Absent never means 0.
        source: Who says the value.
        words: Short words that people use for it.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str | None = None
    formula: str | None = None
    absent: str | None = None
    source: str
    words: tuple[str, ...] = ()


_REQUEST: Final = "the request's body"
_ANSWER: Final = "the answer's body"
_HEADERS: Final = "the answer's headers"
_CLOCK: Final = "this process's monotonic clock"
_UNSAID: Final = "the request does not say it, so the server's own default held"
_COUNT: Final = "otel-llm's own count"
_NO_HEADER: Final = "the provider sends no such header"
_NO_USAGE: Final = (
    "the answer reports no usage (OpenAI streams do only with `stream_options: {include_usage: true}`), is an error, "
    "or was not read to its end"
)
_NO_TIMINGS: Final = "the server does not report its own times; llama.cpp and TGI do, for example"

_CALL_TERMS: Final = (
    Term(
        name=semconv.OPERATION_NAME,
        kind="attribute",
        meaning="What was asked of the model: `chat`, `text_completion`, `generate_content` or `embeddings`. "
        "A span with one of these is an inference span, whoever made it.",
        absent="the span is no inference",
        source="the request's path",
        words=("operation",),
    ),
    Term(
        name=semconv.PROVIDER_NAME,
        kind="attribute",
        meaning="Who serves the model, e.g. `openai`, `anthropic`, `azure.ai.openai`, `vllm`, `llama.cpp`, `ollama`.",
        absent="another instrumentation made the span and did not say it",
        source="the setting `record.hosts`; else host, port, path and headers; else the answer; else its format",
        words=("provider", "system"),
    ),
    Term(
        name=semconv.REQUEST_MODEL,
        kind="attribute",
        meaning="The model that was asked for.",
        absent="the request does not name one",
        source=f"{_REQUEST}, or its path",
        words=("model",),
    ),
    *(
        Term(
            name=name,
            kind="attribute",
            meaning=f"{what}, as JSON text in the convention's shape: roles, and parts such as `text`, `tool_call`, "
            "`tool_call_response`, `reasoning`, `blob` or `uri`. Media are replaced by their type and size.",
            absent="content is not asked for (`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`), or there is none",
            source=source,
            words=(word,),
        )
        for name, what, source, word in (
            (semconv.SYSTEM_INSTRUCTIONS, "Instructions that stand apart from the messages", _REQUEST, "instructions"),
            (semconv.INPUT_MESSAGES, "The messages that were sent to the model", _REQUEST, "prompt"),
            (semconv.OUTPUT_MESSAGES, "The messages that the model answered with", _ANSWER, "answer"),
            (semconv.TOOL_DEFINITIONS, "The tools that the model was offered", _REQUEST, "tools"),
        )
    ),
    Term(
        name=semconv.SERVER_ADDRESS,
        kind="attribute",
        meaning="Host that the request went to.",
        source="the request's URL",
        words=("host", "server"),
    ),
    Term(
        name=semconv.SERVER_PORT,
        kind="attribute",
        meaning="Port that the request went to.",
        source="the request's URL",
        words=("port",),
    ),
    Term(
        name=semconv.REQUEST_STREAM,
        kind="attribute",
        meaning="Whether the answer was asked for as a stream.",
        absent=_UNSAID,
        source=_REQUEST,
        words=("stream", "streaming"),
    ),
    Term(
        name=semconv.REQUEST_TEMPERATURE,
        kind="attribute",
        meaning="Sampling temperature that was asked for.",
        absent=_UNSAID,
        source=_REQUEST,
        words=("temperature",),
    ),
    Term(
        name=semconv.REQUEST_TOP_P,
        kind="attribute",
        meaning="Nucleus sampling: the share of probability to sample from.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_TOP_K,
        kind="attribute",
        meaning="How many of the likeliest tokens to sample from.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_MAX_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning="The most tokens that the answer may have.",
        absent=_UNSAID,
        source=f"{_REQUEST}: `max_tokens`, `max_completion_tokens` or `max_output_tokens`",
    ),
    Term(
        name=semconv.REQUEST_SEED,
        kind="attribute",
        meaning="Seed for sampling that was asked for.",
        absent=_UNSAID,
        source=_REQUEST,
        words=("seed",),
    ),
    Term(
        name=semconv.REQUEST_FREQUENCY_PENALTY,
        kind="attribute",
        meaning="Penalty for tokens by how often they stand in the text already.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_PRESENCE_PENALTY,
        kind="attribute",
        meaning="Penalty for tokens that stand in the text already.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_STOP_SEQUENCES,
        kind="attribute",
        meaning="Texts at which the model is to stop.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_CHOICE_COUNT,
        kind="attribute",
        meaning="How many answers were asked for at once.",
        absent=f"{_UNSAID}, or it is 1",
        source=f"{_REQUEST}: `n`",
    ),
    Term(
        name=semconv.REQUEST_REASONING_LEVEL,
        kind="attribute",
        meaning="How much the model was asked to reason, in the provider's words.",
        absent=_UNSAID,
        source=_REQUEST,
    ),
    Term(
        name=semconv.REQUEST_ENCODING_FORMATS,
        kind="attribute",
        meaning="How embeddings are to be written, e.g. `float` or `base64`.",
        absent=f"{_UNSAID}, or the call asks for no embeddings",
        source=_REQUEST,
    ),
    Term(
        name=semconv.EMBEDDINGS_DIMENSION_COUNT,
        kind="attribute",
        meaning="How many dimensions the embeddings are to have.",
        absent=f"{_UNSAID}, or the call asks for no embeddings",
        source=_REQUEST,
    ),
    Term(
        name=semconv.RESPONSE_MODEL,
        kind="attribute",
        meaning="The model that answered, by its full name; may differ from the one asked for.",
        absent="the answer does not name it, or there was none",
        source=_ANSWER,
    ),
    Term(
        name=semconv.RESPONSE_ID,
        kind="attribute",
        meaning="The provider's id of the answer: what its support asks for.",
        absent="the answer has none, or there was none",
        source=_ANSWER,
    ),
    Term(
        name=semconv.RESPONSE_FINISH_REASONS,
        kind="attribute",
        meaning="Why the model stopped, one for each choice, in the provider's words: `stop`, `length`, `tool_calls`.",
        absent="the answer did not come to its end, or the format has none (embeddings)",
        source=_ANSWER,
        words=("finish", "finish_reason", "finish_reasons"),
    ),
    Term(
        name=semconv.USAGE_INPUT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning="Tokens of the prompt, those read from and written to a cache included.",
        formula="as reported; for Anthropic `input_tokens + cache_read_input_tokens + cache_creation_input_tokens`",
        absent=_NO_USAGE,
        source=_ANSWER,
        words=("input_tokens", "prompt_tokens", "in"),
    ),
    Term(
        name=semconv.USAGE_OUTPUT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning="Tokens that the model made, reasoning included. "
        f"`{semconv.USAGE_SOURCE}` says whether they are reported or estimated.",
        formula="as reported; where a stream reports none, the number of chunks with output, and then "
        f"`{semconv.USAGE_SOURCE}` is `{semconv.USAGE_SOURCE_ESTIMATED}`",
        absent="the answer reports none and holds no chunks to count",
        source=_ANSWER,
        words=("output_tokens", "completion_tokens", "tokens", "out"),
    ),
    Term(
        name=semconv.USAGE_CACHE_READ_INPUT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning=f"Prompt tokens that came from the provider's cache; part of `{semconv.USAGE_INPUT_TOKENS}`.",
        absent="the provider does not report cache use",
        source=_ANSWER,
        words=("cached", "cache", "cached_tokens"),
    ),
    Term(
        name=semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning=f"Prompt tokens that were written to the provider's cache; part of `{semconv.USAGE_INPUT_TOKENS}`.",
        absent="the provider does not report cache use",
        source=_ANSWER,
    ),
    Term(
        name=semconv.USAGE_REASONING_OUTPUT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning=f"Tokens of reasoning; part of `{semconv.USAGE_OUTPUT_TOKENS}`.",
        absent="the model does not reason, or the provider does not report it",
        source=_ANSWER,
        words=("reasoning", "reasoning_tokens"),
    ),
    Term(
        name=semconv.USAGE_SOURCE,
        kind="attribute",
        meaning=f"Where the token counts come from: `{semconv.USAGE_SOURCE_PROVIDER}` when the server reported them, "
        f"`{semconv.USAGE_SOURCE_ESTIMATED}` when chunks of a stream were counted. An estimate is never used for "
        f"`{semconv.TIME_PER_OUTPUT_TOKEN}`.",
        absent="there are no token counts",
        source="otel-llm",
        words=("usage.source", "usage_source", "estimated"),
    ),
    Term(
        name=semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="From the start of the request to the first message of the stream, empty or not. The first chunk of "
        f"OpenAI chat is an empty role delta, so this may be shorter than `{semconv.TIME_TO_FIRST_TOKEN}`.",
        formula="time of first message - start of the request, waiting for a connection included",
        absent="the answer is no stream, or nothing of it came",
        source=_CLOCK,
        words=("ttfc", "time_to_first_chunk"),
    ),
    Term(
        name=semconv.TIME_TO_FIRST_TOKEN,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="From the start of the request to the first message with output (text, reasoning, a tool call): "
        "what a reader waits for.",
        formula="time of first message with output - start of the request, waiting for a connection included",
        absent="the answer is no stream, or carried no output",
        source=_CLOCK,
        words=("ttft", "time_to_first_token", "first_token"),
    ),
    Term(
        name=semconv.TIME_PER_OUTPUT_TOKEN,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="Mean time for each token after the first: the pace of decoding.",
        formula="(duration - time_to_first_token) / (output_tokens - 1)",
        absent="the answer is no stream, did not come to its end, has fewer than two tokens, or they are estimated",
        source=f"{_CLOCK} and the tokens that the server reported",
        words=("tpot", "itl", "inter_token_latency", "time_per_output_token"),
    ),
    Term(
        name=semconv.STREAM_CHUNKS,
        kind="attribute",
        meaning="Messages that the stream held. A chunk is not a token: a server may send several tokens in one.",
        absent="the answer is no stream",
        source=_COUNT,
        words=("chunks",),
    ),
    Term(
        name=semconv.STREAM_MAX_GAP,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="The longest wait between two pieces of the stream: a stall that a mean hides.",
        formula="max(time of piece - time of the piece before)",
        absent="the answer is no stream, or came in one piece",
        source=_CLOCK,
        words=("gap", "max_gap", "stall"),
    ),
    Term(
        name=semconv.OUTCOME,
        kind="attribute",
        meaning=f"How the call ended: `{semconv.OUTCOME_COMPLETED}`; `{semconv.OUTCOME_ABANDONED}` (the reader "
        f"stopped before the end); `{semconv.OUTCOME_CANCELLED}` (the task was cancelled); `{semconv.OUTCOME_ERROR}`. "
        "Only the last sets the span's status to ERROR.",
        absent="another instrumentation made the span",
        source="otel-llm",
        words=("outcome",),
    ),
    Term(
        name=semconv.ERROR_TYPE,
        kind="attribute",
        meaning="What went wrong: the HTTP status code as text, the class of the exception, the provider's code of an "
        "error that came inside the stream, or `incomplete_stream` for one that was cut off.",
        absent="nothing went wrong",
        source="the answer, or the HTTP client",
        words=("error",),
    ),
    Term(
        name=semconv.ERROR_CODE,
        kind="attribute",
        meaning="The provider's own code of the error, e.g. `rate_limit_exceeded`.",
        absent="nothing went wrong, or the provider gave no code",
        source=_ANSWER,
    ),
    Term(
        name=semconv.HTTP_RESPONSE_STATUS_CODE,
        kind="attribute",
        meaning="The answer's HTTP status.",
        absent="no answer came",
        source="the answer",
        words=("status", "status_code"),
    ),
    Term(
        name=semconv.HTTP_REQUEST_RESEND_COUNT,
        kind="attribute",
        meaning="How many attempts of the same call went before this one. A span is one attempt; that of a resend "
        "links to the attempt before.",
        absent="this is the first attempt",
        source="the SDK's retry header, or attempts seen",
        words=("resend", "retry", "retries", "resend_count"),
    ),
    Term(
        name=semconv.ATTEMPT_BACKOFF,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="How long the SDK waited before this attempt.",
        formula="start of this attempt - end of the attempt before",
        absent="this is the first attempt",
        source=_CLOCK,
        words=("backoff",),
    ),
    Term(
        name=semconv.RATELIMIT_LIMIT_REQUESTS,
        kind="attribute",
        meaning="How many requests the provider allows in its window.",
        absent=_NO_HEADER,
        source=_HEADERS,
        words=("ratelimit",),
    ),
    Term(
        name=semconv.RATELIMIT_LIMIT_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning="How many tokens the provider allows in its window.",
        absent=_NO_HEADER,
        source=_HEADERS,
    ),
    Term(
        name=semconv.RATELIMIT_REMAINING_REQUESTS,
        kind="attribute",
        meaning="How many requests are left in the provider's window.",
        absent=_NO_HEADER,
        source=_HEADERS,
    ),
    Term(
        name=semconv.RATELIMIT_REMAINING_TOKENS,
        kind="attribute",
        unit=semconv.UNIT_TOKENS,
        meaning="How many tokens are left in the provider's window.",
        absent=_NO_HEADER,
        source=_HEADERS,
    ),
    Term(
        name=semconv.RETRY_AFTER,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="How long the provider asks to wait before another attempt.",
        absent=_NO_HEADER,
        source=_HEADERS,
    ),
    Term(
        name=semconv.CONNECTION_WAIT,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="Time before the request could be sent: waiting for a free connection of the pool, then connect and "
        "TLS. Part of the duration.",
        absent="the transport does not tell (a custom one), or nothing was sent",
        source="the HTTP client's trace events, or its connection where it has none (aiohttp, urllib3)",
        words=("connect", "connection", "pool"),
    ),
    Term(
        name=semconv.SERVER_QUEUE_TIME,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="Time that the request waited in the server, by the server's own clock.",
        absent=_NO_TIMINGS,
        source=_ANSWER,
    ),
    Term(
        name=semconv.SERVER_PREFILL_TIME,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="Time that the server took to read the prompt, by the server's own clock.",
        absent=_NO_TIMINGS,
        source=_ANSWER,
        words=("prefill",),
    ),
    Term(
        name=semconv.SERVER_DECODE_TIME,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="Time that the server took to make the tokens, by the server's own clock.",
        absent=_NO_TIMINGS,
        source=_ANSWER,
        words=("decode",),
    ),
    Term(
        name=semconv.BATCH_SIZE,
        kind="attribute",
        meaning="How many prompts one call of a model in the same process carried; tokens are their sum, times are the "
        "batch's.",
        absent="it was one, or the call went over a wire",
        source="the library that runs the model",
        words=("batch",),
    ),
    Term(
        name=semconv.QUEUE_NAME,
        kind="attribute",
        meaning="The application's own queue that the call waited in.",
        absent="the application names none",
        source="the application",
        words=("queue",),
    ),
    Term(
        name=semconv.QUEUE_WAIT,
        kind="attribute",
        unit=semconv.UNIT_SECONDS,
        meaning="How long the call waited in the application's own queue, before its span began. The metric of the "
        "same name measures every wait, whether a call came of it or not.",
        absent="the application names no queue",
        source="the application",
        words=("queue_wait",),
    ),
    Term(
        name=semconv.SERVICE_TIER,
        kind="attribute",
        meaning="How the provider says that it served the call, where that is not its standard way: `batch`, `flex`, "
        "`priority`. Such calls have prices of their own.",
        absent="it was the standard way, or the provider does not say",
        source=f"{_ANSWER}; the application",
        words=("tier",),
    ),
    Term(
        name=semconv.COST,
        kind="attribute",
        unit=semconv.UNIT_CURRENCY,
        meaning="What the call cost, in the currency that `otel_llm.cost.currency` names: its tokens at the model's "
        "prices, or its share of the time of a server of your own. Estimated tokens have no cost, nor have fees that "
        "are not charged by the token.",
        formula="(input - cached - written) x input + cached x cache_read + written x cache_write + output x output; "
        "or seconds / calls at the same time x price of the server's hour / 3600",
        absent="the price or the tokens are not known, or the service tier has no price",
        source="the price table, your own file (`cost.prices`) first",
        words=("price",),
    ),
    Term(
        name=semconv.COST_CURRENCY,
        kind="attribute",
        meaning="The currency of the cost, ISO 4217.",
        absent="there is no cost",
        source="the price table",
        words=("currency",),
    ),
    Term(
        name=semconv.COST_SOURCE,
        kind="attribute",
        meaning="Where the price comes from: the table with its date or version (`otel-llm 2026-11-22`, `genai-prices "
        "0.2.3`), `override` (your file) or `gpu_hour` (your file's price of a server's time).",
        absent="there is no cost",
        source="the price table",
    ),
    Term(
        name=semconv.TRUNCATED,
        kind="attribute",
        meaning="The answer outgrew what is held of it (64 KiB of a stream), so what its middle says may be missing, "
        "or content that is recorded was cut. Counts and times go on.",
        absent="nothing was cut",
        source="otel-llm",
        words=("truncated",),
    ),
    Term(
        name=semconv.DUPLICATE_OF,
        kind="attribute",
        meaning="Id of the span that tells this call. Another instrumentation told it again with this span; its "
        "operation is now `duplicate`, so that no sum counts it twice.",
        absent="the span tells a call of its own, or none",
        source="otel-llm",
    ),
    Term(
        name=semconv.METADATA_PREFIX + "*",
        kind="attribute",
        meaning="The application's own values, under names of its own.",
        absent="the application gives none",
        source="the application",
        words=("metadata",),
    ),
)

_METRIC_ATTRIBUTE_TERMS: Final = (
    Term(
        name=semconv.TOKEN_TYPE,
        kind="attribute",
        meaning=f"On `{semconv.METRIC_TOKEN_USAGE}`: `{semconv.TOKEN_TYPE_INPUT}` or `{semconv.TOKEN_TYPE_OUTPUT}`.",
        source="otel-llm",
    ),
    Term(
        name=semconv.RATELIMIT_TYPE,
        kind="attribute",
        meaning=f"On the metrics of rate limits: `{semconv.RATELIMIT_TYPE_REQUESTS}` or "
        f"`{semconv.RATELIMIT_TYPE_TOKENS}`.",
        source="otel-llm",
    ),
    Term(
        name=semconv.RESEND,
        kind="attribute",
        meaning=f"On `{semconv.METRIC_OPERATIONS}`: whether the attempt is a resend. Calls are attempts less resends.",
        source="otel-llm",
    ),
    Term(
        name=semconv.SELF_WHERE,
        kind="attribute",
        meaning=f"On `{semconv.METRIC_SELF_ERRORS}`: the part of otel-llm in which an error was swallowed.",
        source="otel-llm",
    ),
    Term(
        name=semconv.SELF_STATE,
        kind="attribute",
        meaning=f"On `{semconv.METRIC_SELF_SPANS}`: what became of the span: `seen`, `stored`, `judged`, `exported`, "
        "`dropped`.",
        source="otel-llm",
    ),
    Term(
        name=semconv.SELF_REASON,
        kind="attribute",
        meaning=f"On `{semconv.METRIC_SELF_SPANS}`: why a span was dropped.",
        absent="the span was not dropped",
        source="otel-llm",
    ),
    Term(
        name=semconv.SELF_PART,
        kind="attribute",
        meaning="On `otel_llm.self.*`: the part of otel-llm that a figure is of, e.g. `store`, `alerts`, `exporters`, "
        "`forward`.",
        source="otel-llm",
    ),
    Term(
        name=semconv.METRIC_OVERFLOW,
        kind="attribute",
        meaning="Set on the one series that takes in whatever exceeds the limit of series of a metric.",
        absent="the limit is not reached",
        source="the OpenTelemetry SDK",
    ),
)

_METRIC_TERMS: Final = (
    Term(
        name=semconv.METRIC_OPERATION_DURATION,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning="How long inferences took, one value an attempt, from the request to the answer's end. Histogram.",
        formula="end of the answer - start of the request, waiting for a connection included",
        source=_CLOCK,
        words=("duration", "latency", "e2e"),
    ),
    Term(
        name=semconv.METRIC_TOKEN_USAGE,
        kind="metric",
        unit=semconv.UNIT_TOKENS,
        meaning=f"Tokens used, one value for input and one for output (`{semconv.TOKEN_TYPE}`). Histogram.",
        absent="the answer reports no tokens; estimates are not counted here",
        source=_ANSWER,
        words=("token_usage", "usage"),
    ),
    Term(
        name=semconv.METRIC_TIME_TO_FIRST_CHUNK,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning="From the start of the request to the first chunk, empty or not. Histogram, streams only.",
        formula=f"as the attribute `{semconv.RESPONSE_TIME_TO_FIRST_CHUNK}`",
        absent="the answer is no stream",
        source=_CLOCK,
    ),
    Term(
        name=semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning="Mean time for each token after the first. Histogram; resolves half a millisecond.",
        formula="(duration - time_to_first_token) / (output_tokens - 1)",
        absent=f"the span has no `{semconv.TIME_PER_OUTPUT_TOKEN}`",
        source=f"{_CLOCK} and the tokens that the server reported",
    ),
    Term(
        name=semconv.METRIC_OPERATIONS,
        kind="metric",
        unit=semconv.UNIT_OPERATIONS,
        meaning="Inference attempts that ended. A counter without `error.type`, so that a ratio of errors sees the "
        "first one.",
        source=_COUNT,
        words=("operations",),
    ),
    Term(
        name=semconv.METRIC_ACTIVE_REQUEST_MAX_AGE,
        kind="metric",
        unit="s",
        meaning="Age of the oldest inference of the process that has not ended; 0 where none is in flight.",
        source="the alert processor's table of calls in flight",
    ),
    Term(
        name=semconv.METRIC_ACTIVE_REQUESTS,
        kind="metric",
        unit=semconv.UNIT_REQUESTS,
        meaning="Inferences in flight now, open streams included.",
        source=_COUNT,
        words=("active", "in_flight"),
    ),
    Term(
        name=semconv.METRIC_QUEUE_DEPTH,
        kind="metric",
        unit=semconv.UNIT_ITEMS,
        meaning=f"How many wait now in a queue of the application's own (`{semconv.QUEUE_NAME}`), in this process. "
        "Gauge.",
        absent="the application names no queue",
        source="the application, by `otel_llm.queue`",
        words=("depth", "queue_depth"),
    ),
    Term(
        name=semconv.METRIC_QUEUE_WAIT,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning=f"How long waits in a queue of the application's own (`{semconv.QUEUE_NAME}`) were, one value a wait. "
        "Histogram.",
        formula="start of the work - enqueued",
        absent="the application names no queue",
        source=_CLOCK,
    ),
    Term(
        name=semconv.METRIC_RATELIMIT_REMAINING,
        kind="metric",
        unit=semconv.UNIT_QUOTA,
        meaning=f"What is left in the provider's window, as its latest answer said: requests or tokens "
        f"(`{semconv.RATELIMIT_TYPE}`), by provider, model and host. Gauge.",
        absent="the provider sends no such header, the window was renewed since, or its last answer is 5 min old",
        source=_HEADERS,
        words=("remaining", "saturation"),
    ),
    Term(
        name=semconv.METRIC_RATELIMIT_LIMIT,
        kind="metric",
        unit=semconv.UNIT_QUOTA,
        meaning="What the provider allows in its window, as its latest answer said. Gauge.",
        absent="the provider sends no such header, or its last answer is 5 min old",
        source=_HEADERS,
    ),
    Term(
        name=semconv.METRIC_RATELIMIT_RESET,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning="Time until the provider's window is renewed. Gauge.",
        formula="what the answer said - time since",
        absent="the provider sends no such header, or the window was renewed since",
        source=f"{_HEADERS} and {_CLOCK}",
        words=("reset",),
    ),
    Term(
        name=semconv.METRIC_RATELIMIT_TIME_TO_LIMIT,
        kind="metric",
        unit=semconv.UNIT_SECONDS,
        meaning="A forecast: time until nothing is left in the provider's window, if all goes on as in the last "
        "minute. It knows nothing of the window's renewal: compare it with `otel_llm.ratelimit.reset`. Gauge.",
        formula="remaining / (what was used in the last 60 s / the time that is known of, up to 60 s)",
        absent="nothing was used, fewer than two answers came, less than 1 s is known of, or remaining is absent",
        source=f"{_HEADERS} and {_CLOCK}",
        words=("forecast", "time_to_limit"),
    ),
    Term(
        name=semconv.METRIC_COST,
        kind="metric",
        unit=semconv.UNIT_CURRENCY,
        meaning="What finished calls cost, by `otel_llm.cost.currency`.",
        absent="no call's price is known",
        source="the price table",
        words=("spent",),
    ),
    Term(
        name=semconv.METRIC_SELF_UNPRICED_CALLS,
        kind="metric",
        unit=semconv.UNIT_CALLS,
        meaning="Calls whose tokens are known and whose price is not, by provider and model: their cost is absent. "
        "Models of servers of your own (vLLM, llama.cpp, Ollama, ...) are not counted.",
        absent="there is none",
        source=_COUNT,
        words=("unpriced",),
    ),
    Term(
        name=semconv.METRIC_SELF_ERRORS,
        kind="metric",
        unit=semconv.UNIT_ERRORS,
        meaning="Errors of otel-llm's own that were kept from the application. Anything but 0 is worth a bug report.",
        source=_COUNT,
        words=("self", "errors_of_ours"),
    ),
)

_EVENT_TERMS: Final = (
    Term(
        name=semconv.EVENT_EXCEPTION,
        kind="event",
        meaning="An exception that ended a call of the client SDK, on the call's trace and span: its type, its text "
        "without secrets, and the lines of code that it came through. Severity ERROR.",
        absent="the call did not end in an error, or was recorded on the wire alone",
        source="otel-llm",
        words=("exception",),
    ),
)

_ALERT_ATTRIBUTE_TERMS: Final = (
    Term(
        name=semconv.ALERT_NAME,
        kind="attribute",
        meaning="Which alert it is: the rule's name, `alertname` elsewhere.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_STATUS,
        kind="attribute",
        meaning="What is told: `firing` or `resolved`.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_FINGERPRINT,
        kind="attribute",
        meaning="Which alert of its rule it is: 16 hex digits of its name and the labels that tell it apart.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_EPISODE,
        kind="attribute",
        meaning="How often the alert fired so far.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_REPEAT,
        kind="attribute",
        meaning="How often this word was said before; 0 the first time.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_RECEIVER,
        kind="attribute",
        meaning="Who was to hear of it: a receiver's name, or `alertmanager`.",
        source="the process that judges",
    ),
    Term(
        name=semconv.ALERT_OUTCOME,
        kind="attribute",
        meaning="How delivering went: `sent`, `failed`, `dead`, `dropped`.",
        source="the process that judges",
    ),
    Term(
        name=f"{semconv.ALERT_LABEL_PREFIX}*",
        kind="attribute",
        meaning="A label of the alert.",
        source="the process that judges",
    ),
    Term(
        name=f"{semconv.ALERT_ANNOTATION_PREFIX}*",
        kind="attribute",
        meaning="An annotation: a text of the rule, or `value`, `threshold`, `window`, `samples`, `reason`.",
        source="the process that judges",
    ),
)

_ALERT_TERMS: Final = (
    Term(
        name=semconv.EVENT_ALERT,
        kind="event",
        meaning="What is told about an alert: one event for each word, whatever the receivers, silences and routes. "
        f"Attributes `{semconv.ALERT_NAME}`, `{semconv.ALERT_STATUS}` (`firing`, `resolved`), "
        f"`{semconv.ALERT_FINGERPRINT}`, `{semconv.ALERT_EPISODE}`, `{semconv.ALERT_REPEAT}`, and its labels and "
        f"annotations under `{semconv.ALERT_LABEL_PREFIX}` and `{semconv.ALERT_ANNOTATION_PREFIX}`. Severity ERROR for "
        "a critical alert, WARN for another, INFO for an end.",
        source="the process that judges",
    ),
    Term(
        name=semconv.METRIC_ALERT_STATE,
        kind="metric",
        unit=semconv.UNIT_RATIO,
        meaning=f"Where each alert stands: 0 inactive, 1 pending, 2 firing. By `{semconv.ALERT_NAME}` and its labels "
        f"(`{semconv.ALERT_LABEL_PREFIX}`...). Gauge.",
        absent="the alert rests and is forgotten, or another process judges",
        source="the process that judges",
    ),
    Term(
        name=semconv.METRIC_ALERT_NOTIFICATIONS,
        kind="metric",
        unit=semconv.UNIT_NOTIFICATIONS,
        meaning=f"Messages by `{semconv.ALERT_RECEIVER}` and `{semconv.ALERT_OUTCOME}`: `sent`, `failed` (a try that "
        "comes again), `dead` (refused for good, or for a day), `dropped` (one too many that waited).",
        absent="nothing was to be told yet",
        source="the process that judges",
        words=("notifications",),
    ),
    Term(
        name=semconv.METRIC_ALERT_EVALUATIONS,
        kind="metric",
        unit=semconv.UNIT_EVALUATIONS,
        meaning="Rules evaluated.",
        source="the process that judges",
    ),
    Term(
        name=semconv.METRIC_ALERT_FAILURES,
        kind="metric",
        unit=semconv.UNIT_EVALUATIONS,
        meaning="Evaluations that failed; three in a row are an alert, `OtelLlmRuleEvaluationFailing`.",
        source="the process that judges",
    ),
    Term(
        name=semconv.METRIC_ALERT_TICKS_MISSED,
        kind="metric",
        unit=semconv.UNIT_EVALUATIONS,
        meaning="Evaluations that came over three intervals late; the time between counts as one interval.",
        source="the process that judges",
    ),
    Term(
        name=semconv.METRIC_ALERT_RELOAD_FAILURES,
        kind="metric",
        unit=semconv.UNIT_RELOADS,
        meaning="Rule files that changed, had a mistake and were not taken up.",
        source=_COUNT,
    ),
    Term(
        name=semconv.METRIC_ALERT_CALLS_DROPPED,
        kind="metric",
        unit=semconv.UNIT_REQUESTS,
        meaning="Finished calls that came faster than they could be counted for alerts; their spans are kept.",
        source=_COUNT,
    ),
    Term(
        name=semconv.METRIC_ALERT_SAMPLES_FOLDED,
        kind="metric",
        unit=semconv.UNIT_SAMPLES,
        meaning="Samples beyond `max_instances`, or beyond 512 series of a process; judged as one, `__other__`.",
        source=_COUNT,
    ),
    Term(
        name=semconv.METRIC_CLOCK_JUMPS,
        kind="metric",
        unit=semconv.UNIT_JUMPS,
        meaning="Jumps of the wall clock of over two seconds. Alerts do not go by it.",
        source=_CLOCK,
    ),
)

_FIGURE_TERMS: Final = (
    Term(
        name="attempts",
        kind="figure",
        meaning="HTTP attempts: inference spans in the range.",
        source="the store",
    ),
    Term(
        name="calls",
        kind="figure",
        meaning="Calls as the application sees them: what an SDK resends on its own is the same call. Retries of the "
        "application's own are calls.",
        formula="attempts - resends",
        source="the store",
    ),
    Term(
        name="failed_attempts",
        kind="figure",
        meaning="Attempts that ended in an error, those that were resent included.",
        source="the store",
    ),
    Term(
        name="errors",
        kind="figure",
        meaning="Calls that failed: a failed attempt that was resent is not a failed call.",
        formula="failed attempts - resends, at least 0",
        source="the store",
    ),
    Term(
        name="error_rate",
        kind="figure",
        unit="1",
        meaning="Share of calls that failed.",
        formula="errors / calls",
        absent="there are no calls",
        source="the store",
    ),
    Term(
        name="cancelled",
        kind="figure",
        meaning=f"Attempts with the outcome `{semconv.OUTCOME_CANCELLED}`. No error.",
        source="the store",
    ),
    Term(
        name="abandoned",
        kind="figure",
        meaning=f"Attempts with the outcome `{semconv.OUTCOME_ABANDONED}`. No error.",
        source="the store",
    ),
    Term(
        name="tokens_per_second",
        kind="figure",
        unit="{token}/s",
        meaning="Throughput of output over all calls of the group together; for the pace of one call see "
        f"`{semconv.TIME_PER_OUTPUT_TOKEN}`.",
        formula="reported output tokens / (last end - first start)",
        absent="no call of the group reports tokens",
        source="the store",
        words=("throughput",),
    ),
    Term(
        name="percentiles",
        kind="figure",
        meaning="`p50`, `p90`, `p95`, `p99` and `max` of the values of single calls, linear between the two nearest "
        "ranks. Exact in a range with up to 20,000 spans; in a larger one, and in hours that lost spans to age or "
        "quota, whole hours are told by roll-ups, off by 2.2 % at most. The percentiles of the duration are over "
        "attempts that completed, those of the other times over all attempts that have one.",
        absent="there is no value; `p99` also below 100 values",
        source="the store",
        words=("p50", "p90", "p95", "p99", "median", "quantile"),
    ),
    Term(
        name="cost",
        kind="figure",
        meaning="What the calls cost, by currency: the sum of `otel_llm.cost` over those that have one. `priced` says "
        "how many those are.",
        absent="no call has a cost",
        source="the store",
    ),
    Term(
        name="priced",
        kind="figure",
        unit="{attempt}",
        meaning="Attempts that have a cost.",
        source="the store",
    ),
    Term(
        name="energy",
        kind="figure",
        unit="J",
        meaning="The sum of `otel_llm.energy` over the calls that have one.",
        absent="no call has an energy",
        source="the store",
    ),
    Term(
        name="energy_per_output_token",
        kind="figure",
        unit="J",
        meaning="The energy of an output token, over the calls that have an energy and reported tokens.",
        formula="energy / their output tokens",
        absent="no call has both",
        source="the store",
        words=("joules_per_token",),
    ),
    Term(
        name="concurrency",
        kind="figure",
        meaning="Attempts under way at once: `mean` over the group's time, and `max`.",
        formula="all durations together / time from the group's first start to its last end",
        absent="the group has no length; `max` also where roll-ups stand for spans",
        source="the store",
        words=("parallel",),
    ),
    Term(
        name="cancel_rate",
        kind="figure",
        unit="1",
        meaning="Share of attempts that were cancelled.",
        formula="cancelled / attempts",
        absent="there are no attempts",
        source="the store",
    ),
    Term(
        name="cache_hit_share",
        kind="figure",
        unit="1",
        meaning="Share of input tokens that came from the provider's cache.",
        formula="cache_read_input_tokens / input_tokens",
        absent="no call says either",
        source="the store",
        words=("cached_share",),
    ),
    Term(
        name="calls_per_second",
        kind="figure",
        unit="{call}/s",
        meaning="Throughput in calls.",
        formula="calls / time from the group's first start to its last end",
        absent="there are fewer than two calls",
        source="the store",
    ),
    Term(
        name="input_tokens_per_second",
        kind="figure",
        unit="{token}/s",
        meaning="Throughput of prompts.",
        formula="input_tokens / time from the group's first start to its last end",
        absent="no call says its input tokens",
        source="the store",
    ),
)

_SETTING_TERMS: Final = (
    Term(
        name=semconv.OTEL_LLM_CONFIG,
        kind="variable",
        meaning="The YAML file that holds the settings.",
        absent="it is `./otel-llm.yaml`, else `otel-llm/otel-llm.yaml` in the platform's folder for user configuration",
        source="user",
        words=("config",),
    ),
    Term(
        name=semconv.CAPTURE_MESSAGE_CONTENT,
        kind="variable",
        meaning="Where prompts and answers are recorded, in OpenTelemetry's words: `NO_CONTENT`, `SPAN_ONLY`, "
        "`EVENT_ONLY` or `SPAN_AND_EVENT`; `true` is `SPAN_ONLY`. The event is "
        f"`{semconv.EVENT_INFERENCE_DETAILS}`; `{semconv.EMIT_EVENT}=false` keeps it back.",
        absent="no content is recorded",
        source="user",
        words=("content",),
    ),
    Term(
        name="store.enabled",
        kind="setting",
        meaning="Whether spans, metrics and logs are kept in the local store.",
        source="user",
    ),
    Term(
        name="store.path",
        kind="setting",
        meaning="File of the local store (SQLite). Its folder is created.",
        absent="it is `otel-llm/otel-llm.db` in the platform's folder for user data",
        source="user",
        words=("store", "database", "db"),
    ),
    Term(
        name="store.max_size",
        kind="setting",
        unit="By",
        meaning="The store's largest size; the oldest goes first.",
        source="user",
    ),
    Term(
        name="store.max_age",
        kind="setting",
        unit=semconv.UNIT_SECONDS,
        meaning="How long the store keeps what it has.",
        source="user",
        words=("retention", "max_age"),
    ),
    Term(
        name="record.enabled",
        kind="setting",
        meaning="Whether calls are recorded. Off, spans of other instrumentations are still stored.",
        source="user",
    ),
    Term(
        name="record.hosts",
        kind="setting",
        meaning="Provider by `host` or `host:port`, for servers whose provider cannot be told from what they say, e.g. "
        "`{localhost:8000: vllm}`. As a variable: `localhost:8000=vllm,10.0.0.7=tgi`.",
        source="user",
    ),
    Term(
        name="record.paths",
        kind="setting",
        meaning="Format by path ending, for paths that no format knows, e.g. `{/llm/v3/talk: openai}`. It is read as "
        "the format's first path, or as the one behind its name: `openai/embeddings`.",
        source="user",
    ),
    Term(
        name="probe.host",
        kind="setting",
        meaning="Whether the machine and the process are read.",
        source="user",
    ),
    Term(
        name="probe.gpu",
        kind="setting",
        meaning="Whether the cards are read.",
        source="user",
    ),
    Term(
        name="probe.server",
        kind="setting",
        meaning="Whether the `/metrics` page of a vLLM, llama.cpp, SGLang or TGI server that was called is read.",
        source="user",
    ),
    Term(
        name="probe.servers",
        kind="setting",
        meaning="More such pages, each under a name: `llm=http://10.0.0.7:8000/metrics`.",
        source="user",
    ),
    Term(
        name="probe.interval",
        kind="setting",
        unit=semconv.UNIT_SECONDS,
        meaning="Time between two readings of the machine, and between two collections of metrics into the store; at "
        "least 100 ms.",
        source="user",
    ),
    Term(
        name="record.content.redact",
        kind="setting",
        meaning="A function, `module:function`, that is given the content of each call, messages by attribute, before "
        "it goes anywhere, and returns what may. Where it fails, the call's content is dropped.",
        absent="only keys are taken out",
        source="user",
    ),
    Term(
        name="record.content.max_size",
        kind="setting",
        meaning="Most JSON text of one attribute of content; what is longer is cut. More than `64KiB` is `64KiB`.",
        source="user",
    ),
    Term(
        name="cost.enabled",
        kind="setting",
        meaning="Price calls.",
        source="user",
    ),
    Term(
        name="cost.prices",
        kind="setting",
        meaning="A YAML file of your own prices, which go before every table: `models`, `gpu_hour`, `currency`. See "
        "[how to](how-to.md#know-what-calls-cost).",
        absent="the tables' prices hold",
        source="user",
        words=("prices",),
    ),
    Term(
        name="log.file",
        kind="setting",
        meaning="A file for the messages of otel-llm itself, beside the application's logging. Several processes may "
        "share it. A message that repeats is left out after 10 times a minute, and counted.",
        absent="they go to the application's logging alone (logger `otel_llm`)",
        source="user",
    ),
    Term(
        name="log.level",
        kind="setting",
        meaning="The least severe level of messages of otel-llm itself.",
        source="user",
    ),
    Term(
        name="log.max_size",
        kind="setting",
        meaning="At what size the log file is turned: it becomes `FILE.1`, and a new one begins.",
        source="user",
    ),
    Term(
        name="log.max_files",
        kind="setting",
        meaning="How many turned log files are kept beside the one that is written.",
        source="user",
    ),
    Term(
        name="alerts.mode",
        kind="setting",
        meaning="Who tells people of alerts: `local` this process, `alertmanager` the Alertmanager at `alerts.url` and "
        "nobody else, `off` nobody. States are judged and shown in each.",
        source="user",
        words=("alerts", "alert"),
    ),
    Term(
        name="alerts.rules",
        kind="setting",
        meaning="A file of rules, laid over the shipped ones by name. It is looked at every second and taken up when "
        "it changed; one with a mistake leaves the rules in force.",
        source="user",
        words=("rules",),
    ),
    Term(
        name="alerts.defaults",
        kind="setting",
        meaning="Whether the shipped rules are the ground that `alerts.rules` is laid over.",
        source="user",
    ),
    Term(
        name="alerts.url",
        kind="setting",
        meaning="Where Alertmanager listens, for mode `alertmanager`.",
        absent="no other mode needs it",
        source="user",
    ),
    Term(
        name="receive.host",
        kind="setting",
        meaning="The address that `otel-llm receive` listens on. Others than this machine's own need `receive.token`.",
        source="user",
    ),
    Term(
        name="receive.port",
        kind="setting",
        meaning="The port that `otel-llm receive` listens on; 0 is any that is free.",
        source="user",
    ),
    Term(
        name="receive.token",
        kind="setting",
        meaning="What senders to `otel-llm receive` have to show, as `Authorization: Bearer TOKEN`.",
        absent="only this machine is listened to, and nothing has to be shown",
        source="user",
    ),
    Term(
        name="forward",
        kind="setting",
        meaning="Send out of the store what is meant for OTLP: `OTEL_EXPORTER_OTLP_*` say where, and the SDK's own "
        "OTLP exporters stay away. However long the backend is away, what the store still holds arrives.",
        source="user",
        words=("forward", "outage"),
    ),
    Term(
        name="alerts.webhook",
        kind="setting",
        meaning="A URL that is told of every alert, without a rule file: Slack's, Discord's, or any that takes "
        "Alertmanager's JSON. `http://` is for one's own network alone.",
        absent="nobody but the receivers of the rule file",
        source="user",
        words=("webhook", "slack", "discord"),
    ),
    Term(
        name="redis.url",
        kind="setting",
        meaning="A Redis by which several hosts are judged as one, as redis-py takes it: `redis://`, `rediss://` "
        "(TLS), `unix://`, any node of a cluster, or `redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB`. It may hold a "
        "password, and is shown without. Needs `pip install 'otel-llm[redis]'`.",
        absent="each host is judged by itself",
        source="user",
        words=("redis", "fleet", "hosts"),
    ),
    Term(
        name="redis.namespace",
        kind="setting",
        meaning="Hosts with the same one are judged as one; they are to have the same rules. Services that share a "
        "store are to share it too.",
        absent="`service.name` and `deployment.environment.name` of the resource",
        source="user",
    ),
)

_HOST_ATTRIBUTE_TERMS: Final = (
    Term(
        name=semconv.PROCESS_PID,
        kind="attribute",
        meaning="Which process: workers that were forked share the resource that the application made before.",
        source="the kernel",
    ),
    Term(
        name=semconv.CPU_MODE,
        kind="attribute",
        meaning="What CPU time was spent in: `user`, `nice`, `system`, `interrupt`, `steal` (by other guests of the "
        "machine), `iowait`, `idle`.",
        absent="the series is the whole",
        source="the kernel",
    ),
    Term(
        name=semconv.MEMORY_STATE,
        kind="attribute",
        meaning="What memory is: `used`, `free`, `cached`, `buffers`.",
        absent="the series is the whole",
        source="the kernel",
    ),
    Term(
        name=semconv.PAGING_STATE,
        kind="attribute",
        meaning="What swap is: `used` or `free`.",
        source="the kernel",
    ),
    Term(
        name=semconv.DISK_IO_DIRECTION,
        kind="attribute",
        meaning="`read` or `write`.",
        source="the kernel",
    ),
    Term(
        name=semconv.LIMIT_SOURCE,
        kind="attribute",
        meaning="What a utilisation is a share of: `cgroup`, the limit of the container (or of the service, as systemd "
        "sets it); `host`, the machine.",
        source="the kernel",
    ),
)

_ENERGY_TERMS: Final = (
    Term(
        name=semconv.ENERGY,
        kind="attribute",
        meaning="What the cards of a model server on this host took for the call, above what they take at rest where "
        "that is known. Calls at the same time share by output tokens, each call's spread evenly over its time; what "
        "other processes ask of the server is not known, and counted in.",
        unit="J",
        formula="for each moment of the call: joules above rest x its tokens per second / those of all calls",
        absent="the server is elsewhere or uses no card that can be read, the call took less than 0.2 s, or more than "
        "128 calls overlapped",
        source="NVML; this process's calls",
        words=("call energy",),
    ),
    Term(
        name=semconv.ENERGY_IDLE,
        kind="attribute",
        meaning="The call's share, worked out alike, of what those cards take at rest: what they drew, idle, when the "
        "first of a row of calls began.",
        unit="J",
        absent="`otel_llm.energy` is, or the cards were at work already",
        source="NVML; this process's calls",
    ),
)

_CARD_ATTRIBUTE_TERMS: Final = (
    Term(
        name=semconv.HW_ID,
        kind="attribute",
        meaning="Which card: its UUID, or `nvidia-0` and so on where it tells none.",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_NAME,
        kind="attribute",
        meaning="What the card is called by its maker.",
        absent="the card does not say it",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_VENDOR,
        kind="attribute",
        meaning="Who made the card: `NVIDIA` or `AMD`.",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_TYPE,
        kind="attribute",
        meaning="`gpu`.",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_PARENT,
        kind="attribute",
        meaning="Of a MIG instance, the `hw.id` of its card.",
        absent="the series is of a whole card",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_GPU_TASK,
        kind="attribute",
        meaning="What a card was at work for: `general`, `memory`, `encoder` or `decoder`.",
        source="the card's driver",
    ),
    Term(
        name=semconv.HW_SENSOR_LOCATION,
        kind="attribute",
        meaning="Where a temperature is measured: `gpu` or `memory`.",
        source="the card's driver",
    ),
    Term(
        name=semconv.NETWORK_IO_DIRECTION,
        kind="attribute",
        meaning="`transmit` or `receive`: over the network, or over PCIe.",
        source="the kernel; the card's driver",
    ),
    Term(
        name=semconv.ENERGY_METHOD,
        kind="attribute",
        meaning="How energy is known. Of a card: `counter`, its own, or `sampled`, added up from samples of power. "
        "Of a call: one of these and `/shared`, for calls at the same time share; then `/host` where all cards of the "
        "host are counted, since it cannot be told which the server uses; then `/gross` where what they take at rest "
        "is not known, and counted in.",
        source=_COUNT,
    ),
    Term(
        name=semconv.GPU_CLOCK_DOMAIN,
        kind="attribute",
        meaning="Which clock of a card: `graphics`, `sm` or `memory`.",
        source="the card's driver",
    ),
    Term(
        name=semconv.GPU_THROTTLE_REASON,
        kind="attribute",
        meaning="What may hold a card's clocks down: `power_cap`, `hardware_slowdown`, `sync_boost`, `thermal`, "
        "`hardware_thermal`, `power_brake`.",
        source="the card's driver",
    ),
)

_PROBE_TERMS: Final = tuple(
    Term(
        name=instrument.name,
        kind="metric",
        meaning=instrument.meaning,
        unit=instrument.unit,
        formula=instrument.formula,
        absent=instrument.absent,
        source=instrument.source,
        words=instrument.words,
    )
    for instrument in INSTRUMENTS
)

TERMS: Final = (
    *(*_CALL_TERMS, *_ENERGY_TERMS, *_METRIC_ATTRIBUTE_TERMS, *_HOST_ATTRIBUTE_TERMS, *_CARD_ATTRIBUTE_TERMS),
    *_ALERT_ATTRIBUTE_TERMS,
    *(*_METRIC_TERMS, *_PROBE_TERMS),
    *(*_EVENT_TERMS, *_ALERT_TERMS, *_FIGURE_TERMS, *_SETTING_TERMS),
)
"""Every name, in the order of the reference page."""


def find(word: str) -> Term | None:
    """The term that ``word`` names: in full, by a short word, without its prefix, or as an environment variable."""
    return _INDEX.get(_normal(word))


def names() -> list[str]:
    """Every word that `find` knows, full names first."""
    return [term.name for term in TERMS] + [word for term in TERMS for word in term.words]


def _normal(word: str) -> str:
    return word.strip().lower().replace("-", "_").removesuffix(".*")


def _index() -> dict[str, Term]:
    """Names rank above short words, and those above the tails of names."""
    index: dict[str, Term] = {}
    for term in TERMS:
        index.setdefault(_normal(term.name), term)
        if term.kind == "setting":
            index.setdefault(_normal(f"OTEL_LLM_{term.name.replace('.', '_')}"), term)
    for term in TERMS:
        for word in term.words:
            index.setdefault(_normal(word), term)
    for term in TERMS:
        tail = term.name
        while "." in tail:
            tail = tail.partition(".")[2]
            index.setdefault(_normal(tail), term)
    return index


_INDEX: Final = _index()
