"""What a user may set about reading the machine: YAML section ``probe``, environment ``OTEL_LLM_PROBE_*``."""

import msgspec

from otel_llm.quantity import Duration


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the gauges beside the calls.

    Attributes:
        host: Read the machine and this process.
        gpu: Read the cards.
        interval: Between two readings [s].
    """

    host: bool = True
    gpu: bool = True
    interval: Duration = Duration.parse("10s")
