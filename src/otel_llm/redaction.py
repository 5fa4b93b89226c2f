"""Take secrets out of text before it is kept. Linear time: the text may come from anybody. Pure."""

import re
from functools import cache
from typing import Final

_KEY: Final = (
    r"(?:"
    r"\b(?:sk|pk|rk|pa|gsk|xai|hf|r8|nvapi|pplx|fw|csk|tgp|vck|jina|tvly|lsv2|esecret|gh[opsur]|github_pat|glpat|xox[a-z])"
    r"[-_][A-Za-z0-9*._-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{10,}"
    r"|\bya29\.[A-Za-z0-9._-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+){1,2}"
    r"|\b(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,}"  # the bare keys of Azure, Mistral, Cohere, Together, Databricks
    r"|(?<=[Bb]earer )[^\s,;\"']{4,}"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=]{8,}"
    r")"
)
_LABELS: Final = (
    r"(?i)(?<![a-z0-9])((?:api|access|secret|private|auth|client|session)[-_ ]?(?:key|token|secret)"
    r"|secret|password|authorization)"
)
_LABEL: Final = _LABELS + r"\Z"
_LABELLED: Final = _LABELS + r"([\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:provided: ?|bearer |basic )?)([^\s\"',;}]{4,})"
_PROVIDED: Final = r"(?i)(api key (?:provided|given): ?)\S+"
_QUERY: Final = r"(?<=[^\s?])\?(?=[A-Za-z0-9_.-]{1,64}=)[^\s\"'<>)]+"
_USER_INFO: Final = r"(://)[^\s/@:\"']{0,100}:[^\s/@\"']{1,200}@"
_CONTROL: Final = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"

_LONG_WORD: Final = r"\S{9,}"
_SHORTEST_PLAIN: Final = 14
"""Characters of the shortest key that may be letters alone."""

MASK: Final = "[redacted]"

_pattern: Final = cache(re.compile)
"""Patterns are compiled at their first use: that takes 4 ms in all, and most processes keep no text of an error."""


def scrub(text: str, limit: int = 300) -> str:
    """``text`` without keys, query strings and control characters, encodable, cut to ``limit`` characters."""
    short = _pattern(_CONTROL).sub(" ", encodable(text[: limit * 4]))
    short = _mask(_pattern(_QUERY).sub("?" + MASK, _pattern(_USER_INFO).sub(r"\1" + MASK + "@", short)))
    return short if len(short) <= limit else short[: limit - 1] + "…"


def mask(text: str) -> str:
    """``text`` without keys, encodable, and otherwise as it is."""
    return _mask(_pattern(_USER_INFO).sub(r"\1" + MASK + "@", encodable(text)))


def names_secret(word: str) -> bool:
    """Whether a text under the key ``word`` is a secret whatever it looks like."""
    return _pattern(_LABEL).search(word[-64:]) is not None


def _mask(text: str) -> str:
    """``text`` without keys; most words are too short or too plain for one and are not looked at closely."""
    lower = text.lower()
    announced = "bearer " in lower or "basic " in lower  # only the word before gives such a key away
    text = _pattern(_KEY).sub(MASK, text) if announced else _pattern(_LONG_WORD).sub(_mask_word, text)
    if "api key " in lower:
        text = _pattern(_PROVIDED).sub(r"\1" + MASK, text)
    if any(word in lower for word in ("key", "token", "secret", "password", "authorization")):
        text = _pattern(_LABELLED).sub(r"\1\2" + MASK, text)
    return text


def _mask_word(found: re.Match[str]) -> str:
    word = found[0]
    return word if len(word) < _SHORTEST_PLAIN and word.isalpha() else _pattern(_KEY).sub(MASK, word)


def encodable(text: str) -> str:
    """``text`` with lone surrogates replaced: JSON may hold them, but no exporter and no database takes them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
