"""Content is recorded where it is asked for, in the convention's shape, without keys and within bounds."""

import base64
import gzip
import json
import logging
import struct
import subprocess
import sys
import zlib

import httpx
import httpx2
import openai
import pytest
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm import boundary, semconv
from otel_llm.record import content
from otel_llm.record.content import capture
from otel_llm.record.content.capture import capture_for
from otel_llm.record.settings import Config, ContentConfig
from otel_llm.record.transport import WireInstrumentor

ATTRIBUTES = semconv.CONTENT
PNG = "iVBORw0KGgo="
TOOL = {"name": "weather", "description": "Says the weather.", "parameters": {"type": "object", "properties": {}}}
CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be short"},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Bonn"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ],
    "tools": [{"type": "function", "function": TOOL}],
}
CALLS = [
    {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}},
    {"id": "call_3", "type": "function", "function": {"name": "weather", "arguments": ""}},
]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "usage": USAGE,
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "let me see", "tool_calls": CALLS},
        },
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "no"}},
    ],
}


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice]}


def tool_chunk(index, **function):
    number = {"id": f"call_{index}", "type": "function"} if "name" in function else {}
    return chunk({"tool_calls": [{"index": index, **number, "function": function}]})


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "let "}),
    chunk({"content": "me see"}),
    tool_chunk(0, name="weather", arguments=""),
    tool_chunk(0, arguments='{"at"'),
    tool_chunk(1, name="weather", arguments="{"),
    tool_chunk(0, arguments=': "Rome"}'),
    tool_chunk(1, arguments="}"),
    chunk({}, "tool_calls"),
]
RESPONSES = {
    "model": "m",
    "instructions": "be short",
    "input": [
        {"role": "user", "content": "what is the weather?"},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"at": "Bonn"}'},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    ],
    "tools": [{"type": "function", "strict": None, **TOOL}],
}
OUTPUT = [
    {"type": "reasoning", "id": "r1", "status": "completed", "summary": [{"type": "summary_text", "text": "hm"}]},
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "let me see", "annotations": []}],
    },
    {
        "type": "function_call",
        "id": "f1",
        "call_id": "call_3",
        "name": "weather",
        "arguments": '{"at": "Rome"}',
        "status": "completed",
    },
]
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "m-1",
    "status": "completed",
    "output": OUTPUT,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "hm"},
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "let "},
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "me see"},
    {"type": "response.output_item.added", "output_index": 2, "item": {**OUTPUT[2], "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"at": "Rome"}'},
    {"type": "response.completed", "sequence_number": 9, "response": RESPONSE},
]


def events(messages, *, done=True):
    body = "".join(f"data: {json.dumps(message)}\n\n" for message in messages)
    return (body + ("data: [DONE]\n\n" if done else "")).encode()


@pytest.fixture
def asked_for(monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "span_only")


def told(span):
    """The content on a span; the convention's optional fields are absent or null as an instrumentation likes."""
    return {name: plain(json.loads(span.attributes[name])) for name in ATTRIBUTES if name in span.attributes}


def plain(value):
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


def answering(body, kind="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _request: httpx2.Response(200, content=content, headers={"content-type": kind})


def client(handler):
    transport = httpx2.Client(transport=httpx2.MockTransport(handler))
    return openai.OpenAI(api_key="sk-not-a-key", base_url="http://127.0.0.1:9/v1", http_client=transport, max_retries=0)


def post(path, body, answer, kind="application/json", pieces=None):
    """A call with httpx, its answer in pieces."""
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    parts = [data] if pieces is None else [data[at : at + pieces] for at in range(0, len(data), pieces)]

    def handler(_request):
        return httpx.Response(200, content=iter(parts), headers={"content-type": kind})

    with httpx.Client(transport=httpx.MockTransport(handler)) as http:
        return http.post(f"http://127.0.0.1:9{path}", json=body)


def output(recorded):
    return told(recorded.spans[-1]).get(semconv.OUTPUT_MESSAGES)


# --- off and on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, "", "NO_CONTENT", "false", "EVENT_ONLY"])
def test_a_span_holds_no_content_unless_it_is_asked_for(said, recorded, monkeypatch):
    if said is not None:
        monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, said)
    post("/v1/chat/completions", CHAT, WHOLE)
    assert told(recorded.spans[0]) == {}


@pytest.mark.parametrize("said", ["SPAN_ONLY", "span_and_event", "true"])
def test_a_span_holds_content_where_it_is_asked_for(said, recorded, monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, said)
    post("/v1/chat/completions", CHAT, WHOLE)
    assert set(told(recorded.spans[0])) == set(ATTRIBUTES) - {semconv.SYSTEM_INSTRUCTIONS}


def test_an_unknown_word_is_told_and_means_no(recorded, monkeypatch, caplog):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "everything")
    post("/v1/chat/completions", CHAT, WHOLE)
    assert told(recorded.spans[0]) == {}
    assert "expected one of NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT, found 'everything'" in caplog.text


def test_nothing_is_imported_for_content_that_nobody_asked_for():

    code = "import sys, otel_llm.record.recording; print(*[m for m in sys.modules if 'record.content.' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []


# --- the same as the official instrumentation -----------------------------------------------------------------------


def theirs(call):
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    try:
        call()
    finally:
        instrumentor.uninstrument()
    return told(memory.get_finished_spans()[0])


def drained(stream):
    for _ in stream:
        pass


OFFICIAL = {
    "chat": lambda: client(answering(WHOLE)).chat.completions.create(**CHAT),
    "chat, streamed": lambda: drained(
        client(answering(events(CHUNKS), "text/event-stream")).chat.completions.create(**CHAT, stream=True)
    ),
    "responses": lambda: client(answering(RESPONSE)).responses.create(**RESPONSES),
    "responses, streamed": lambda: drained(
        client(answering(events(EVENTS, done=False), "text/event-stream")).responses.create(**RESPONSES, stream=True)
    ),
    "responses, a text": lambda: client(answering(RESPONSE)).responses.create(model="m", input="hi"),
}


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("shape", OFFICIAL)
def test_content_is_what_the_official_instrumentation_says(shape, recorded):
    OFFICIAL[shape]()
    ours = told(recorded.spans[0])

    WireInstrumentor().uninstrument()
    assert ours == theirs(OFFICIAL[shape])
    assert semconv.OUTPUT_MESSAGES in ours


# --- every format ---------------------------------------------------------------------------------------------------

USER = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
ROME = {"type": "tool_call", "name": "weather", "arguments": {"at": "Rome"}}
SYSTEM = [{"type": "text", "content": "be short"}]
DEFINED = [{"type": "function", **TOOL}]


def says(*parts, finish="stop"):
    made = [{"type": "text", "content": part} if isinstance(part, str) else part for part in parts]
    return [{"role": "assistant", "parts": made, "finish_reason": finish}]


ANTHROPIC = {
    "model": "m",
    "system": [{"type": "text", "text": "be short"}],
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"name": "weather", "description": TOOL["description"], "input_schema": TOOL["parameters"]}],
}
ANTHROPIC_BLOCKS = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "text", "text": "let me see"},
    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"at": "Rome"}},
]
ANTHROPIC_ANSWER = {"type": "message", "role": "assistant", "content": ANTHROPIC_BLOCKS, "stop_reason": "tool_use"}
ANTHROPIC_EVENTS = [
    {"type": "message_start", "message": {"type": "message", "role": "assistant", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "let "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "me see"}},
    {"type": "content_block_start", "index": 2, "content_block": {**ANTHROPIC_BLOCKS[2], "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"at": '}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '"Rome"}'}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
    {"type": "message_stop"},
]
THOUGHT = {"type": "reasoning", "content": "hm"}
ANTHROPIC_SAYS = says(THOUGHT, "let me see", {**ROME, "id": "t1"}, finish="tool_call")
ASKED = {semconv.SYSTEM_INSTRUCTIONS: SYSTEM, semconv.INPUT_MESSAGES: USER, semconv.TOOL_DEFINITIONS: DEFINED}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "be short"}]},
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    "tools": [{"functionDeclarations": [TOOL]}],
}


def candidate(*parts, **more):
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": list(parts)}, **more}]}


GEMINI_CALL = {"functionCall": {"name": "weather", "args": {"at": "Rome"}}}
GEMINI_CHUNKS = [
    candidate({"text": "hm", "thought": True}),
    candidate({"text": "let "}),
    candidate({"text": "me see"}),
    candidate(GEMINI_CALL, finishReason="STOP"),
]
GEMINI_ANSWER = candidate({"text": "hm", "thought": True}, {"text": "let me see"}, GEMINI_CALL, finishReason="STOP")
CONVERSE = {
    "system": [{"text": "be short"}],
    "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": TOOL["description"],
                    "inputSchema": {"json": TOOL["parameters"]},
                }
            }
        ]
    },
}
CONVERSE_ANSWER = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "let me see"},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"at": "Rome"}}},
            ],
        }
    },
    "stopReason": "tool_use",
}
OLLAMA_CALL = {"function": {"name": "weather", "arguments": {"at": "Rome"}}}
OLLAMA = {"model": "m", "messages": [{"role": "user", "content": "hi", "images": [PNG]}], "tools": CHAT["tools"]}
OLLAMA_LINES = [
    {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "let "}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "me see"}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": [OLLAMA_CALL]}, "done": False},
    {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
]
COHERE = {"model": "command-r", "messages": [{"role": "user", "content": "hi"}], "tools": CHAT["tools"]}
COHERE_ANSWER = {
    "id": "1",
    "finish_reason": "TOOL_CALL",
    "message": {"role": "assistant", "tool_plan": "hm", "tool_calls": [{**CALLS[0]}]},
}
COHERE_EVENTS = [
    {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "hm"}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {
            "message": {
                "tool_calls": {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": ""}}
            }
        },
    },
    {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": '{"at":'}}}},
    },
    {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": '"Rome"}'}}}},
    },
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
]
COHERE_SAYS = says(THOUGHT, {**ROME, "id": "call_2"}, finish="tool_call")
IMAGE = {"type": "blob", "modality": "image", "content": "", "size": 8}
LINES = "application/x-ndjson"
SSE = "text/event-stream"


def lines(messages):
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def frames(messages):

    def frame(name, payload):
        body = json.dumps(payload).encode()
        head = b"".join(
            bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
            for key, value in ((":message-type", "event"), (":event-type", name))
        )
        prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
        whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
        return whole + struct.pack(">I", zlib.crc32(whole))

    return b"".join(frame(name, payload) for name, payload in messages)


CONVERSE_FRAMES = frames(
    [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "let "}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "me see"}}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"at":'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"Rome"}'}}}),
        ("messageStop", {"stopReason": "tool_use"}),
    ]
)
AWS = "application/vnd.amazon.eventstream"
CONVERSE_SAYS = says("let me see", {**ROME, "id": "t1"}, finish="tool_call")


def encoded(message):

    return ("chunk", {"bytes": base64.b64encode(json.dumps(message).encode()).decode()})


CLAUDE = "/model/anthropic.claude-3/invoke"
GENERATE = "/v1beta/models/gemini-2:streamGenerateContent"
OLLAMA_SAYS = says(THOUGHT, "let me see", ROME)
OLLAMA_USER = [{"role": "user", "parts": [USER[0]["parts"][0], IMAGE]}]
TITAN = {"results": [{"outputText": "hello"}]}
TGI_CHUNKS = [
    {"token": {"text": "hel"}},
    {"token": {"text": "lo"}},
    {"token": {"text": "</s>", "special": True}, "generated_text": "hello", "details": {"finish_reason": "eos_token"}},
]
SHAPES = {
    "completions": (
        "/v1/completions",
        {"model": "m", "prompt": "hi"},
        {"choices": [{"index": 0, "text": "hello", "finish_reason": "length"}]},
        "",
        USER,
        says("hello", finish="length"),
    ),
    "completions, streamed": (
        "/v1/completions",
        {"model": "m", "prompt": "hi", "stream": True},
        events([{"choices": [{"index": 0, "text": text}]} for text in ("hel", "lo")]),
        SSE,
        USER,
        [{"role": "assistant", "parts": [{"type": "text", "content": "hello"}]}],
    ),
    "anthropic": ("/v1/messages", ANTHROPIC, ANTHROPIC_ANSWER, "", ASKED, ANTHROPIC_SAYS),
    "anthropic, streamed": (
        "/v1/messages",
        ANTHROPIC,
        events(ANTHROPIC_EVENTS, done=False),
        SSE,
        ASKED,
        ANTHROPIC_SAYS,
    ),
    "gemini": (
        "/v1beta/models/gemini-2:generateContent",
        GEMINI,
        GEMINI_ANSWER,
        "",
        ASKED,
        says(THOUGHT, "let me see", ROME),
    ),
    "gemini, events": (
        GENERATE,
        GEMINI,
        events(GEMINI_CHUNKS, done=False),
        SSE,
        ASKED,
        says(THOUGHT, "let me see", ROME),
    ),
    "gemini, array": (GENERATE, GEMINI, GEMINI_CHUNKS, "", ASKED, says(THOUGHT, "let me see", ROME)),
    "converse": ("/model/m.x/converse", CONVERSE, CONVERSE_ANSWER, "", ASKED, CONVERSE_SAYS),
    "converse, streamed": ("/model/m.x/converse-stream", CONVERSE, CONVERSE_FRAMES, AWS, ASKED, CONVERSE_SAYS),
    "invoke claude": (CLAUDE, {"anthropic_version": "x", **ANTHROPIC}, ANTHROPIC_ANSWER, "", ASKED, ANTHROPIC_SAYS),
    "invoke claude, streamed": (
        CLAUDE + "-with-response-stream",
        {"anthropic_version": "x", **ANTHROPIC},
        frames(map(encoded, ANTHROPIC_EVENTS)),
        AWS,
        ASKED,
        ANTHROPIC_SAYS,
    ),
    "invoke titan": ("/model/amazon.titan/invoke", {"inputText": "hi"}, TITAN, "", USER, None),
    "invoke llama": (
        "/model/meta.llama/invoke",
        {"prompt": "hi"},
        {"generation": "hello", "stop_reason": "stop"},
        "",
        USER,
        says("hello"),
    ),
    "ollama": (
        "/api/chat",
        OLLAMA,
        {
            **OLLAMA_LINES[-1],
            "message": {"role": "assistant", "thinking": "hm", "content": "let me see", "tool_calls": [OLLAMA_CALL]},
        },
        "",
        OLLAMA_USER,
        says(ROME, THOUGHT, "let me see"),
    ),
    "ollama, streamed": ("/api/chat", OLLAMA, lines(OLLAMA_LINES), LINES, OLLAMA_USER, OLLAMA_SAYS),
    "ollama, generate": (
        "/api/generate",
        {"model": "m", "prompt": "hi", "system": "be short"},
        lines(
            [{"model": "m", "response": "hel"}, {"model": "m", "response": "lo", "done": True, "done_reason": "stop"}]
        ),
        LINES,
        USER,
        says("hello"),
    ),
    "cohere": ("/v2/chat", COHERE, COHERE_ANSWER, "", USER, COHERE_SAYS),
    "cohere, streamed": ("/v2/chat", COHERE, events(COHERE_EVENTS, done=False), SSE, USER, COHERE_SAYS),
    "llama.cpp": ("/completion", {"prompt": "hi", "n_predict": 4}, {"content": "hello", "stop": True}, "", USER, None),
    "llama.cpp, streamed": (
        "/completion",
        {"prompt": "hi", "n_predict": 4, "stream": True},
        events([{"content": "hel", "stop": False}, {"content": "lo", "stop": False}], done=False),
        SSE,
        USER,
        None,
    ),
    "tgi": (
        "/generate",
        {"inputs": "hi"},
        {"generated_text": "hello", "details": {"finish_reason": "length"}},
        "",
        USER,
        says("hello", finish="length"),
    ),
    "watsonx": (
        "/ml/v1/text/generation",
        {"model_id": "m", "input": "hi"},
        {"results": [{"generated_text": "hello", "stop_reason": "max_tokens"}]},
        "",
        USER,
        None,
    ),
    "watsonx, chat": (
        "/ml/v1/text/chat",
        {"model_id": "m", "messages": [{"role": "user", "content": "hi"}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "length"}]},
        "",
        USER,
        says("hello", finish="length"),
    ),
    "interactions": (
        "/v1beta/interactions",
        {"model": "m", "input": "hi"},
        {"status": "completed", "steps": [{"type": "model_output", "content": [{"type": "text", "text": "hello"}]}]},
        "",
        USER,
        None,
    ),
    "interactions, streamed": (
        "/v1beta/interactions",
        {"model": "m", "input": "hi"},
        events(
            [
                {"event_type": "step.delta", "delta": {"type": "text", "text": "hel"}},
                {"event_type": "step.delta", "delta": {"type": "text", "text": "lo"}},
                {"event_type": "interaction.completed", "interaction": {"status": "completed"}},
            ],
        ),
        SSE,
        USER,
        None,
    ),
    "tgi, streamed": ("/generate_stream", {"inputs": "hi"}, events(TGI_CHUNKS, done=False), SSE, USER, says("hello")),
}


def without_finish(messages):
    return [{name: value for name, value in message.items() if name != "finish_reason"} for message in messages]


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("pieces", [None, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_format_tells_what_was_said(shape, pieces, recorded):
    path, body, answer, kind, asked, answered = SHAPES[shape]
    post(path, body, answer, kind or "application/json", pieces)
    said = told(recorded.spans[0])
    if isinstance(asked, dict):
        assert {name: said.get(name) for name in asked} == asked
    else:
        assert said[semconv.INPUT_MESSAGES] == asked
    if answered is None:
        assert without_finish(said[semconv.OUTPUT_MESSAGES]) == without_finish(says("hello"))
    else:
        assert said[semconv.OUTPUT_MESSAGES] == answered


@pytest.mark.usefixtures("asked_for")
def test_an_embedding_has_no_messages(recorded):
    post("/v1/embeddings", {"model": "m", "input": "hi"}, {"data": [], "model": "m"})
    assert told(recorded.spans[0]) == {}


MEDIA = {
    "openai image": (
        "/v1/chat/completions",
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
        {"mime_type": "image/png", **IMAGE},
    ),
    "openai audio": (
        "/v1/chat/completions",
        [{"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}],
        {**IMAGE, "modality": "audio", "mime_type": "audio/wav"},
    ),
    "openai file": (
        "/v1/chat/completions",
        [{"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}"}}],
        {**IMAGE, "modality": "document", "mime_type": "application/pdf"},
    ),
    "openai file by id": (
        "/v1/chat/completions",
        [{"type": "file", "file": {"file_id": "f-1"}}],
        {"type": "file", "modality": "document", "file_id": "f-1"},
    ),
    "anthropic image": (
        "/v1/messages",
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
        {"mime_type": "image/png", **IMAGE},
    ),
    "anthropic address": (
        "/v1/messages",
        [{"type": "image", "source": {"type": "url", "url": "https://a.org/b"}}],
        {"type": "uri", "modality": "image", "uri": "https://a.org/b"},
    ),
    "anthropic tool result": (
        "/v1/messages",
        [
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
            }
        ],
        {"type": "tool_call_response", "id": "t1", "response": [{"mime_type": "image/png", **IMAGE}]},
    ),
    "bedrock image": (
        "/model/m.x/converse",
        [{"image": {"format": "png", "source": {"bytes": PNG}}}],
        {"mime_type": "image/png", **IMAGE},
    ),
    "bedrock tool result": (
        "/model/m.x/converse",
        [{"toolResult": {"toolUseId": "t1", "content": [{"text": "rain"}]}}],
        {"type": "tool_call_response", "id": "t1", "response": "rain"},
    ),
}


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("kind", MEDIA)
def test_media_are_told_by_type_and_size(kind, recorded):
    path, content, part = MEDIA[kind]
    post(path, {"model": "m", "messages": [{"role": "user", "content": content}]}, {})
    (message,) = told(recorded.spans[0])[semconv.INPUT_MESSAGES]
    assert message["parts"] == [part]


@pytest.mark.usefixtures("asked_for")
def test_gemini_media_and_tool_answers_are_told(recorded):
    parts = [
        {"inlineData": {"mimeType": "audio/ogg", "data": PNG}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b"}},
        {"functionResponse": {"name": "weather", "response": {"sky": "grey"}}},
    ]
    post("/v1beta/models/m:generateContent", {"contents": [{"role": "model", "parts": parts}]}, {})
    (message,) = told(recorded.spans[0])[semconv.INPUT_MESSAGES]
    assert message["role"] == "assistant"
    assert message["parts"] == [
        {"type": "blob", "modality": "audio", "mime_type": "audio/ogg", "content": "", "size": 8},
        {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://a/b"},
        {"type": "tool_call_response", "id": "weather", "response": {"sky": "grey"}},
    ]


# --- what is left out -----------------------------------------------------------------------------------------------

KEY = "sk-" + "abcd1234" * 4


@pytest.mark.usefixtures("asked_for")
def test_keys_are_taken_out_wherever_they_stand(recorded):
    arguments = json.dumps({"api_key": "hunter2", "note": f"use {KEY}"})
    call = {"id": "c", "function": {"name": "weather", "arguments": arguments}}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": f"my key is {KEY}"}, {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": KEY}}}],
    }
    post("/v1/chat/completions", body, {"choices": [{"index": 0, "message": {"content": f"keep {KEY} safe"}}]})
    said = json.dumps(told(recorded.spans[0]))
    assert "abcd1234" not in said
    assert "hunter2" not in said
    assert said.count("[redacted]") == 5


@pytest.mark.usefixtures("asked_for")
def test_a_key_in_pieces_is_taken_out(recorded):
    chunks = [chunk({"content": piece}) for piece in ("the key ", KEY[:5], KEY[5:20], KEY[20:])]
    post("/v1/chat/completions", {**CHAT, "stream": True}, events(chunks), SSE)
    assert output(recorded)[0]["parts"] == [{"type": "text", "content": "the key [redacted]"}]


@pytest.mark.usefixtures("asked_for")
def test_an_error_has_its_question_and_no_answer(recorded):
    def refuse(_request):
        return httpx.Response(401, json={"error": {"message": "no"}})

    with httpx.Client(transport=httpx.MockTransport(refuse)) as http:
        http.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)
    assert semconv.OUTPUT_MESSAGES not in told(recorded.spans[0])
    assert semconv.INPUT_MESSAGES in told(recorded.spans[0])


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("said", [1, "text", None, [], {}, [1, None, "a", []], {"a": 1}, [{"type": 1, "role": 2}]])
def test_bodies_of_any_shape_say_nothing_and_break_nothing(said, recorded):
    for path, *_ in SHAPES.values():
        body = dict.fromkeys(
            ("messages", "contents", "system", "tools", "input", "prompt", "inputs", "toolConfig"), said
        )
        answer = dict.fromkeys(
            ("choices", "output", "content", "candidates", "message", "delta", "results", "chunk", "token"), said
        )
        post(path, {"model": "m", **body}, answer)
    assert boundary.errors() == {}
    assert recorded.spans


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("streamed", [True, False])
def test_a_long_answer_is_cut_and_says_so(streamed, recorded):
    words = "word " * 40_000
    if streamed:
        pieces = [chunk({"content": words[at : at + 500]}) for at in range(0, len(words), 500)]
        post("/v1/chat/completions", CHAT, events(pieces), SSE)
    else:
        post("/v1/chat/completions", CHAT, {"choices": [{"index": 0, "message": {"content": words}}]})
    (span,) = recorded.spans
    assert 10_000 < len(span.attributes[semconv.OUTPUT_MESSAGES]) <= 65_536
    assert span.attributes[semconv.TRUNCATED] is True
    assert words.startswith(output(recorded)[0]["parts"][0]["content"].rstrip("…"))


@pytest.mark.usefixtures("asked_for")
def test_of_a_long_history_the_newest_messages_are_kept(recorded):
    messages = [{"role": "user", "content": f"{number} " + "word " * 1000} for number in range(100)]
    post("/v1/chat/completions", {"model": "m", "messages": messages}, WHOLE)
    said = told(recorded.spans[0])[semconv.INPUT_MESSAGES]
    assert 10 < len(said) < 100
    assert said[-1]["parts"][0]["content"].startswith("99 ")
    assert len(recorded.spans[0].attributes[semconv.INPUT_MESSAGES]) <= 65_536
    assert recorded.spans[0].attributes[semconv.TRUNCATED] is True


@pytest.mark.usefixtures("asked_for")
def test_one_endless_event_is_left_out_and_the_next_is_heard(recorded):
    body = events([chunk({"content": "a"}), chunk({"content": "b" * 300_000}), chunk({"content": "c"})])
    post("/v1/chat/completions", CHAT, body, SSE, 5000)
    assert output(recorded)[0]["parts"] == [{"type": "text", "content": "ac"}]
    assert recorded.spans[0].attributes[semconv.TRUNCATED] is True


@pytest.mark.usefixtures("asked_for")
def test_a_body_beyond_what_is_held_has_no_answer_and_says_so(recorded):
    post("/v1/chat/completions", CHAT, {"choices": [{"index": 0, "message": {"content": "b" * 300_000}}]}, pieces=9000)
    assert output(recorded) is None
    assert recorded.spans[0].attributes[semconv.TRUNCATED] is True


@pytest.mark.usefixtures("asked_for")
def test_a_deep_and_wide_definition_is_bounded(recorded):
    deep = {}
    for _ in range(300):
        deep = {"a": deep}
    wide = {f"p{number}": {"type": "string"} for number in range(20_000)}
    tools = [{"type": "function", "function": {"name": "f", "parameters": each}} for each in (deep, wide)]
    post("/v1/chat/completions", {**CHAT, "tools": tools}, WHOLE)
    assert len(recorded.spans[0].attributes.get(semconv.TOOL_DEFINITIONS, "")) <= 65_536
    assert recorded.spans[0].attributes[semconv.TRUNCATED] is True
    assert boundary.errors() == {}


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("config", [Config(content=ContentConfig(max_size=300))])
def test_the_bound_of_an_attribute_can_be_set(config, recorded):
    post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "word " * 500}]}, WHOLE)
    assert 0 < len(recorded.spans[0].attributes[semconv.INPUT_MESSAGES]) <= 300


@pytest.mark.usefixtures("asked_for")
def test_a_stream_that_was_left_says_what_came(recorded):
    def handler(_request):
        parts = [events([chunk({"content": "let "})], done=False), events([chunk({"content": "me see"})], done=False)]
        return httpx.Response(200, content=iter(parts), headers={"content-type": SSE})

    with (
        httpx.Client(transport=httpx.MockTransport(handler)) as http,
        http.stream("POST", "http://127.0.0.1:9/v1/chat/completions", json=CHAT) as response,
    ):
        next(response.iter_raw())
    assert output(recorded)[0]["parts"] == [{"type": "text", "content": "let "}]
    assert recorded.spans[0].attributes[semconv.OUTCOME] == "abandoned"


@pytest.mark.usefixtures("asked_for")
def test_a_compressed_answer_is_heard(recorded):

    def handler(_request):
        data = gzip.compress(json.dumps(WHOLE).encode())
        return httpx.Response(
            200, content=data, headers={"content-encoding": "gzip", "content-type": "application/json"}
        )

    with httpx.Client(transport=httpx.MockTransport(handler)) as http:
        http.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)
    assert output(recorded)[0]["parts"][-1] == {"type": "text", "content": "let me see"}


# --- the user's hook ------------------------------------------------------------------------------------------------


def upper(said):
    return json.loads(json.dumps(said).replace("let me see", "LET ME SEE"))


def broken(said):
    raise KeyError(said)


HOOKS = {
    "nothing": lambda _said: None,
    "no mapping": lambda _said: "all",
    "no lists": lambda _said: {ATTRIBUTES[1]: "x"},
}


@pytest.fixture
def hook():
    yield content.redact_with
    content.hooks.clear()


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("config", [Config(content=ContentConfig(redact="test_content:upper"))])
def test_a_hook_from_the_settings_changes_what_is_kept(config, recorded):
    post("/v1/chat/completions", CHAT, WHOLE)
    assert output(recorded)[0]["parts"][-1]["content"] == "LET ME SEE"


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("kind", HOOKS)
def test_a_hook_that_returns_nothing_of_use_leaves_nothing(kind, recorded, hook):
    hook(HOOKS[kind])
    post("/v1/chat/completions", CHAT, WHOLE)
    assert told(recorded.spans[0]) == {}


@pytest.mark.usefixtures("asked_for")
def test_a_hook_that_fails_leaves_nothing_and_the_span_is_whole(recorded, hook, caplog):
    hook(broken)
    caplog.set_level(logging.WARNING)
    post("/v1/chat/completions", CHAT, WHOLE)
    assert told(recorded.spans[0]) == {}
    assert recorded.spans[0].attributes[semconv.USAGE_INPUT_TOKENS] == 7
    assert boundary.errors() == {"record.content": 1}
    assert "let me see" not in caplog.text
    boundary.reset()


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("path", ["no_such_module:f", "json:nothing", "json:__name__", "json", ":"])
def test_a_hook_that_cannot_be_had_means_no_content(path, recorded, monkeypatch, caplog):

    assert capture_for(ContentConfig(redact=path)) is None
    assert f"record.content.redact: expected module:function, found {path!r}" in caplog.text
    assert not recorded.spans


# --- spans of others, events ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("asked_for")
def test_a_span_of_another_gets_only_what_it_lacks(recorded):
    tracer = recorded.provider.get_tracer("app")
    attributes = {semconv.OPERATION_NAME: "chat", semconv.INPUT_MESSAGES: "theirs"}
    with tracer.start_as_current_span("answer", attributes=attributes):
        post("/v1/chat/completions", CHAT, WHOLE)
    (span,) = recorded.spans
    assert span.attributes[semconv.INPUT_MESSAGES] == "theirs"
    assert json.loads(span.attributes[semconv.OUTPUT_MESSAGES])


@pytest.fixture
def emitted(monkeypatch):

    records = []

    class Logger:
        emit = staticmethod(records.append)

    monkeypatch.setattr(capture._logs, "get_logger", lambda *_names: Logger())
    return records


@pytest.mark.parametrize(("mode", "on_span"), [("EVENT_ONLY", False), ("SPAN_AND_EVENT", True)])
def test_an_event_holds_the_content_and_belongs_to_the_span(mode, on_span, recorded, emitted, monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, mode)
    post("/v1/chat/completions", CHAT, WHOLE)
    (record,) = emitted
    assert record.event_name == semconv.EVENT_INFERENCE_DETAILS
    assert record.span_id == recorded.spans[0].context.span_id
    assert record.attributes[semconv.OPERATION_NAME] == "chat"
    assert record.attributes[semconv.OUTPUT_MESSAGES][1]["parts"] == [{"type": "text", "content": "no"}]
    assert bool(told(recorded.spans[0])) is on_span


def test_the_event_can_be_kept_back(recorded, emitted, monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "SPAN_AND_EVENT")
    monkeypatch.setenv(semconv.EMIT_EVENT, "false")
    post("/v1/chat/completions", CHAT, WHOLE)
    assert not emitted
    assert told(recorded.spans[0])


def test_an_instrumentation_that_emits_the_event_itself_gets_no_second_one(recorded, emitted, monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "EVENT_ONLY")
    tracer = recorded.provider.get_tracer("opentelemetry.util.genai.handler")
    with tracer.start_as_current_span("chat m", attributes={semconv.OPERATION_NAME: "chat"}):
        post("/v1/chat/completions", CHAT, WHOLE)
    assert not emitted
