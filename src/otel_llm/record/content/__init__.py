"""The content of calls, recorded only where it is asked for: `capture` leads, the rest is imported by it."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

Content: TypeAlias = dict[str, list[Any]]
"""Messages, instructions and definitions by attribute."""

Redact: TypeAlias = Callable[[Content], Content | None]
"""Is given the content of one call and returns what may be kept of it."""

hooks: Final[dict[str, Redact]] = {}


def redact_with(hook: Redact) -> None:
    """Have all content pass ``hook``; it wins over ``record.content.redact``."""
    hooks["code"] = hook
