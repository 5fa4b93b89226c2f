"""Messages in Bedrock's bodies: Converse, and InvokeModel with the bodies of the models it serves. Pure.

Source: Amazon Bedrock API reference (Converse, ConverseStream, InvokeModel) and user guide (model parameters).
"""

from collections.abc import Mapping
from typing import Any, Final

from otel_llm.record.content import anthropic, openai, shape
from otel_llm.record.content.shape import Answer, Asked, Part, objects, place
from otel_llm.record.exchange import items, mapping

_MEDIA: Final = {"image": "image", "document": "application", "video": "video", "audio": "audio"}
_TEXTS: Final = ("outputText", "generation", "completion", "text")
"""Where the models of InvokeModel put their text."""


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request's body says."""
    if "anthropic_version" in body:
        return anthropic.asked(body)
    said = openai.asked(body) if "prompt" in body or _is_openai(body) else Asked()
    if not said.messages:
        for message in objects(body.get("messages")):
            said.say(message.get("role"), map(_part, objects(message.get("content"))))
        said.say("user", [shape.text(body.get("inputText"))])
    for block in objects(body.get("system")):
        part = shape.text(block.get("text"))
        if part:
            said.system.append(part)
    for tool in objects(mapping(body.get("toolConfig")).get("tools")):
        spec = mapping(tool.get("toolSpec"))
        if spec:
            said.offer(spec.get("name"), spec.get("description"), mapping(spec.get("inputSchema")).get("json"))
    return said


def _is_openai(body: Mapping[str, Any]) -> bool:
    return any(isinstance(message.get("content"), str) for message in objects(body.get("messages")))


def _part(block: Mapping[str, Any]) -> Part | None:
    if isinstance(block.get("toolUse"), dict):
        use = block["toolUse"]
        return shape.tool_call(use.get("name"), use.get("input"), use.get("toolUseId"))
    if isinstance(block.get("toolResult"), dict):
        result = block["toolResult"]
        content = [item.get("text") or item.get("json") or _part(item) for item in objects(result.get("content"))]
        return shape.tool_response(content[0] if len(content) == 1 else content, result.get("toolUseId"))
    thought = mapping(mapping(block.get("reasoningContent")).get("reasoningText")).get("text")
    if thought:
        return shape.text(thought, "reasoning")
    for kind, family in _MEDIA.items():
        if isinstance(block.get(kind), dict):
            media, source = block[kind], mapping(block[kind].get("source"))
            media_type = f"{family}/{media['format']}" if isinstance(media.get("format"), str) else None
            address = mapping(source.get("s3Location")).get("uri")
            return shape.blob(source.get("bytes"), media_type, kind) or shape.uri(address, media_type, kind)
    return shape.text(block.get("text"))


def heard(message: Mapping[str, Any], answer: Answer) -> None:
    """Add what one body or event says to ``answer``."""
    message = shape.unwrapped(message)
    kind = message.get("type")
    if isinstance(kind, str) and (kind == "message" or kind.startswith(("content_block", "message_"))):
        anthropic.heard(message, answer)
        return
    openai.heard(message, answer)
    _hear_converse(message, answer)
    for number, result in enumerate([message, *objects(message.get("results")), *objects(message.get("outputs"))]):
        for name in _TEXTS:
            answer.text(0, result.get(name), number if number > 1 else "text")
    for number, generation in enumerate(objects(message.get("generations"))):
        answer.text(number, generation.get("text"))


def _hear_converse(message: Mapping[str, Any], answer: Answer) -> None:
    output = mapping(mapping(message.get("output")).get("message"))
    for index, block in enumerate(items(output.get("content"))):
        part = _part(mapping(block))
        if part is not None and part["type"] == "tool_call":
            answer.call(0, index, id=part.get("id"), name=part["name"], arguments=part["arguments"])
        elif part is not None and isinstance(part.get("content"), str) and part["type"] != "blob":
            answer.text(0, part["content"], index, part["type"])
        else:
            answer.put(0, part)
    start, change = mapping(message.get("contentBlockStart")), mapping(message.get("contentBlockDelta"))
    use = mapping(mapping(start.get("start")).get("toolUse"))
    if use:
        answer.call(0, place(start.get("contentBlockIndex")), id=use.get("toolUseId"), name=use.get("name"))
    index, delta = place(change.get("contentBlockIndex")), mapping(change.get("delta"))
    answer.text(0, delta.get("text"), index)
    answer.reasoning(0, mapping(delta.get("reasoningContent")).get("text"), index)
    if isinstance(delta.get("toolUse"), dict):
        answer.call(0, index, arguments=delta["toolUse"].get("input"))
