"""What each provider's server would say: whole bodies and streams, in its own format, all telling the same tokens.

Values only. `whole` and `stream` take a format and a variant; the server frames and sends what they return.
"""

import json
from typing import NamedTuple

MODEL = "m-1"
INPUT, OUTPUT, CACHED, REASONING = 11, 7, 4, 3
TOKENS = OUTPUT
"""Messages of a stream that carry output: as many as it has tokens."""

FIRST_TOKEN = 0.03
"""From the request to the first message that carries output [s]."""

RETRY_AFTER = 0.05
"""What a busy server asks for [s]."""

CHAT_USAGE = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}
RESPONSES_USAGE = {
    "input_tokens": INPUT,
    "output_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "input_tokens_details": {"cached_tokens": CACHED},
    "output_tokens_details": {"reasoning_tokens": REASONING},
}
CLAUDE_USAGE = {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": OUTPUT}
GEMINI_USAGE = {
    "promptTokenCount": INPUT,
    "candidatesTokenCount": OUTPUT - REASONING,
    "thoughtsTokenCount": REASONING,
    "cachedContentTokenCount": CACHED,
    "totalTokenCount": INPUT + OUTPUT,
}
COHERE_USAGE = {
    "billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    "tokens": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    "cached_tokens": CACHED,
}
OLLAMA_COUNTS = {
    "total_duration": 50_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": INPUT,
    "prompt_eval_duration": 20_000_000,
    "eval_count": OUTPUT,
    "eval_duration": 30_000_000,
}
FINISH = {
    "chat": {"plain": "stop", "tools": "tool_calls", "refusal": "stop"},
    "responses": {"plain": "completed"},
    "messages": {"plain": "end_turn", "tools": "tool_use", "refusal": "refusal"},
    "gemini": {"plain": "STOP", "tools": "STOP", "refusal": "SAFETY"},
    "ollama": {"plain": "stop", "tools": "stop"},
    "cohere": {"plain": "COMPLETE", "tools": "TOOL_CALL"},
}
"""The word with which a server ends an answer."""

CALL = {"name": "weather", "arguments": '{"city": "Oslo"}'}


class Message(NamedTuple):
    """One message of a stream, framed.

    Attributes:
        carries: Whether the model's output is in it.
    """

    data: bytes
    carries: bool


def finish(known, variant):
    return FINISH[known].get(variant, FINISH[known]["plain"])


def whole(known, variant, choices):
    """The body of an answer that is not streamed."""
    return json.dumps(_WHOLE[known](variant, choices)).encode()


def stream(known, variant, choices, *, usage):
    """The messages of a streamed answer; ``usage`` says where a chat stream tells tokens: first, last or not."""
    messages = _STREAM[known](variant, choices, usage)
    if variant == "empty":
        messages = [(value, carries) for value, carries in messages if not carries]
    framed = [Message(_frame(known, value), carries) for value, carries in messages]
    return [*framed, Message(b"data: [DONE]\n\n", carries=False)] if known == "chat" else framed


def _frame(known, value):
    text = json.dumps(value)
    if known == "ollama":
        return f"{text}\n".encode()
    name = f"event: {value['type']}\n" if known in ("responses", "messages", "cohere") else ""
    return f"{name}data: {text}\n\n".encode()


def _chat(variant, choices):
    said = {"content": "a word"}
    if variant == "tools":
        said = {"content": None, "tool_calls": [{"id": "t-1", "type": "function", "function": CALL}]}
    elif variant == "refusal":
        said = {"content": None, "refusal": "no"}
    one = {"message": {"role": "assistant", **said}, "finish_reason": finish("chat", variant)}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": index, **one} for index in range(choices)],
        "usage": CHAT_USAGE,
    }


def _chat_stream(variant, choices, usage):
    def chunk(index, delta, reason=None, **more):
        one = {"index": index, "delta": delta, "finish_reason": reason}
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [one], **more}

    def token(number):
        if variant == "refusal":
            return {"refusal": "no "}
        if variant != "tools":
            return {"content": "word "}
        named = {"id": "t-1", "type": "function"} if number == 0 else {}
        size = -(-len(CALL["arguments"]) // (TOKENS - 1))
        piece = CALL["arguments"][(number - 1) * size : number * size] if number else ""
        function = {"arguments": piece, **({"name": CALL["name"]} if number == 0 else {})}
        return {"tool_calls": [{"index": 0, "function": function, **named}]}

    told = {"usage": CHAT_USAGE} if usage == "first" else {}
    for index in range(choices):
        yield chunk(index, {"role": "assistant", "content": ""}, **(told if index == 0 else {})), False
    for number in range(TOKENS):
        for index in range(choices):
            yield chunk(index, token(number)), True
    for index in range(choices):
        yield chunk(index, {}, finish("chat", variant)), False
    if usage == "last":
        yield {**chunk(0, {}), "choices": [], "usage": CHAT_USAGE}, False


def _response(status="completed", **more):
    return {
        "id": "r-1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def _responses(_variant, _choices):
    text = {"type": "output_text", "text": "a word", "annotations": []}
    output = {"type": "message", "id": "o-1", "status": "completed", "role": "assistant", "content": [text]}
    return _response(output=[output], usage=RESPONSES_USAGE)


def _responses_stream(variant, choices, _usage):
    item = {"type": "message", "id": "o-1", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "o-1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": _response("in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        *[{"type": "response.output_text.delta", **place, "delta": "word ", "logprobs": []}] * TOKENS,
        {"type": "response.completed", "response": _responses(variant, choices)},
    ]
    for number, event in enumerate(events):
        yield {**event, "sequence_number": number}, event["type"].endswith(".delta")


def _claude(variant, _choices):
    block = {"type": "text", "text": "a word"}
    if variant == "tools":
        block = {"type": "tool_use", "id": "t-1", "name": CALL["name"], "input": {"city": "Oslo"}}
    return {
        "id": "a-1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [block],
        "stop_reason": finish("messages", variant),
        "stop_sequence": None,
        "usage": CLAUDE_USAGE,
    }


def _claude_stream(variant, choices, _usage):
    opened = {**_claude(variant, choices), "content": [], "stop_reason": None}
    block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "word "}
    if variant == "tools":
        block = {"type": "tool_use", "id": "t-1", "name": CALL["name"], "input": {}}
        size = -(-len(CALL["arguments"]) // TOKENS)
        pieces = [CALL["arguments"][number * size : (number + 1) * size] for number in range(TOKENS)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    else:
        deltas = [delta] * TOKENS
    yield {"type": "message_start", "message": {**opened, "usage": {**CLAUDE_USAGE, "output_tokens": 1}}}, False
    yield {"type": "content_block_start", "index": 0, "content_block": block}, variant == "tools"
    for one in deltas:
        yield {"type": "content_block_delta", "index": 0, "delta": one}, True
    yield {"type": "content_block_stop", "index": 0}, False
    stopped = {"stop_reason": finish("messages", variant), "stop_sequence": None}
    yield {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": OUTPUT}}, False
    yield {"type": "message_stop"}, False


def _gemini_candidates(part, reason, choices):
    one = {"content": {"role": "model", "parts": [part]}, **({"finishReason": reason} if reason else {})}
    return [{**one, "index": index} for index in range(choices)]


def _gemini_part(variant):
    if variant == "tools":
        return {"functionCall": {"name": CALL["name"], "args": {"city": "Oslo"}}}
    return {"text": "" if variant == "empty" else "word "}


def _gemini(variant, choices):
    return {
        "candidates": _gemini_candidates(_gemini_part(variant), finish("gemini", variant), choices),
        "usageMetadata": GEMINI_USAGE,
        "modelVersion": MODEL,
        "responseId": "g-1",
    }


def _gemini_stream(variant, choices, _usage):
    for _ in range(TOKENS - 1):
        some = _gemini_candidates(_gemini_part(variant), None, choices)
        yield {"candidates": some, "modelVersion": MODEL, "responseId": "g-1"}, True
    yield _gemini(variant, choices), variant != "empty"


def _ollama_message(variant):
    if variant == "tools":
        function = {"name": CALL["name"], "arguments": {"city": "Oslo"}}
        return {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    return {"role": "assistant", "content": "word "}


def _ollama(variant, _choices):
    stopped = {"done": True, "done_reason": finish("ollama", variant), **OLLAMA_COUNTS}
    return {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "message": _ollama_message(variant), **stopped}


def _ollama_stream(variant, choices, _usage):
    whole_one = _ollama(variant, choices)
    part = {name: whole_one[name] for name in ("model", "created_at", "message")}
    for _ in range(TOKENS):
        yield {**part, "done": False}, True
    yield {**whole_one, "message": {"role": "assistant", "content": ""}}, False


def _cohere(variant, _choices):
    said = {"content": [{"type": "text", "text": "a word"}]}
    if variant == "tools":
        said = {"tool_calls": [{"id": "t-1", "type": "function", "function": CALL}]}
    reason = finish("cohere", variant)
    return {"id": "h-1", "finish_reason": reason, "message": {"role": "assistant", **said}, "usage": COHERE_USAGE}


def _cohere_stream(variant, _choices, _usage):
    def event(kind, message=None):
        return {"type": kind, "index": 0, **({"delta": {"message": message}} if message else {})}

    started = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"type": "message-start", "id": "h-1", "delta": {"message": started}}, False
    if variant == "tools":
        named = {"id": "t-1", "type": "function", "function": {"name": CALL["name"], "arguments": ""}}
        yield event("tool-call-start", {"tool_calls": named}), True
        size = -(-len(CALL["arguments"]) // TOKENS)
        for number in range(TOKENS):
            piece = CALL["arguments"][number * size : (number + 1) * size]
            yield event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}), True
        yield event("tool-call-end"), False
    else:
        yield event("content-start", {"content": {"type": "text", "text": ""}}), False
        for _ in range(TOKENS):
            yield event("content-delta", {"content": {"text": "word "}}), True
        yield event("content-end"), False
    yield {"type": "message-end", "delta": {"finish_reason": finish("cohere", variant), "usage": COHERE_USAGE}}, False


VECTOR = [0.5, -0.25, 0.125]
_WHOLE = {
    "chat": _chat,
    "responses": _responses,
    "messages": _claude,
    "gemini": _gemini,
    "ollama": _ollama,
    "cohere": _cohere,
    "embeddings": lambda *_: {
        "object": "list",
        "model": MODEL,
        "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}],
        "usage": {"prompt_tokens": INPUT, "total_tokens": INPUT},
    },
    "gemini-embeddings": lambda *_: {"embeddings": [{"values": VECTOR}], "embedding": {"values": VECTOR}},
    "ollama-embeddings": lambda *_: {"model": MODEL, "embeddings": [VECTOR], "prompt_eval_count": INPUT},
    "cohere-embeddings": lambda *_: {
        "id": "h-1",
        "embeddings": {"float": [VECTOR]},
        "texts": ["word"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": INPUT}},
    },
}
_STREAM = {
    "chat": _chat_stream,
    "responses": _responses_stream,
    "messages": _claude_stream,
    "gemini": _gemini_stream,
    "ollama": _ollama_stream,
    "cohere": _cohere_stream,
}
