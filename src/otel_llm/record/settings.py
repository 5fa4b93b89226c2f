"""What a user may set about recording: YAML section ``record``, environment ``OTEL_LLM_RECORD_*``."""

from pathlib import Path

import msgspec

from otel_llm.quantity import Size


class ContentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the content of calls, which OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT switches on.

    Attributes:
        redact: ``module:function`` that is given the content before it goes anywhere and returns what may.
        max_size: Most JSON text of one attribute [byte]; 64 KiB at most.
    """

    redact: str | None = None
    max_size: Size = Size(65_536, "64KiB")


class CostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of what calls cost: YAML section ``cost``, environment ``OTEL_LLM_COST_*``.

    Attributes:
        enabled: Price calls at all.
        prices: YAML file of the user's own prices: ``models``, ``gpu_hour``, ``currency``.
    """

    enabled: bool = True
    prices: Path | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the wire tap.

    Attributes:
        enabled: Record calls on the wire at all.
        hosts: Provider names for hosts that no table knows: ``{"llm.internal:8000": "vllm"}``; a key is a host name,
            with or without a port.
        paths: Formats for paths that no table knows: ``{"/llm/v3/talk": "openai"}``; a key is a path's ending. The
            format reads it as its first path, or as the one behind its name: ``openai/embeddings``.
        content: What becomes of prompts and answers.
    """

    enabled: bool = True
    hosts: dict[str, str] = msgspec.field(default_factory=dict)
    paths: dict[str, str] = msgspec.field(default_factory=dict)
    content: ContentConfig = msgspec.field(default_factory=ContentConfig)
