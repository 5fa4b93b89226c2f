"""Room store: what is never written, whoever put it on a span. No I/O, no clock.

Headers and query strings are never stored, for keys travel in them; credentials in a URL and keys in error texts
neither. `verdict` tells what becomes of an attribute by its name alone, so that writers can remember the answer.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_llm.redaction import scrub

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
_TEXTS: Final = frozenset({"exception.message", "exception.stacktrace", "error.message"})

# Every repeat is capped and starts at a fixed text, so the time stays linear whatever the text holds.
_QUERY: Final = re.compile(r"(://[^\s?\"'<>]{0,2048})\?[^\s\"'<>)\]}]*")
_USERINFO: Final = re.compile(r"(?<=://)[^\s/@\"'<>]{1,256}@")


def verdict(key: str) -> int:
    """`KEEP`, `CLEAN` or `DROP` for an attribute of this name."""
    if key in _DROPPED or key.startswith(_DROPPED_PREFIXES):
        return DROP
    return CLEAN if key in _URLS or key in _TEXTS else KEEP


def clean(key: str, value: Any) -> Any:
    """``value`` of an attribute whose verdict is `CLEAN`, without what must not be stored."""
    if not isinstance(value, str):
        return value
    return _clean_url(value) if key in _URLS else clean_text(value)


def clean_text(text: str) -> str:
    """``text`` without keys, and its URLs without query and credentials."""
    if "://" in text:
        text = _USERINFO.sub("", _QUERY.sub(r"\1", text))
    return scrub(text, limit=len(text) + 4096)  # room for what the masks add


def clean_attributes(attributes: Mapping[str, Any] | None, judge: Callable[[str], int] = verdict) -> dict[str, Any]:
    """A copy of ``attributes`` without what must not be stored."""
    kept: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        ruling = judge(key)
        if ruling == KEEP:
            kept[key] = value
        elif ruling == CLEAN:
            kept[key] = clean(key, value)
    return kept


def _clean_url(url: str) -> str:
    bare = url.partition("?")[0]
    scheme, separator, rest = bare.partition("://")
    if not separator:
        return bare
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
