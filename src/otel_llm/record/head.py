"""What the head of an answer says: content type and encoding, rate limits, waits, the server's own clock. Pure.

Header names: OpenAI and its imitators (``x-ratelimit-*``), Anthropic (``anthropic-ratelimit-*``), TGI (``x-queue-time``
and ``x-inference-time``, milliseconds), Amazon Bedrock (token counts), RFC 9110 (``retry-after``).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from otel_llm.record.providers import hosts


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The head of one answer; what it does not say is ``None``. Durations are seconds [s].

    Attributes:
        input_tokens: Cached ones included; like `output_tokens`, for bodies that do not say it.
        error_code: The class of an error at Amazon, for bodies that hold no more than a sentence.
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
    reset_requests: float | None = None
    reset_tokens: float | None = None
    retry_after: float | None = None
    server_queue_time: float | None = None
    server_decode_time: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error_code: str | None = None

    def tell(self, told: dict[str, Any]) -> dict[str, Any]:  # noqa: C901 - name by name, as of `Facts`
        """Add what it says of the call to ``told``, fields of a `otel_llm.calls.Call`."""
        told["status_code"] = self.status
        if self.limit_requests is not None:
            told["limit_requests"] = self.limit_requests
        if self.limit_tokens is not None:
            told["limit_tokens"] = self.limit_tokens
        if self.remaining_requests is not None:
            told["remaining_requests"] = self.remaining_requests
        if self.remaining_tokens is not None:
            told["remaining_tokens"] = self.remaining_tokens
        if self.retry_after is not None:
            told["retry_after"] = self.retry_after
        if self.server_queue_time is not None:
            told["server_queue_time"] = self.server_queue_time
        if self.server_decode_time is not None:
            told["server_decode_time"] = self.server_decode_time
        if self.input_tokens is not None:
            told["input_tokens"] = self.input_tokens
        if self.output_tokens is not None:
            told["output_tokens"] = self.output_tokens
        if self.error_code is not None and self.is_error:
            told["error_code"] = self.error_code
        return told

    @property
    def tells_limits(self) -> bool:
        """Whether it says anything of rate limits."""
        return not (
            self.remaining_requests is None
            and self.remaining_tokens is None
            and self.limit_requests is None
            and self.limit_tokens is None
        )

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
    said: dict[str, Any] = {}
    odd: dict[str, str] = {}
    for name, value in raw:
        known = _FIELDS.get(name.lower())
        if known is None:
            continue
        field, parse = known
        if parse is None:
            odd[field] = value.decode("latin-1")
        elif (read := parse(value.decode("latin-1"))) is not None:
            said[field] = read
    if odd:
        said.update(_read_odd(odd))
    return Head(status=status, **said)


def _read_odd(odd: Mapping[str, str]) -> dict[str, Any]:
    """What takes more than one header line to tell."""
    return {
        "provider": hosts.by_headers(odd),
        "retry_after": _retry_after(odd),
        "input_tokens": _input_tokens(odd),
        **{field: _since(odd, odd[name]) for name, field in _RENEWALS if name in odd},
    }


def _count(text: str) -> int | None:
    value = text.strip()
    return int(value) if value.isdecimal() and len(value) < 19 else None  # noqa: PLR2004 - what fits 64 bits


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _milliseconds(text: str) -> float | None:
    value = _number(text)
    return None if value is None else value / 1000


def _input_tokens(odd: Mapping[str, str]) -> int | None:
    """Bedrock's input tokens, those read from and written to its cache added."""
    fresh = _count(odd.get("x-amzn-bedrock-input-token-count", ""))
    if fresh is None:
        return None
    cached = ("x-amzn-bedrock-cache-read-input-token-count", "x-amzn-bedrock-cache-write-input-token-count")
    return fresh + sum(_count(odd.get(name, "")) or 0 for name in cached)


_SPAN: Final = re.compile(
    r"(?=.)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,12})?)s)?(?:(\d{1,9}(?:\.\d{1,12})?)ms)?"
)
_LONGEST_SPAN: Final = 1e9
"""No window is that long [s]: a date, in seconds since 1970."""

_SCALES: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def _span(text: str) -> float | None:
    """Seconds of ``1m30.951s``, ``17ms`` or a plain number."""
    pieces = _SPAN.fullmatch(text.strip())
    if pieces is None:
        plain = _number(text)
        return plain if plain is not None and plain < _LONGEST_SPAN else None
    return sum(float(value) * scale for value, scale in zip(pieces.groups(), _SCALES, strict=True) if value)


def _since(odd: Mapping[str, str], said: str) -> float | None:
    """From the answer's own ``date`` to ``said`` [s], not below 0."""
    try:
        return max(0.0, (datetime.fromisoformat(said.strip()) - parsedate_to_datetime(odd["date"])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None


def _retry_after(odd: Mapping[str, str]) -> float | None:
    """Seconds to wait: a number, or a date that is compared with the answer's own ``date``."""
    precise = _milliseconds(odd.get("retry-after-ms", ""))
    text = odd.get("retry-after")
    if precise is not None or not text:
        return precise
    plain = _number(text)
    if plain is not None:
        return plain
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(odd["date"])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None


_ERROR: Final = re.compile(r"(?:[\w.]{1,200}#)?(\w{1,100})(?::.*)?")


def _error(text: str) -> str | None:
    """The class in ``ValidationException:http://...`` or ``com.amazon#ValidationException``."""
    named = _ERROR.fullmatch(text.strip())
    return named[1] if named else None


_RENEWALS: Final = (
    ("anthropic-ratelimit-requests-reset", "reset_requests"),
    ("anthropic-ratelimit-tokens-reset", "reset_tokens"),
)
"""Headers that hold a date, and the field of what they tell."""

_FIELDS: Final[Mapping[bytes, tuple[str, Callable[[str], Any] | None]]] = {
    b"content-type": ("content_type", str),
    b"content-encoding": ("content_encoding", str),
    b"location": ("location", str),
    b"x-ratelimit-limit-requests": ("limit_requests", _count),
    b"x-ratelimit-limit-tokens": ("limit_tokens", _count),
    b"x-ratelimit-remaining-requests": ("remaining_requests", _count),
    b"x-ratelimit-remaining-tokens": ("remaining_tokens", _count),
    b"x-ratelimit-reset-requests": ("reset_requests", _span),
    b"x-ratelimit-reset-tokens": ("reset_tokens", _span),
    b"anthropic-ratelimit-requests-limit": ("limit_requests", _count),
    b"anthropic-ratelimit-tokens-limit": ("limit_tokens", _count),
    b"anthropic-ratelimit-requests-remaining": ("remaining_requests", _count),
    b"anthropic-ratelimit-tokens-remaining": ("remaining_tokens", _count),
    b"x-queue-time": ("server_queue_time", _milliseconds),
    b"x-inference-time": ("server_decode_time", _milliseconds),
    b"x-amzn-bedrock-output-token-count": ("output_tokens", _count),
    b"x-amzn-errortype": ("error_code", _error),
    **{
        name.encode(): (name, None)
        for name in (
            *(name for name, _ in _RENEWALS),
            *("server", "date", "retry-after", "retry-after-ms", "x-compute-time", "x-compute-type"),
            "x-amzn-bedrock-input-token-count",
            "x-amzn-bedrock-cache-read-input-token-count",
            "x-amzn-bedrock-cache-write-input-token-count",
        )
    },
}
"""By header, the field of `Head` and what reads it; ``None`` where `_read_odd` does."""
