"""What a user may set about alerts: YAML section ``alerts``, environment ``OTEL_LLM_ALERTS_*``."""

from pathlib import Path
from typing import Literal

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the alerts.

    Attributes:
        mode: Who tells people: ``local`` this process, ``alertmanager`` the Alertmanager at ``url`` and nobody else,
            ``off`` nobody, states are judged and shown all the same.
        rules: A rule file, laid over the shipped rules.
        defaults: Whether the shipped rules are the ground.
        url: Where Alertmanager listens, for mode ``alertmanager``.
        webhook: A URL that is told of every alert, for who needs no more than that: Slack's, Discord's, or any that
            takes Alertmanager's JSON. It may hold a token.
    """

    mode: Literal["local", "alertmanager", "off"] = "local"
    rules: Path | None = None
    defaults: bool = True
    url: str | None = None
    webhook: str | None = None
