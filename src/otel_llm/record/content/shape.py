"""The convention's shape of messages: what was asked, and an answer that is put together from its pieces. Pure.

The readers beside this file fill it in from one family of JSON each; `fit` makes attributes of it. Source: semantic
conventions for generative AI, JSON schemas of input messages, output messages, system instructions, tool definitions.
"""

import binascii
import urllib.parse
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from otel_llm.record.exchange import items, mapping

Part = dict[str, Any]
"""One part of a message: ``{"type": "text", "content": ...}`` and its like."""

_PARTS: Final = 1000
"""Most parts of one answer."""

_COST: Final = 64
"""[byte] What a part counts beside its text."""

_MODALITIES: Final = ("image", "audio", "video", "text")

_FINISH: Final[Mapping[str, str]] = {
    **dict.fromkeys(("end_turn", "stop_sequence", "complete", "eos_token", "eos", "completed", "finish"), "stop"),
    **dict.fromkeys(
        ("max_tokens", "model_length", "max_output_tokens", "limit", "model_context_window_exceeded"), "length"
    ),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_call"),
    **dict.fromkeys(("safety", "content_filtered", "guardrail_intervened", "refusal", "recitation"), "content_filter"),
}


class _Pieces(list[str]):
    """A text that is put together at the end."""


class Asked(msgspec.Struct, kw_only=True):
    """What a request says, in the convention's shape.

    Attributes:
        messages: The chat history, oldest first.
        system: Parts of instructions that stand apart from it.
        tools: Definitions of tools.
    """

    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    system: list[Part] = msgspec.field(default_factory=list)
    tools: list[dict[str, Any]] = msgspec.field(default_factory=list)

    def say(self, role: object, parts: Iterable[Part | None], name: object = None) -> None:
        """Add a message, unless it says nothing."""
        said = [part for part in parts if part is not None]
        if said:
            message: dict[str, Any] = {"role": role if isinstance(role, str) else "user", "parts": said}
            if isinstance(name, str):
                message["name"] = name
            self.messages.append(message)

    def offer(self, name: object, description: object = None, parameters: object = None) -> None:
        """Add the definition of a function."""
        tool = {"type": "function", "name": name if isinstance(name, str) else ""}
        self.tools.append(tool | told(description=description, parameters=parameters))


class Answer:
    """One answer's messages while they arrive, no more than ``limit`` bytes of them.

    Attributes:
        truncated: Something did not fit.
        one_turn: What stands as choices are the items of one turn, as in OpenAI's Responses.
    """

    def __init__(self, limit: int) -> None:
        self.truncated = False
        self.one_turn = False
        self._left = limit
        self._count = 0
        self._choices: dict[int, dict[object, Part]] = {}

    @property
    def full(self) -> bool:
        """Whether nothing more is taken."""
        return self._left <= 0

    @property
    def spoken(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._choices)

    def text(self, choice: int, piece: object, key: object = "text", kind: str = "text") -> None:
        """Add a piece of text to the part ``key`` of a choice."""
        if isinstance(piece, str) and piece:
            part = self._part(choice, (kind, key), {"type": kind, "content": _Pieces()})
            if part is not None:
                part["content"].append(self._fit(piece))

    def reasoning(self, choice: int, piece: object, key: object = "text") -> None:
        """Add a piece of what the model thought aloud."""
        self.text(choice, piece, key, "reasoning")

    def call(
        self,
        choice: int,
        key: object,
        *,
        id: object = None,  # noqa: A002 - the convention's word
        name: object = None,
        arguments: object = None,
    ) -> None:
        """Add to a tool call: a piece of its arguments' JSON text, or all of them as a value."""
        part = self._part(choice, ("call", key), {"type": "tool_call", "name": "", "arguments": _Pieces()})
        if part is None:
            return
        if isinstance(id, str) and id:
            part["id"] = self._fit(id)
        if isinstance(name, str) and name:
            part["name"] = self._fit(name)
        if isinstance(arguments, str):
            if part["arguments"] == ["{}"]:
                part["arguments"] = _Pieces()  # it stood where the stream's pieces would come
            part["arguments"].append(self._fit(arguments))
        elif arguments is not None:
            part["arguments"] = _Pieces([self._fit(msgspec.json.encode(arguments).decode())])

    def put(self, choice: int, part: Part | None) -> None:
        """Add a part that is whole."""
        if part is None:
            return
        size = len(msgspec.json.encode(part))
        if size > self._left:
            self.truncated = True
        elif self._part(choice, self._count, part) is not None:
            self._left -= size

    def messages(self, finish: Mapping[int, str]) -> list[dict[str, Any]]:
        """The messages as far as they came.

        Args:
            finish: The provider's finish reason of each choice.
        """
        made = []
        for choice, parts in sorted(self._choices.items()):
            message: dict[str, Any] = {"role": "assistant", "parts": [_whole(part) for part in parts.values()]}
            reason = finish.get(choice)
            if reason:
                message["finish_reason"] = finish_reason(reason)
            made.append(message)
        return _joined(made, finish.get(0)) if self.one_turn else made

    def _part(self, choice: int, key: object, new: Part) -> Part | None:
        parts = self._choices.get(choice)
        part = parts.get(key) if parts is not None else None
        if part is None:
            if self._count >= _PARTS or self.full:
                self.truncated = True
                return None
            self._count += 1
            self._left -= _COST
            part = self._choices.setdefault(choice, {})[key] = new
        return part

    def _fit(self, piece: str) -> str:
        if len(piece) > self._left:
            self.truncated = True
            piece = cut(piece, max(0, self._left))
            self._left = 0
        self._left -= len(piece)
        return piece


def _joined(made: list[dict[str, Any]], reason: str | None) -> list[dict[str, Any]]:
    """The items of one turn as messages: a tool call belongs to the message before it, a thought stands alone."""
    joined: list[dict[str, Any]] = []
    for message in made:
        calls = message["parts"][-1]["type"] == "tool_call"
        if reason:
            message["finish_reason"] = "tool_call" if calls else finish_reason(reason)
        if calls and joined and joined[-1]["parts"][-1]["type"] in {"text", "tool_call"}:
            message["parts"] = joined.pop()["parts"] + message["parts"]
        joined.append(message)
    return joined


def _whole(part: Part) -> Part:
    """A part that was put together, as it stands in a message."""
    if isinstance(part.get("content"), _Pieces):
        return part | {"content": "".join(part["content"])}
    if isinstance(part.get("arguments"), _Pieces):
        return part | {"arguments": arguments("".join(part["arguments"]))}
    return part


def finish_reason(reason: str) -> str:
    """The convention's word for a provider's ``reason``, else its own."""
    return _FINISH.get(reason.lower(), reason.lower() if reason.isupper() else reason)


def told(**values: object) -> dict[str, Any]:
    """Those of ``values`` that are said."""
    return {name: value for name, value in values.items() if value is not None}


def cut(text: str, longest: int) -> str:
    """The first ``longest`` characters, and no word in part: it may be a key, which in part no pattern knows."""
    if len(text) <= longest:
        return text
    short = text[:longest]
    end = max(short.rfind(" ", max(0, longest - 256)), short.rfind("\n", max(0, longest - 256)))
    return short[: max(end, 0)] if end >= 0 else short[: max(0, longest - 256)]


def text(content: object, kind: str = "text") -> Part | None:
    """A part of text, or of ``reasoning``; ``None`` where ``content`` is none."""
    return {"type": kind, "content": content} if isinstance(content, str) and content else None


def tool_call(name: object, call: object, id: object = None) -> Part:  # noqa: A002 - the convention's word
    """A tool call that the model asked for; ``call`` is its arguments, as a value or JSON text."""
    part = {"type": "tool_call", "name": name if isinstance(name, str) else ""}
    return part | told(id=id) | {"arguments": arguments(call)}


def tool_response(response: object, id: object = None) -> Part:  # noqa: A002 - the convention's word
    """What a tool answered."""
    return {"type": "tool_call_response"} | told(id=id) | {"response": response}


def arguments(value: object) -> Any:
    """A tool call's arguments: the value of JSON text, else what stands there."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value) if value else None
    except (msgspec.DecodeError, RecursionError):
        return value


def blob(data: object, media_type: object, modality: str | None = None) -> Part | None:
    """Media sent inline as base64: their type and size [byte], not themselves."""
    if not isinstance(data, str):
        return None
    size = len(data) * 3 // 4 - data[-2:].count("=")
    return _media("blob", media_type, modality) | {"content": "", "size": max(size, 0)}


def uri(address: object, media_type: object = None, modality: str | None = "image") -> Part | None:
    """Media by their address; a ``data:`` address becomes a `blob`."""
    if not isinstance(address, str) or not address:
        return None
    if not address.startswith("data:"):
        return _media("uri", media_type, modality) | {"uri": address}
    head, _, data = address[5:].partition(",")
    kind = head.partition(";")[0] or None
    if ";base64" in head.lower():
        return blob(data, kind, modality)
    return _media("blob", kind, modality) | {"content": "", "size": len(urllib.parse.unquote_to_bytes(data))}


def file(number: object, media_type: object = None, modality: str | None = "document") -> Part | None:
    """Media by the id under which the provider holds them."""
    return _media("file", media_type, modality) | {"file_id": number} if isinstance(number, str) and number else None


def _media(kind: str, media_type: object, modality: str | None) -> Part:
    said = media_type if isinstance(media_type, str) else None
    family = (said or "").partition("/")[0]
    modality = (family if family in _MODALITIES else None) or modality or "document"
    return {"type": kind, "modality": modality} | told(mime_type=said)


def unwrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON that a Bedrock chunk holds in base64; the message itself where it is none."""
    data = mapping(message.get("chunk")).get("bytes")
    if not isinstance(data, str):
        return message
    try:
        return mapping(msgspec.json.decode(b64decode(data)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects in a JSON array."""
    return [item for item in items(value) if isinstance(item, dict)]


def place(value: object, default: int = 0) -> int:
    """An index that a body states."""
    return value if type(value) is int and 0 <= value < _PARTS else default
