"""What a user and a model said, for ``otel-llm calls show``: roles and texts in place of JSON. Cli storey."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_llm import semconv
from otel_llm.cli import output

TITLES: Final[Mapping[str, str]] = {
    semconv.SYSTEM_INSTRUCTIONS: "System instructions",
    semconv.INPUT_MESSAGES: "Input",
    semconv.OUTPUT_MESSAGES: "Output",
    semconv.TOOL_DEFINITIONS: "Tools",
}
"""What each attribute is called, in the order in which it is printed."""


def told(attributes: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each kind of content that there is: its title, and who says what. Text that is no such JSON is left as it is."""
    for name, title in TITLES.items():
        value = attributes.get(name)
        if value is None:
            continue
        try:
            items = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, (list, tuple)) and all(isinstance(item, Mapping) for item in items):
            yield title, [pair for item in items for pair in _pairs(item)]
        else:
            yield title, [("", output.clean(value))]


def _pairs(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A message's parts, each behind its role; a part or a definition that stands alone behind its kind."""
    parts = item.get("parts")
    if not isinstance(parts, list):
        yield _part(item)
        return
    role = output.clean(item.get("role", ""))
    for part in parts:
        kind, text = _part(part) if isinstance(part, Mapping) else ("", output.clean(part))
        yield role if kind == "text" else f"{role}, {kind}", text


def _part(part: Mapping[str, Any]) -> tuple[str, str]:
    kind = str(part.get("type", "part"))
    if kind == "tool_call":
        text = f"{part.get('name', '')}({_plain(part.get('arguments'))})"
    elif kind == "tool_call_response":
        text = _plain(part.get("response"))
    elif kind == "function":
        description = part.get("description")
        text = f"{part.get('name', '')}: {description}" if description else str(part.get("name", ""))
    elif isinstance(part.get("content"), str) and part["content"]:
        text = part["content"]
    else:
        text = ", ".join(f"{name} {_plain(value)}" for name, value in part.items() if name != "type" and value != "")
    return output.clean(kind.replace("_", " ")), output.clean(text)


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
