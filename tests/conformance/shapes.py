"""The table's axes: shapes, clients, what each client has not, and what is true of each cell. Values only."""

from dataclasses import dataclass, field, replace
from typing import Final

from conformance import bodies

SHORT: Final = 0.25
"""Timeout of a client that shall run into it [s]."""

LONG: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way of calling, and what the server does meanwhile.

    Attributes:
        behaviour: First part of the path: what the server does.
        does: The program, a method of `programs.Sync` and `programs.Async`.
        verb: The client's own words that the program uses.
        port: The server's port.
        order: How the HTTP client is made, where it is not the SDK's own.
        modes: Whether it exists sync, async or both.
    """

    name: str
    title: str
    behaviour: str = "well"
    does: str
    verb: str = "stream"
    port: str = "http1"
    order: str | None = None
    timeout: float = LONG
    retries: int = 0
    modes: tuple[str, ...] = ("sync", "async")


def _read(name: str, title: str, **more: str) -> Shape:
    return Shape(name=name, title=title, does="read", **more)


SHAPES: Final = (
    Shape(name="chat", title="chat", does="ask", verb="ask"),
    Shape(name="stream-without-usage", title="stream, usage not asked for", does="read_without_usage"),
    _read("stream", "stream with usage"),
    Shape(name="break-and-close", title="stream, `break` then `close()`", behaviour="hang", does="break_and_close"),
    Shape(name="abandoned", title="stream abandoned to the garbage collector", behaviour="hang", does="abandon"),
    Shape(name="left-early", title="`with` stream left early", behaviour="hang", does="leave_early", verb="held"),
    Shape(name="task-cancelled", title="task cancelled", behaviour="hang", does="cancel", modes=("async",)),
    Shape(name="timeout-block", title="`asyncio.timeout()`", behaviour="hang", does="time_out", modes=("async",)),
    Shape(name="handed-over", title="stream handed to another thread or task", does="hand_over"),
    Shape(name="raw-response", title="`with_raw_response`", does="ask", verb="raw"),
    Shape(name="streaming-response", title="`with_streaming_response`", does="read_lines", verb="streaming"),
    Shape(name="helper", title="stream helper", does="read_managed", verb="helper"),
    Shape(name="responses", title="responses", does="ask", verb="responses"),
    _read("responses-stream", "responses, streamed", verb="responses_stream"),
    Shape(name="embeddings", title="embeddings", does="ask", verb="embed"),
    Shape(name="raw-path", title="`client.post(path)`", does="ask", verb="post"),
    Shape(
        name="retried", title="429 with `Retry-After`, then 200", behaviour="busy", does="ask", verb="ask", retries=2
    ),
    Shape(name="choices", title="`n` > 1", does="ask_several", verb="several"),
    Shape(name="choices-stream", title="`n` > 1, streamed", does="read_several", verb="several"),
    _read("tools", "tool calls in pieces", behaviour="tools"),
    _read("refusal", "refusal", behaviour="refusal"),
    _read("empty", "empty stream", behaviour="empty"),
    _read("usage-first", "usage in the first chunk", behaviour="usage-first"),
    _read("keep-alive", "keep-alive comments", behaviour="keep-alive"),
    _read("crlf", "`\\r\\n` line ends", behaviour="crlf"),
    _read("split", "events split at every byte", behaviour="split"),
    _read("http2", "HTTP/2", port="http2", order="http2"),
    Shape(name="server-error", title="500", behaviour="failed", does="fail", verb="ask"),
    Shape(name="refused", title="connection refused", does="fail", verb="ask", port="refused"),
    Shape(name="connect-timeout", title="timeout at connect", does="fail", verb="ask", port="full", timeout=SHORT),
    Shape(
        name="pool-timeout",
        title="timeout in the pool",
        behaviour="pool",
        does="starve",
        verb="hold",
        order="pool",
        timeout=SHORT,
    ),
    Shape(name="read-timeout", title="timeout at read", behaviour="silent", does="fail", verb="ask", timeout=SHORT),
    Shape(name="stream-timeout", title="timeout in mid-stream", behaviour="hang", does="fail_reading", timeout=SHORT),
    Shape(name="reset", title="reset in mid-stream", behaviour="reset", does="fail_reading"),
    Shape(name="cut", title="stream cut before its end marker", behaviour="cut", does="fail_reading"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A library that applications call models with.

    Attributes:
        module: Its file in `clients`.
        known: The format that it speaks.
        environment: The environment that holds it.
        official: The distribution of OpenTelemetry's own instrumentation that takes this version, if there is one.
        lacks: Why it has not a shape, by the shape's name or ``mode: name``; the one place where that is said.
    """

    name: str
    module: str
    known: str
    environment: str
    official: str | None = None
    modes: tuple[str, ...] = ("sync", "async")
    lacks: dict[str, str] = field(default_factory=dict)

    def lack(self, shape: Shape, mode: str) -> str | None:
        """Why this client has no such shape, or ``None`` when it has."""
        return self.lacks.get(shape.name) or self.lacks.get(f"{mode}: {shape.name}")


def _without(reason: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, reason)


_ALWAYS_TOLD = _without("its format tells usage unasked", "stream-without-usage", "usage-first")
_NO_RESPONSES = _without("has no Responses API", "responses", "responses-stream")
_NO_CHOICES = _without("its format has one choice", "choices", "choices-stream")
_NO_SDK = {
    **_without("a library of HTTP, not an SDK", "raw-response", "streaming-response", "helper", "raw-path"),
    **_without("sent as any other body", "responses", "responses-stream"),
    **_without("retries are the application's", "retried"),
}
_ONE_WAY = _without("has one way of answering", "raw-response", "streaming-response", "helper", "raw-path")
_LINES = _without("its stream has no comments", "keep-alive")
_ITERATOR = _without("its stream is no context manager", "left-early")
_OWN_POOL = _without("its pool cannot be bounded", "pool-timeout")
_NO_HTTP2 = _without("speaks HTTP/1.1 only", "http2")
_NO_EMBEDDINGS = _without("has no embeddings", "embeddings")

_CLAUDE = {**_ALWAYS_TOLD, **_NO_RESPONSES, **_NO_CHOICES, **_NO_EMBEDDINGS}
_GEMINI = {
    **_ALWAYS_TOLD,
    **_NO_RESPONSES,
    **_ONE_WAY,
    **_ITERATOR,
    **_OWN_POOL,
    **_without("takes a comment for JSON and fails", "keep-alive"),
    **_without("its async client may be aiohttp, which speaks HTTP/1.1 only", "async: http2"),
}

CLIENTS: Final = (
    Client(
        name="openai 3",
        module="openai_sdk",
        known="chat",
        environment="current",
        official="opentelemetry-instrumentation-genai-openai",
    ),
    Client(
        name="openai 2",
        module="openai_sdk",
        known="chat",
        environment="former",
        official="opentelemetry-instrumentation-genai-openai",
    ),
    Client(
        name="anthropic 2",
        module="anthropic_sdk",
        known="messages",
        environment="current",
        lacks=_CLAUDE,
        official="opentelemetry-instrumentation-genai-anthropic",
    ),
    Client(
        name="anthropic 0",
        module="anthropic_sdk",
        known="messages",
        environment="former",
        lacks=_CLAUDE,
        official="opentelemetry-instrumentation-genai-anthropic",
    ),
    Client(
        name="google-genai 3",
        module="gemini_sdk",
        known="gemini",
        environment="others",
        lacks=_GEMINI,
    ),
    Client(
        name="google-genai 2",
        module="gemini_sdk",
        known="gemini",
        environment="former",
        lacks=_GEMINI,
        official="opentelemetry-instrumentation-google-genai",
    ),
    Client(
        name="ollama",
        module="ollama_sdk",
        known="ollama",
        environment="others",
        lacks={
            **_ALWAYS_TOLD,
            **_NO_RESPONSES,
            **_ONE_WAY,
            **_ITERATOR,
            **_OWN_POOL,
            **_NO_CHOICES,
            **_LINES,
            **_without("does not retry", "retried"),
            **_without("its format has no refusal", "refusal"),
        },
    ),
    Client(
        name="cohere",
        module="cohere_sdk",
        known="cohere",
        environment="others",
        lacks={
            **_ALWAYS_TOLD,
            **_NO_RESPONSES,
            **_ITERATOR,
            **_NO_CHOICES,
            **_without("has no such door", "helper", "raw-path"),
            **_without("its format has no refusal", "refusal"),
        },
    ),
    Client(
        name="litellm",
        module="litellm_sdk",
        known="chat",
        environment="former",
        lacks={
            **_ONE_WAY,
            **_ITERATOR,
            **_OWN_POOL,
            **_without("makes its own HTTP client", "http2"),
            **_without("cannot be closed, only dropped", "sync: break-and-close"),
            **_without("asks for a whole answer and cuts it up itself", "responses-stream"),
        },
    ),
    Client(name="httpx", module="httpx_wire", known="chat", environment="current", lacks=_NO_SDK),
    Client(name="httpx2", module="httpx2_wire", known="chat", environment="current", lacks=_NO_SDK),
    Client(
        name="aiohttp",
        module="aiohttp_wire",
        known="chat",
        environment="current",
        modes=("async",),
        lacks={**_NO_SDK, **_NO_HTTP2},
    ),
    Client(
        name="requests",
        module="requests_wire",
        known="chat",
        environment="current",
        modes=("sync",),
        lacks={**_NO_SDK, **_NO_HTTP2, **_without("waits for its pool for ever", "pool-timeout")},
    ),
)

ENVIRONMENTS: Final = {
    "current": (
        *("openai==3.54.0", "anthropic==2.12.0", "httpx[http2]==0.28.1", "httpx2[http2]==2.16.2"),
        *("aiohttp==3.14.5", "requests==2.34.2", "urllib3==2.8.0"),
        "opentelemetry-instrumentation-genai-openai==1.3b0",
        "opentelemetry-instrumentation-genai-anthropic==1.3b0",
    ),
    "former": (
        *("openai==2.54.0", "anthropic==0.125.0", "litellm==1.106.2", "mcp==2.3.0", "google-genai==2.34.0"),
        *("httpx[http2]==0.28.1", "aiohttp==3.14.5"),
        "opentelemetry-instrumentation-google-genai==1.3b0",
        "opentelemetry-instrumentation-genai-openai==1.3b0",
        "opentelemetry-instrumentation-genai-anthropic==1.3b0",
    ),
    "others": (
        *("google-genai==3.4.0", "ollama==0.6.3", "cohere==7.3.1", "httpx[http2]==0.28.1", "httpx2[http2]==2.16.2"),
    ),
}
"""What each environment holds beside this project; versions are pinned, for the table names them."""

INSTRUMENTATIONS: Final = ("otel-llm", "official")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of one cell, as the server and the program know it.

    Attributes:
        tokens: Input and output; ``None`` where nobody told them by the time the call ended.
        countable: The stream came whole but told no tokens: an estimate is due, and must be marked as one.
        first_token: Wait for the first token [s]; ``None`` where none came or the answer is no stream.
        finish: The server's word, once for each choice.
        raises: Whether the program sees an exception; ``None`` where that is the library's affair.
        lasts: The call took at least this long [s].
    """

    operation: str = "chat"
    outcome: str = "completed"
    tokens: tuple[int, int | None] | None = None
    cached: int | None = None
    reasoning: int | None = None
    countable: bool = False
    first_token: float | None = None
    finish: tuple[str, ...] = ()
    status: int | None = 200
    attempts: int = 1
    retry_after: float | None = None
    raises: bool | None = False
    lasts: float = 0.0


_EARLY: Final = {
    "break-and-close": "abandoned",
    "abandoned": "abandoned",
    "left-early": "abandoned",
    "task-cancelled": "cancelled",
    "timeout-block": "cancelled",
    "stream-timeout": "error",
    "reset": "error",
    "cut": "error",
}
_UNANSWERED: Final = ("refused", "connect-timeout", "pool-timeout", "read-timeout")
_WHOLE: Final = ("chat", "raw-response", "raw-path", "retried", "choices", "responses")
_CACHED: Final = ("chat", "responses", "messages", "gemini", "cohere")
_REASONING: Final = ("chat", "responses", "gemini")


def truth(shape: Shape, client: Client) -> Truth:
    """What is true of a cell."""
    true = _truth(shape, client)
    gemini = client.known == "gemini" and true.operation == "chat"
    return replace(true, operation="generate_content") if gemini else true


def _truth(shape: Shape, client: Client) -> Truth:  # noqa: PLR0911 - one for each kind of shape
    known = "responses" if shape.name.startswith("responses") else client.known
    if shape.name in _UNANSWERED:
        return Truth(outcome="error", status=None, raises=True)
    if shape.name == "server-error":
        return Truth(outcome="error", status=500, raises=None)
    first = bodies.FIRST_TOKEN
    if shape.name in _EARLY:
        outcome = _EARLY[shape.name]
        raises = None if outcome == "error" else False
        return Truth(outcome=outcome, first_token=first, raises=raises, lasts=first)
    if shape.name == "embeddings":
        told = client.known != "gemini"
        return Truth(operation="embeddings", tokens=(bodies.INPUT, None) if told else None, lasts=first)
    empty = shape.name == "empty"
    variant = shape.behaviour if shape.behaviour in bodies.FINISH[known] else "plain"
    good = Truth(
        tokens=(bodies.INPUT, bodies.OUTPUT),
        cached=bodies.CACHED if known in _CACHED else None,
        reasoning=bodies.REASONING if known in _REASONING else None,
        first_token=None if empty or shape.name in _WHOLE else first,
        finish=(bodies.finish(known, variant),) * (2 if shape.name.startswith("choices") else 1),
        lasts=0.0 if empty else first,
    )
    if shape.name == "stream-without-usage":
        return replace(good, tokens=None, cached=None, reasoning=None, countable=True)
    if shape.name == "retried":
        return replace(good, attempts=2, retry_after=bodies.RETRY_AFTER)
    return good


@dataclass(frozen=True, slots=True)
class Cell:
    """One program: a shape in a client's words, sync or async."""

    client: Client
    mode: str
    shape: Shape

    @property
    def key(self) -> str:
        """How the cell is called in a child's answer."""
        return f"{self.client.name}, {self.mode}: {self.shape.name}"


def cells(client: Client) -> list[Cell]:
    """Every cell that ``client`` has."""
    return [
        Cell(client, mode, shape)
        for shape in SHAPES
        for mode in client.modes
        if mode in shape.modes and client.lack(shape, mode) is None
    ]
