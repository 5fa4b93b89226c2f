"""Messages in Anthropic's bodies. Pure. Source: Anthropic API reference (Messages, streaming)."""

from collections.abc import Mapping
from typing import Any

from otel_llm.record.content import shape
from otel_llm.record.content.shape import Answer, Asked, Part, objects, place
from otel_llm.record.exchange import mapping


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request's body says."""
    said = Asked()
    said.system = [part for part in _parts(body.get("system")) if part is not None]
    for message in objects(body.get("messages")):
        said.say(message.get("role"), _parts(message.get("content")))
    for tool in objects(body.get("tools")):
        if "input_schema" in tool:
            said.offer(tool.get("name"), tool.get("description"), tool["input_schema"])
        elif isinstance(tool.get("type"), str):
            said.tools.append({"type": tool["type"], "name": tool.get("name") or tool["type"]})
    return said


def _parts(content: object) -> list[Part | None]:
    return [_part(block) for block in objects(content)] if isinstance(content, list) else [shape.text(content)]


def _part(block: Mapping[str, Any]) -> Part | None:
    kind = block.get("type")
    if kind == "thinking":
        return shape.text(block.get("thinking"), "reasoning")
    if kind in {"tool_use", "server_tool_use"}:
        return shape.tool_call(block.get("name"), block.get("input"), block.get("id"))
    if isinstance(kind, str) and kind.endswith("tool_result"):
        content = block.get("content")
        answer = [_part(item) or item for item in objects(content)] if isinstance(content, list) else content
        return shape.tool_response(answer, block.get("tool_use_id"))
    if kind in {"image", "document"}:
        return _media(mapping(block.get("source")), str(kind))
    return shape.text(block.get("text"))


def _media(source: Mapping[str, Any], modality: str) -> Part | None:
    media_type = source.get("media_type")
    return (
        shape.blob(source.get("data"), media_type, modality)
        or shape.uri(source.get("url"), media_type, modality)
        or shape.file(source.get("file_id"), media_type, modality)
    )


def heard(message: Mapping[str, Any], answer: Answer) -> None:
    """Add what one body or event says to ``answer``."""
    kind, index = message.get("type"), place(message.get("index"))
    if kind == "content_block_start":
        _hear_block(index, mapping(message.get("content_block")), answer)
    elif kind == "content_block_delta":
        delta = mapping(message.get("delta"))
        answer.text(0, delta.get("text"), index)
        answer.reasoning(0, delta.get("thinking"), index)
        if isinstance(delta.get("partial_json"), str):
            answer.call(0, index, arguments=delta["partial_json"])
    else:
        for number, block in enumerate(objects(message.get("content"))):
            _hear_block(number, block, answer)


def _hear_block(index: int, block: Mapping[str, Any], answer: Answer) -> None:
    if block.get("type") in {"tool_use", "server_tool_use"}:
        answer.call(0, index, id=block.get("id"), name=block.get("name"), arguments=block.get("input"))
    elif str(block.get("type")).endswith("tool_result"):
        answer.put(0, _part(block))
    else:
        answer.text(0, block.get("text"), index)
        answer.reasoning(0, block.get("thinking"), index)
