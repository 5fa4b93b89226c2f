"""What a user may set about receiving: YAML section ``receive``, environment ``OTEL_LLM_RECEIVE_*``."""

import msgspec


class ReceiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of ``otel-llm receive``.

    Attributes:
        host: The address to listen on.
        port: The port; 0 is any that is free.
        token: What a sender has to show (``Authorization: Bearer ...``); without one only loopback is listened on.
    """

    host: str = "127.0.0.1"
    port: int = 4318
    token: str | None = None
