"""Messages in Gemini's bodies. Pure. Source: Gemini API reference (generateContent, Content, Part)."""

from collections.abc import Mapping
from typing import Any

from otel_llm.record.content import shape
from otel_llm.record.content.shape import Answer, Asked, Part, objects, place
from otel_llm.record.exchange import mapping


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request's body says."""
    said = Asked()
    system = body.get("systemInstruction", body.get("system_instruction"))
    said.system = [part for part in map(_part, objects(mapping(system).get("parts"))) if part is not None]
    contents = body.get("contents")
    for content in objects(contents) or [mapping(contents)]:
        role = content.get("role")
        said.say("assistant" if role == "model" else role, map(_part, objects(content.get("parts"))))
    for tool in objects(body.get("tools")):
        for function in objects(tool.get("functionDeclarations", tool.get("function_declarations"))):
            parameters = function.get("parameters", function.get("parametersJsonSchema"))
            said.offer(function.get("name"), function.get("description"), parameters)
    return said


def _part(part: Mapping[str, Any]) -> Part | None:
    call, response = mapping(part.get("functionCall")), mapping(part.get("functionResponse"))
    inline, held = mapping(part.get("inlineData")), mapping(part.get("fileData"))
    if call:
        return shape.tool_call(call.get("name"), call.get("args"), call.get("id"))
    if response:
        return shape.tool_response(response.get("response"), response.get("id") or response.get("name"))
    if inline:
        return shape.blob(inline.get("data"), inline.get("mimeType"))
    if held:
        return shape.uri(held.get("fileUri"), held.get("mimeType"), "document")
    return shape.text(part.get("text"), "reasoning" if part.get("thought") is True else "text")


def heard(message: Mapping[str, Any], answer: Answer) -> None:
    """Add what one body or chunk says to ``answer``."""
    for number, candidate in enumerate(objects(message.get("candidates"))):
        index = place(candidate.get("index"), number)
        for part in objects(mapping(candidate.get("content")).get("parts")):
            said = _part(part)
            if said is not None and said["type"] in {"text", "reasoning"}:
                answer.text(index, said["content"], kind=said["type"])
            else:
                answer.put(index, said)
