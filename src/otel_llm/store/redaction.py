"""Room store: what is never written, whoever put it on a span. No I/O, no clock.

Headers and query strings are never stored, for keys travel in them; credentials in a URL and keys in error texts
neither. `verdict` tells what becomes of an attribute by its name alone, so that writers can remember the answer.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_llm import semconv
from otel_llm.redaction import MASK

KEEP: Final = 0
CLEAN: Final = 1
DROP: Final = 2

_DROPPED: Final = frozenset({"url.query"})
_DROPPED_PREFIXES: Final = (
    "http.request.header.",
    "http.response.header.",
    "rpc.grpc.request.metadata.",
    "rpc.grpc.response.metadata.",
)
_URLS: Final = frozenset({"url.full", "url.original", "http.url", "http.target", "http.referer"})
_CONTENT: Final = frozenset(semconv.CONTENT)
_TEXTS: Final = frozenset({"exception.message", "exception.stacktrace", "error.message"})

# A match swallows all that it looked at, so the time stays linear whatever the text holds.
_URL: Final = re.compile(r"(?<=://)[^\s\"'<>]+")
# Narrower than what error texts of providers get (`otel_llm.redaction`): a log may well hold a long word or a hash.
_KEY: Final = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx|r8|gh[opsur]|github_pat|glpat|xox[a-z])[-_]|AIza|ya29\.|AKIA|ASIA)"
    r"[A-Za-z0-9*._-]{10,512}"
    r"|(?<=[Bb]earer )[^\s,;\"'\\]{4,4096}"
)
_LABELLED: Final = re.compile(
    r"((?:api|access|secret|private|auth)[-_ ]?(?:key|token)(?: provided)?[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"[^\s\"',;}]{4,4096}",
    re.IGNORECASE,
)


def verdict(key: str) -> int:
    """`KEEP`, `CLEAN` or `DROP` for an attribute of this name."""
    if key in _DROPPED or key.startswith(_DROPPED_PREFIXES):
        return DROP
    return CLEAN if key in _URLS or key in _TEXTS or key in _CONTENT else KEEP


def clean(key: str, value: Any) -> Any:
    """``value`` of an attribute whose verdict is `CLEAN`, without what must not be stored."""
    if not isinstance(value, str):
        return value
    if key in _CONTENT:
        return _KEY.sub(MASK, value)  # what is JSON text stays JSON text
    return _clean_url(value) if key in _URLS else clean_text(value)


def clean_text(text: str) -> str:
    """``text`` without keys, and its URLs without query and credentials."""
    if "://" in text:
        text = _URL.sub(lambda found: _clean_address(found[0]), text)
    return _LABELLED.sub(r"\1" + MASK, _KEY.sub(MASK, text))


def clean_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of ``attributes`` without what must not be stored."""
    kept: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        ruling = verdict(key)
        if ruling == KEEP:
            kept[key] = value
        elif ruling == CLEAN:
            kept[key] = clean(key, value)
    return kept


def _clean_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{_clean_address(rest)}" if separator else _bare(url)


def _clean_address(address: str) -> str:
    """What follows ``://``, without credentials, query and fragment."""
    authority, slash, path = _bare(address).partition("/")
    return f"{authority.rpartition('@')[2]}{slash}{path}"


def _bare(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]
