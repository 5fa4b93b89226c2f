"""A request in each format and an answer to it, made so that between them they reach whatever reads them.

The server answers ``/dialogue/NAME/...`` with the answer of that name; `scenes` asks.
"""

import base64
import json
from typing import NamedTuple

from telling import events, frame, lines

EVENTS = "content-type: text/event-stream"
JSON = "content-type: application/json"
LINES = "content-type: application/x-ndjson"
FRAMES = "content-type: application/vnd.amazon.eventstream"
LARGE = 200_000
"""More than is held of a body [byte]."""


class Dialogue(NamedTuple):
    """What is asked at which path, and the head and the pieces of the answer."""

    path: str
    asked: dict
    fields: tuple
    pieces: list


def whole(path, asked, answer, *fields):
    return Dialogue(path, asked, (JSON, *fields), [json.dumps(answer).encode()])


def frames(path, asked, *named):
    pieces = [frame(payload, message_type="event", event_type=name) for name, payload in named]
    return Dialogue(path, asked, (FRAMES,), pieces)


def chunk(**delta):
    return {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


DATA = base64.b64encode(b"picture").decode()
LIMITS = (
    *("x-ratelimit-limit-requests: 100", "x-ratelimit-limit-tokens: 1000", "x-ratelimit-reset-requests: 1m30s"),
    "x-ratelimit-remaining-tokens: 900",
)
TOOL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CHAT = {
    "model": "m",
    "messages": [
        {"role": "assistant", "reasoning_content": "hm", "tool_calls": [TOOL]},
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "42"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
                {"type": "image_url", "image_url": {"url": "https://example.invalid/a.png"}},
                {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}"}},
                {"type": "file", "file": {"file_id": "f1"}},
            ],
        },
    ],
}
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "queue_time": 0.1,
    "prompt_time": 0.1,
}
CLAUDE = {
    "model": "c",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                {"type": "image", "source": {"type": "url", "url": "https://example.invalid/a.png"}},
                {"type": "document", "source": {"type": "file", "file_id": "f1"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]},
    ],
}
PARTS = [
    {"text": "see"},
    {"inlineData": {"mimeType": "image/png", "data": DATA}},
    {"functionCall": {"name": "f", "args": {"a": 1}}},
    {"functionResponse": {"name": "f", "response": {"b": 2}}},
]
GEMINI = {"contents": [{"role": "user", "parts": PARTS}], "generationConfig": {"temperature": 0.5}}
CANDIDATE = {"index": 0, "content": {"parts": PARTS[:3]}, "finishReason": "STOP"}
COUNTED = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
TIMINGS = {"prompt_n": 7, "prompt_ms": 10.0, "predicted_n": 5, "predicted_ms": 20.0, "cache_n": 0}

DIALOGUES = {
    "rich": whole(
        "/v1/chat/completions",
        CHAT,
        {
            "id": "c",
            "model": "m-1",
            "timings": TIMINGS,
            "time_info": {"queue_time": 0.1},
            "choices": [
                {
                    "index": 0,
                    "message": {"content": [{"text": "hi"}], "tool_calls": [TOOL], "audio": {"data": DATA}},
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": USAGE,
        },
        *LIMITS,
    ),
    "pieces": Dialogue(
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        (EVENTS,),
        events(
            chunk(role="assistant", content=""),
            chunk(tool_calls=[{"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a"'}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
            {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": USAGE},
        ),
    ),
    "returns": Dialogue(
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        (EVENTS,),
        [piece.replace(b"\n", b"\r\n") for piece in events(*[chunk(content="hi")] * 9, {"choices": []})],
    ),
    "long": Dialogue(
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        (EVENTS,),
        events(chunk(content="hi"), *[chunk(content="x" * 1000)] * (LARGE // 1000), chunk(content="y" * LARGE)),
    ),
    "late": Dialogue(
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        (EVENTS,),
        events(chunk(role="assistant", content="", padding="x" * LARGE), chunk(content="hi")),
    ),
    "large": whole(
        "/v1/embeddings",
        {"model": "m", "input": "hi"},
        {"model": "m-1", "data": [{"embedding": "x" * LARGE}], "usage": {"prompt_tokens": 7}},
    ),
    "nested": Dialogue("/v1/chat/completions", CHAT, (JSON, "content-encoding: gzip, gzip"), [b"x"]),
    "worded": whole(
        "/v1/responses",
        {
            "model": "m",
            "input": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "t2", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "t1", "output": "42"},
                {"role": "user", "content": [{"type": "input_image", "file_id": "f1"}]},
            ],
        },
        {
            "object": "response",
            "id": "r",
            "model": "m-1",
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "function_call", "call_id": "t3", "name": "f", "arguments": "{}"},
                {"type": "message", "content": [{"type": "output_text", "text": "hi"}]},
            ],
            "usage": {"input_tokens": 7, "output_tokens": 5},
        },
    ),
    "claude": whole(
        "/v1/messages",
        CLAUDE,
        {
            "type": "message",
            "id": "a",
            "model": "c-1",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "server_tool_use", "id": "t1", "name": "web_search", "input": {"query": "fox"}},
                {"type": "web_search_tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
                {"type": "text", "text": "hi"},
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "output_tokens": 5},
        },
        *("anthropic-ratelimit-requests-limit: 100", "anthropic-ratelimit-requests-remaining: 99"),
        *("anthropic-ratelimit-requests-reset: 2026-01-01T00:01:00Z", "date: Thu, 01 Jan 2026 00:00:00 GMT"),
    ),
    "gemini": whole(
        "/v1beta/models/m:generateContent",
        GEMINI,
        {"candidates": [CANDIDATE], "usageMetadata": COUNTED, "modelVersion": "m-1", "responseId": "g"},
    ),
    "gemini-array": Dialogue(
        "/v1beta/models/m:streamGenerateContent",
        GEMINI,
        (JSON,),
        [
            b"[",
            json.dumps({"candidates": [CANDIDATE]}).encode() + b",",
            b'{"candidates":[{"content":{"parts":[{"text":"' + b"x" * LARGE,
            b'"}]}}]},' + json.dumps({"candidates": [], "usageMetadata": COUNTED}).encode() + b"]",
        ],
    ),
    "gemini-error": whole(
        "/v1beta/models/m:generateContent", GEMINI, {"error": {"code": 400, "message": "no", "status": "INVALID"}}
    ),
    "gemini-embed": whole(
        "/v1beta/models/m:embedContent",
        {"content": {"parts": PARTS[:1]}, "outputDimensionality": 3},
        {"embedding": {"values": [1, 2, 3]}},
    ),
    "ollama": Dialogue(
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": "hi", "images": [DATA]}]},
        (LINES,),
        lines(
            {"model": "m", "message": {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}},
            {"model": "m", "message": {"content": "hi"}, "done": False},
            {
                "model": "m",
                "done": True,
                "done_reason": "stop",
                "eval_count": 5,
                "eval_duration": 10,
                "load_duration": 1,
            },
        ),
    ),
    "cohere": Dialogue(
        "/v2/chat",
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        (EVENTS,),
        events(
            {"type": "message-start", "id": "c"},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hi"}}}},
            {
                "type": "message-end",
                "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 7, "output_tokens": 5}}},
            },
        ),
    ),
    "cohere-1": Dialogue(
        "/v1/chat",
        {"model": "m", "message": "hi", "stream": True},
        (LINES,),
        lines(
            {"event_type": "stream-start", "generation_id": "c"},
            {"event_type": "text-generation", "text": "hi"},
            {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"text": "hi"}},
        ),
    ),
    "cohere-of-nobody": whole("/v1/chat", {"message": "hi", "stream": False}, {"text": "hi", "generation_id": "c"}),
    "watsonx": whole(
        "/ml/v1/text/generation",
        {"model_id": "m", "input": "hi", "parameters": {"max_new_tokens": 5}},
        {
            "model_id": "m",
            "results": [
                {"generated_text": "hi", "generated_token_count": 5, "input_token_count": 7, "stop_reason": "eos_token"}
            ],
        },
    ),
    "watsonx-wrong": whole(
        "/ml/v1/text/generation", {"model_id": "m", "input": "hi"}, {"errors": [{"code": "c", "message": "no"}]}
    ),
    "interactions": whole(
        "/v1beta/interactions",
        {"model": "m", "input": "hi", "generation_config": {"temperature": 0.5}},
        {
            "id": "i",
            "status": "completed",
            "outputs": [{"type": "text", "text": "hi"}],
            "usage": {"total_input_tokens": 7, "total_output_tokens": 5, "total_thought_tokens": 2},
        },
    ),
    "interactions-wrong": whole(
        "/v1beta/interactions", {"model": "m", "input": "hi"}, {"error": {"code": 3, "message": "no"}}
    ),
    "llamacpp": whole(
        "/completion",
        {"prompt": "hi", "n_predict": 5},
        {
            "content": "hi",
            "stop": True,
            "stopped_eos": True,
            "tokens_predicted": 5,
            "tokens_evaluated": 7,
            "timings": TIMINGS,
        },
        "server: llama.cpp",
    ),
    "tgi": whole(
        "/generate",
        {"inputs": "hi", "parameters": {"temperature": 0.5}},
        {"generated_text": "hi", "details": {"finish_reason": "length", "generated_tokens": 5, "prefill": [1]}},
        "x-compute-type: gpu",
    ),
    "tgi-stream": Dialogue(
        "/generate_stream",
        {"inputs": "hi"},
        (EVENTS,),
        events({"token": {"text": "hi"}}, {"token": {"text": "!"}, "generated_text": "hi!"}),
    ),
    "claude-on-bedrock": frames(
        "/model/anthropic.claude/invoke-with-response-stream",
        {"messages": CLAUDE["messages"]},
        ("chunk", {"bytes": base64.b64encode(b'{"type":"message_start","message":{"id":"a"}}').decode()}),
        ("modelStreamErrorException", {"message": "no"}),
    ),
    "llama-on-bedrock": whole(
        "/model/meta.llama/invoke",
        {"prompt": "hi"},
        {"generation": "hi", "prompt_token_count": 7, "generation_token_count": 5, "stop_reason": "stop"},
        "x-amzn-errortype: ThrottlingException:http://a",
    ),
    "titan-on-bedrock": whole(
        "/model/amazon.titan/invoke",
        {"inputText": "hi"},
        {"inputTextTokenCount": 7, "results": [{"tokenCount": 5, "outputText": "hi", "completionReason": "FINISH"}]},
    ),
    "large-on-bedrock": frames(
        "/model/m/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x" * LARGE}}),
        ("messageStop", {"stopReason": "end_turn"}),
    ),
}
