"""Take secrets out of text before it is kept. Linear time: the text may come from anybody. Pure."""

import re
from typing import Final

_SECRET: Final = re.compile(
    r"(?:"
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|pplx|fw|csk|tgp|ghp|gho|github_pat|glpat)[-_][A-Za-z0-9*._-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+){1,2}"
    r"|(?<=[Bb]earer )[^\s,;\"']{4,}"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=]{8,}"
    r")"
)
_LABELLED: Final = re.compile(
    r"(?i)\b((?:api|access|secret|private|auth)[-_ ]?(?:key|token)|password|authorization|x-api-key)"
    r"(\"?\s{0,3}[:=]\s{0,3}\"?(?:provided: ?)?)([^\s\"',;}]{4,})"
)
_PROVIDED: Final = re.compile(r"(?i)(api key (?:provided|given): ?)\S+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

MASK: Final = "[redacted]"


def scrub(text: str, limit: int = 300) -> str:
    """``text`` without keys, tokens and control characters, cut to ``limit`` characters."""
    short = _CONTROL.sub(" ", text[: limit * 4])
    short = _SECRET.sub(MASK, short)
    short = _PROVIDED.sub(r"\1" + MASK, short)
    short = _LABELLED.sub(r"\1\2" + MASK, short)
    return short if len(short) <= limit else short[: limit - 1] + "…"
