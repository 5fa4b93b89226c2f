"""The formats that the tap can read. A new one is a file beside this one and an entry here."""

from typing import Final

from otel_llm.record.exchange import Format
from otel_llm.record.providers import anthropic, openai

FORMATS: Final[tuple[Format, ...]] = (openai, anthropic)
"""Asked in this order; the first that opens a request reads its answer."""

PATHS: Final = tuple(suffix for known in FORMATS for suffix in known.PATHS)
"""All path endings: whatever ends otherwise passes the tap untouched."""
