"""Messages in bodies of Ollama, Cohere, llama.cpp, TGI, watsonx.ai and Interactions where not OpenAI's. Pure.

Source: Ollama API (chat, generate), Cohere API v2 (chat, stream events), llama.cpp server (completion), TGI's OpenAPI.
"""

from collections.abc import Mapping
from typing import Any

from otel_llm.record.content import openai, shape
from otel_llm.record.content.shape import Answer, Asked, place
from otel_llm.record.exchange import mapping


def asked(body: Mapping[str, Any]) -> Asked:
    """What a request's body says: OpenAI's messages, or a prompt."""
    if "inputs" in body:
        said = Asked()
        said.say("user", [shape.text(body["inputs"])])
        return said
    return openai.asked({name: value for name, value in body.items() if name != "input"})


def hear_ollama(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one object of Ollama's; a tool call comes whole, several of them in chunks of their own."""
    said = mapping(message.get("message"))
    for call in said.get("tool_calls") or ():
        function = mapping(mapping(call).get("function"))
        answer.put(0, shape.tool_call(function.get("name"), function.get("arguments"), mapping(call).get("id")))
    openai.hear_message(0, {name: value for name, value in said.items() if name != "tool_calls"}, answer)
    answer.reasoning(0, message.get("thinking"))
    answer.text(0, message.get("response"))


def hear_cohere(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one body or event of Cohere's."""
    index, said = place(message.get("index")), mapping(mapping(message.get("delta")).get("message"))
    answer.reasoning(0, said.get("tool_plan"), "plan")
    call, content = mapping(said.get("tool_calls")), mapping(said.get("content"))
    if call:
        function = mapping(call.get("function"))
        answer.call(0, index, id=call.get("id"), name=function.get("name"), arguments=function.get("arguments"))
    answer.text(0, content.get("text"), index)
    answer.reasoning(0, content.get("thinking"), index)
    whole = mapping(message.get("message"))
    answer.reasoning(0, whole.get("tool_plan"), "plan")
    openai.hear_message(0, whole, answer)


def hear_llamacpp(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one body or chunk of llama.cpp's own."""
    answer.text(place(message.get("index")), message.get("content"))


def hear_tgi(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one body or chunk of TGI's; its last chunk repeats all of the text."""
    token = mapping(message.get("token"))
    if token:
        if token.get("special") is not True:
            answer.text(0, token.get("text"))
    else:
        answer.text(0, message.get("generated_text"))


def ask_watsonx(body: Mapping[str, Any]) -> Asked:
    """What a request's body says: OpenAI's messages, or an input."""
    if not isinstance(body.get("input"), str):
        return asked(body)
    said = Asked()
    said.say("user", [shape.text(body["input"])])
    return said


def hear_watsonx(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one body or event of watsonx.ai's."""
    for number, result in enumerate(shape.objects(message.get("results"))):
        answer.text(number, result.get("generated_text"))
    openai.heard(message, answer)


def hear_interactions(message: Mapping[str, Any], answer: Answer) -> None:
    """Add one body or event of Google's Interactions."""
    delta = mapping(message.get("delta"))
    if delta.get("type") == "text":
        answer.text(0, delta.get("text"))
    elif delta.get("type") == "thought_summary":
        answer.reasoning(0, mapping(delta.get("content")).get("text"))
    for step in shape.objects(message.get("steps")):
        if step.get("type") == "model_output":
            for part in shape.objects(step.get("content")):
                answer.text(0, part.get("text"))
