"""What a user may set about reading the machine: YAML section ``probe``, environment ``OTEL_LLM_PROBE_*``."""

import msgspec

from otel_llm.quantity import Duration


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the gauges beside the calls.

    Attributes:
        host: Read the machine and this process.
        gpu: Read the cards.
        server: Read the ``/metrics`` page of model servers that were called.
        servers: More such pages, each under a name: ``{"llm": "http://10.0.0.7:8000/metrics"}``.
        interval: Between two readings [s].
    """

    host: bool = True
    gpu: bool = True
    server: bool = True
    servers: dict[str, str] = msgspec.field(default_factory=dict)
    interval: Duration = Duration.parse("10s")
