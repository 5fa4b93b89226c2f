"""Room alert: notifications by HTTP. Runs on delivery threads alone."""

import base64
import http.client
import time
from typing import Final
from urllib.parse import unquote, urlsplit

from otel_llm import semconv
from otel_llm.alert import body, wire
from otel_llm.alert.body import Batch
from otel_llm.alert.carriage import Result, explain, reveal
from otel_llm.alert.receiver import Webhook

_RETRIED: Final = frozenset({408, 425, 429})
_MOST_WISH: Final = 600.0
"""A receiver's wish is honoured up to this [s]."""


def send(to: Webhook, batch: Batch) -> Result:
    """Send ``batch``; never raises for what the receiver does."""
    content = body.write(to.format, batch)
    try:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"otel-llm/{semconv.SCOPE_VERSION}",
            "Idempotency-Key": batch.key,
            **_signatures(to, content),
            **authorization(to),
        }
        answer = wire.post(to.url, content, headers, allow_private=to.allow_private, ca_file=to.ca_file)
    except wire.ForbiddenError as error:
        return Result(outcome="dead", error=str(error))
    except (OSError, http.client.HTTPException) as error:
        return Result(outcome="again", error=explain(error))
    except ValueError:  # a secret that no header can hold
        return Result(outcome="dead", error="a secret or URL has characters that HTTP does not take")
    return judge(answer)


def judge(answer: wire.Answer) -> Result:
    """What the status says about another try."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own bounds
        return Result(outcome="sent")
    wish = None if answer.retry_after is None else min(answer.retry_after, _MOST_WISH)
    if status in _RETRIED or status >= 500:  # noqa: PLR2004
        return Result(outcome="again", error=f"HTTP {status}", retry_after=wish)
    redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""  # noqa: PLR2004
    return Result(outcome="dead", error=f"HTTP {status}{redirect}")


def _signatures(to: Webhook, content: bytes) -> dict[str, str]:
    """Who sent it and when; during a change of secrets by the old one too."""
    if to.secret is None:
        return {}
    stamp = int(time.time())
    said = {
        "X-OtelLlm-Timestamp": str(stamp),
        "X-OtelLlm-Signature": body.sign(reveal(to.secret), stamp, content),
    }
    if to.previous_secret is not None:
        said["X-OtelLlm-Signature-Previous"] = body.sign(reveal(to.previous_secret), stamp, content)
    return said


def authorization(to: Webhook) -> dict[str, str]:
    """Who asks: by a token, or by name and password.

    Raises:
        OSError: The secret is not there.
    """
    if to.bearer is not None:
        return {"Authorization": f"Bearer {reveal(to.bearer)}"}
    parts = urlsplit(to.url)
    if to.username is not None and to.password is not None:
        pair = f"{reveal(to.username)}:{reveal(to.password)}"
    elif parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    else:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
