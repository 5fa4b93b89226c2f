"""What an attempt is told of the one before it, where a call is sent again. No I/O; no clock but its caller's.

`Recording` asks `previous` as it begins and tells `remember` as it ends; a context variable is between, so that only
what one task or thread sends, one after the other, is taken for a resend.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from opentelemetry.trace import Span, SpanContext

from otel_llm.record.account import Attempt
from otel_llm.record.exchange import Request
from otel_llm.record.head import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An attempt that may be sent again: what the next one links to.

    Attributes:
        span: Of the attempt.
        ended_at: On the monotonic clock [s].
        host: Where it was sent.
        resend_count: How often it had been sent before.
        redirect: Host and path that the answer sends the client to.
    """

    span: SpanContext
    ended_at: float
    host: str
    resend_count: int
    redirect: tuple[str, str] | None


_last: ContextVar[Sent | None] = ContextVar("otel_llm_last_sent", default=None)


def previous(request: Request) -> tuple[int | None, Sent | None]:
    """How often ``request`` was sent before, and the attempt before it.

    Stainless SDKs (openai, anthropic, ...) count their retries in a header, AWS's count attempts; following a redirect
    is a resend too. A retry of the user's own is a new call.
    """
    last = _last.get()
    if request.resent and last is not None and last.host == request.host:
        return last.resend_count + 1, last
    count = _retry_count(request)
    if last is not None and last.redirect is not None:
        _last.set(None)
        if last.redirect == (request.host, request.path):
            return last.resend_count + 1, last
    if count == 0:
        return None, None
    known = last is not None and last.host == request.host and last.resend_count == count - 1
    return count, last if known else None


_ABSURD: Final = 5
"""Digits of a retry count that nobody means."""


def _retry_count(request: Request) -> int:
    said = request.headers.get("x-stainless-retry-count")
    if said is not None:
        return int(said) if said.isdecimal() and len(said) < _ABSURD else 0
    _, _, said = request.headers.get("amz-sdk-request", "").partition("attempt=")
    said = said.partition(";")[0]
    return max(0, int(said) - 1) if said.isdecimal() and len(said) < _ABSURD else 0


def remember(span: Span, attempt: Attempt, path: str, head: Head | None, ended_at: float, *, failed: bool) -> None:
    """Keep what a resend of ``attempt`` will want to know.

    Args:
        span: Of the attempt.
        attempt: Where it was sent.
        path: To which path.
        head: Of its answer.
        ended_at: On the monotonic clock [s].
        failed: Whether it ended in an error; where it did not, only a redirect is followed by a resend.
    """
    redirect = _redirect(head, attempt.host, path) if head is not None and head.is_redirect else None
    if failed or redirect is not None:
        _last.set(
            Sent(
                span=span.get_span_context(),
                ended_at=ended_at,
                host=attempt.host,
                resend_count=attempt.resend_count or 0,
                redirect=redirect,
            )
        )


def _redirect(head: Head, host: str, path: str) -> tuple[str, str] | None:
    """Host and path of where a redirect sends the client, or ``None`` when that is no address."""
    try:
        target = urlsplit(urljoin(f"//{host}{path}", head.location or ""))
        return target.hostname or host, unquote(target.path)
    except ValueError:
        return None
