"""Room alert: typed values out of what a rule file says, each with its place for the fault. No I/O, no clock."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NoReturn

import msgspec

from otel_llm.alert.signal import SIGNALS, Signal, signal
from otel_llm.alert.window import LONGEST, SLOT
from otel_llm.document import Document, Fault, did_you_mean, quote
from otel_llm.quantity import Duration


class WrongError(Exception):
    """A value that will not do; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Draft(msgspec.Struct):
    """A rule's values with the document and key that each came from."""

    name: str
    group: str
    interval: Any
    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    origins: dict[str, tuple[Document, str]] = msgspec.field(default_factory=dict[str, tuple[Document, str]])
    place: tuple[Document, str] | None = None


class Pick:
    """Takes typed values out of a draft; what does not fit is raised with its place."""

    def __init__(self, draft: Draft, defaults: Mapping[str, tuple[Any, Document, str]]) -> None:
        self.draft = draft
        self._defaults = defaults

    @classmethod
    def of(cls, document: Document, key: str, value: Any, place: str) -> "Pick":
        """A reader of one value that stands at ``place``."""
        draft = Draft("", "", None, {} if value is None else {key: value})
        draft.origins[key] = draft.place = (document, place)
        return cls(draft, {})

    def origin(self, key: str) -> tuple[Document, str]:
        """Where the value of ``key`` stands, or would."""
        if key in self.draft.origins:
            return self.draft.origins[key]
        if key in self._defaults and key not in self.draft.values:
            return self._defaults[key][1:]
        document, place = self.draft.place or (Document(name="?"), "")
        return document, f"{place}.{key}" if place else key

    def fail(self, key: str, expected: str, found: str, hint: str | None = None) -> NoReturn:
        """Say what is wrong with ``key``."""
        document, place = self.origin(key)
        raise WrongError(Fault(where=document.where(place), key=place, expected=expected, found=found, hint=hint))

    def get(self, key: str) -> Any:
        """The value as written; the defaults' where the rule has none."""
        value = self.draft.values.get(key)
        return self._defaults[key][0] if value is None and key in self._defaults else value

    def number(self, key: str, otherwise: float | None = None) -> float:
        """A finite number."""
        value = self.get(key)
        if value is None and otherwise is not None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            self.fail(key, "a number", quote(value))
        return float(value)

    def count(self, key: str, otherwise: int, own: int | None = None) -> int:
        """A whole number that is not negative; ``own`` goes before the file's default."""
        value = self.draft.values.get(key)
        if value is None:
            value = own if own is not None else self.get(key)
        if value is None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.fail(key, "a whole number", quote(value))
        return value

    def duration(self, key: str, otherwise: float) -> float:
        """A duration [s]."""
        value = self.get(key)
        if value is None:
            return otherwise
        try:
            return float(Duration.parse(value)) if not isinstance(value, (bool, dict, list)) else _refuse(value)
        except ValueError:
            self.fail(key, "a duration such as 30s, 5m or 4h", quote(value))

    def window(self, key: str, otherwise: float) -> float:
        """A window that slots can tell [s]."""
        seconds = self.duration(key, otherwise)
        if not SLOT <= seconds <= LONGEST or seconds % SLOT:
            expected = f"from {SLOT:g}s to {LONGEST / 3600:g}h in steps of {SLOT:g}s"
            self.fail(key, expected, quote(self.get(key)))
        return seconds

    def truth(self, key: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(key, "true or false", quote(value))
        return value

    def choice(self, key: str, choices: Sequence[str], otherwise: str) -> Any:
        """One of ``choices``."""
        value = self.get(key)
        if value is None:
            return otherwise
        if value not in choices:
            self.fail(key, f"one of {', '.join(choices)}", quote(value), did_you_mean(str(value), choices))
        return value

    def texts(self, key: str) -> Mapping[str, str]:
        """Names with texts."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(key, "names with texts", quote(value))
        for name, text in value.items():
            if text is None or isinstance(text, (dict, list)):
                document, place = self.origin(key)
                at = f"{place}.{name}"
                raise WrongError(Fault(where=document.where(at), key=at, expected="a text", found=quote(text)))
        return {name: str(text) for name, text in value.items()}

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of names; one alone is fine."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(item, (str, int)) and item != "" for item in value):
            self.fail(key, "a list of names", quote(value))
        return tuple(dict.fromkeys(map(str, value)))

    def signal(self, key: str) -> Signal:
        """A signal."""
        value = self.get(key)
        about = signal(value) if isinstance(value, str) else None
        if about is None:
            hint = did_you_mean(str(value), SIGNALS) if value else None
            self.fail(key, f"a signal: {', '.join(SIGNALS)} or metric:NAME", quote(value), hint)
        return about


def _refuse(value: object) -> float:
    raise ValueError(value)
