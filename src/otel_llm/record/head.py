"""What the head of an answer says: content type and encoding, rate limits, waits, the server's own clock. Pure.

Header names: OpenAI and its imitators (``x-ratelimit-*``), Anthropic (``anthropic-ratelimit-*``), TGI (``x-queue-time``
and ``x-inference-time``, milliseconds), Amazon Bedrock (token counts), RFC 9110 (``retry-after``).
"""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from otel_llm.record.providers import hosts

_WANTED: Final = frozenset(
    {
        *(b"content-type", b"content-encoding", b"server", b"date", b"location", b"retry-after", b"retry-after-ms"),
        *(b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests"),
        *(b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens"),
        *(b"anthropic-ratelimit-requests-limit", b"anthropic-ratelimit-requests-remaining"),
        *(b"anthropic-ratelimit-tokens-limit", b"anthropic-ratelimit-tokens-remaining"),
        *(b"x-queue-time", b"x-inference-time", b"x-compute-time", b"x-compute-type"),
        *(b"x-amzn-bedrock-input-token-count", b"x-amzn-bedrock-output-token-count"),
        *(b"x-amzn-bedrock-cache-read-input-token-count", b"x-amzn-bedrock-cache-write-input-token-count"),
    }
)


class Head(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The head of one answer; what it does not say is ``None``. Durations are seconds [s].

    Attributes:
        input_tokens: Cached ones included; like `output_tokens`, for bodies that do not say it.
    """

    status: int
    content_type: str = ""
    content_encoding: str = ""
    provider: str | None = None
    location: str | None = None
    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    retry_after: float | None = None
    server_queue_time: float | None = None
    server_decode_time: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def is_error(self) -> bool:
        """Whether the status says that the request failed."""
        return self.status >= 400  # noqa: PLR2004 - RFC 9110, 15.5

    @property
    def is_redirect(self) -> bool:
        """Whether the client is sent elsewhere."""
        return 300 <= self.status < 400 and self.location is not None  # noqa: PLR2004 - RFC 9110, 15.4


def read_head(status: int, raw: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head with ``status`` and the header lines ``raw``, names of any case."""
    said: dict[str, str] = {}
    for name, value in raw:
        key = name.lower()
        if key in _WANTED:
            said[key.decode("ascii")] = value.decode("latin-1")
    return Head(
        status=status,
        content_type=said.get("content-type", ""),
        content_encoding=said.get("content-encoding", ""),
        provider=hosts.by_headers(said),
        location=said.get("location"),
        limit_requests=_count(said, "x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit"),
        limit_tokens=_count(said, "x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit"),
        remaining_requests=_count(said, "x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"),
        remaining_tokens=_count(said, "x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining"),
        retry_after=_retry_after(said),
        server_queue_time=_milliseconds(said, "x-queue-time"),
        server_decode_time=_milliseconds(said, "x-inference-time"),
        input_tokens=_input_tokens(said),
        output_tokens=_count(said, "x-amzn-bedrock-output-token-count"),
    )


def _input_tokens(said: dict[str, str]) -> int | None:
    """Bedrock's input tokens, those read from and written to its cache added."""
    fresh = _count(said, "x-amzn-bedrock-input-token-count")
    if fresh is None:
        return None
    cached = ("x-amzn-bedrock-cache-read-input-token-count", "x-amzn-bedrock-cache-write-input-token-count")
    return fresh + sum(_count(said, name) or 0 for name in cached)


def _count(said: dict[str, str], *names: str) -> int | None:
    for name in names:
        value = said.get(name, "").strip()
        if value.isdecimal() and len(value) < 19:  # noqa: PLR2004 - what fits 64 bits
            return int(value)
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def _milliseconds(said: dict[str, str], name: str) -> float | None:
    value = _number(said.get(name))
    return None if value is None else value / 1000


def _retry_after(said: dict[str, str]) -> float | None:
    """Seconds to wait: a number, or a date that is compared with the answer's own ``date``."""
    precise = _milliseconds(said, "retry-after-ms")
    text = said.get("retry-after")
    if precise is not None or not text:
        return precise
    plain = _number(text)
    if plain is not None:
        return plain
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(said["date"])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None
