"""Messages in OpenAI's bodies (chat, completions, responses), and in those of others that took them over. Pure.

Source: OpenAI, Ollama and Cohere API references.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_llm.record.content import shape
from otel_llm.record.content.shape import Answer, Asked, Part, objects, place
from otel_llm.record.exchange import items, mapping

_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request's body says."""
    said = Asked()
    if isinstance(body.get("messages"), list):
        for message in objects(body["messages"]):
            _say(said, message)
    elif "input" in body:
        _say_input(said, body["input"])
    else:
        prompt = body.get("prompt")
        said.say("user", [shape.text(item) for item in (items(prompt) or [prompt])] + _images(body))
    system = shape.text(body.get("instructions")) or shape.text(body.get("system"))
    if system:
        said.system.append(system)
    for tool in objects(body.get("tools")):
        function = mapping(tool.get("function")) or tool
        if tool.get("type", "function") == "function":
            said.offer(function.get("name"), function.get("description"), function.get("parameters"))
        elif isinstance(tool.get("type"), str):
            said.tools.append({"type": tool["type"], "name": tool.get("name") or tool["type"]})
    return said


def _say(said: Asked, message: Mapping[str, Any]) -> None:
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        name = message.get("tool_call_id")
        said.say("tool", [shape.tool_response(_plain(content), name)], message.get("name"))
        return
    parts: list[Part | None] = [
        shape.text(message.get("reasoning_content") or message.get("thinking"), "reasoning"),
        *(_call(call) for call in objects(message.get("tool_calls"))),
        *_parts(content),
        shape.text(message.get("refusal")),
        *_images(message),
    ]
    said.say(role, parts, message.get("name"))


def _say_input(said: Asked, value: object) -> None:
    """The input of Responses: a text, or items of which some are messages."""
    if isinstance(value, str):
        said.say("user", [shape.text(value)])
    absorbs = False
    for item in objects(value):
        kind, number = item.get("type"), item.get("call_id") or item.get("id")
        if kind in _CALLS:
            part = shape.tool_call(item.get("name"), item.get(_CALLS[str(kind)]), number)
            if absorbs:
                said.messages[-1]["parts"].append(part)
            else:
                said.say("assistant", [part])
        elif isinstance(kind, str) and kind.endswith("_output"):
            said.say("tool", [shape.tool_response(_plain(item.get("output")), number)])
        elif kind == "reasoning":
            said.say("assistant", [shape.text(block.get("text"), "reasoning") for block in _thoughts(item)])
        else:
            said.say(item.get("role"), _parts(item.get("content")), item.get("name"))
        absorbs = kind in _CALLS


def _call(call: Mapping[str, Any]) -> Part:
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    return shape.tool_call(function.get("name"), function.get("arguments", function.get("input")), call.get("id"))


def _plain(content: object) -> object:
    """A tool's answer, its media replaced."""
    return [_part(item) or item for item in content] if isinstance(content, list) else content


def _parts(content: object) -> list[Part | None]:
    return [_part(item) for item in content] if isinstance(content, list) else [shape.text(content)]


def _part(item: object) -> Part | None:
    if not isinstance(item, dict):
        return shape.text(item)
    kind = item.get("type")
    if kind == "input_audio":
        audio = mapping(item.get("input_audio"))
        return shape.blob(audio.get("data"), _AUDIO.get(str(audio.get("format"))), "audio")
    if kind in {"image_url", "input_image"}:
        image = item.get("image_url")
        return shape.uri(mapping(image).get("url") or image) or shape.file(item.get("file_id"), None, "image")
    if kind in {"file", "input_file"}:
        held = mapping(item.get("file")) or item
        return shape.file(held.get("file_id")) or _file(held.get("file_data") or held.get("file_url"))
    if kind == "thinking":
        return shape.text(item.get("thinking"), "reasoning")
    return shape.text(item.get("text")) or shape.text(item.get("refusal"))


def _file(data: object) -> Part | None:
    if isinstance(data, str) and data.startswith(("data:", "http:", "https:")):
        return shape.uri(data, None, "document")
    return shape.blob(data, None, "document")


def _images(message: Mapping[str, Any]) -> list[Part | None]:
    """Ollama's images, bare base64."""
    return [shape.blob(image, None, "image") for image in items(message.get("images"))]


def _thoughts(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from objects(item.get("summary"))
    yield from objects(item.get("content"))


def heard(message: Mapping[str, Any], answer: Answer) -> None:
    """Add what one body or chunk says to ``answer``."""
    kind = message.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        answer.one_turn = True
        _hear_event(kind, message, answer)
    elif isinstance(message.get("output"), list):
        answer.one_turn = True
        for index, item in enumerate(objects(message["output"])):
            _hear_item(index, item, answer)
    for number, choice in enumerate(objects(message.get("choices"))):
        index = place(choice.get("index"), number)
        answer.text(index, choice.get("text"))
        hear_message(index, mapping(choice.get("delta")) or mapping(choice.get("message")), answer)


def hear_message(index: int, said: Mapping[str, Any], answer: Answer) -> None:
    """Add a message, or what came of it."""
    answer.reasoning(index, said.get("reasoning_content") or said.get("reasoning") or said.get("thinking"))
    for number, call in enumerate(objects(said.get("tool_calls"))):
        function = mapping(call.get("function")) or mapping(call.get("custom"))
        arguments = function.get("arguments", function.get("input"))
        key = place(call.get("index"), number)
        answer.call(index, key, id=call.get("id"), name=function.get("name"), arguments=arguments)
    content = said.get("content")
    answer.text(index, content)
    for number, block in enumerate(objects(content)):
        answer.text(index, block.get("text"), number)
        answer.reasoning(index, block.get("thinking"), number)
    answer.text(index, said.get("refusal"), "refusal")
    audio = mapping(said.get("audio"))
    answer.text(index, audio.get("transcript"), "transcript")
    if audio.get("data"):
        answer.put(index, shape.blob(audio["data"], None, "audio"))


def _hear_event(kind: str, message: Mapping[str, Any], answer: Answer) -> None:
    """One event of a stream of Responses."""
    index, delta = place(message.get("output_index")), message.get("delta")
    if kind in {"response.output_text.delta", "response.refusal.delta"}:
        answer.text(index, delta, message.get("content_index"))
    elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
        answer.reasoning(index, delta, message.get("summary_index"))
    elif kind in {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}:
        answer.call(index, 0, arguments=delta)
    elif kind == "response.output_item.added":
        item = mapping(message.get("item"))
        if item.get("type") in _CALLS:
            answer.call(index, 0, id=item.get("call_id") or item.get("id"), name=item.get("name"))
    elif kind in {"response.completed", "response.incomplete"} and not answer.spoken:
        heard({"output": mapping(message.get("response")).get("output")}, answer)


def _hear_item(index: int, item: Mapping[str, Any], answer: Answer) -> None:
    kind = item.get("type")
    if kind in _CALLS:
        number, value = item.get("call_id") or item.get("id"), item.get(_CALLS[str(kind)])
        answer.call(index, 0, id=number, name=item.get("name"), arguments=value)
    elif kind == "reasoning":
        for number, block in enumerate(_thoughts(item)):
            answer.reasoning(index, block.get("text"), number)
    else:
        for number, block in enumerate(objects(item.get("content"))):
            answer.text(index, block.get("text") or block.get("refusal"), number)
