"""The formats that the tap can read. A new one is a file beside this one and an entry here."""

from typing import Final

from otel_llm.record.exchange import Format
from otel_llm.record.providers import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    interactions,
    llamacpp,
    ollama,
    openai,
    tgi,
    watsonx,
)

FORMATS: Final[tuple[Format, ...]] = (
    *(ollama, watsonx, openai, anthropic, gemini, bedrock, cohere, llamacpp, tgi, interactions),
)
"""Asked in this order; the first that opens a request reads its answer. Where paths are shared, the choosier first."""
