"""Round the slow doors of the SDK's spans: read attributes without a copy, add some without a second cleaning.

On the host's path these two cost more than all else that is said of a call: the SDK cleans and locks each value, and
copies or wraps what is read. What its spans keep attributes in is no public interface, so the way is tried once for
each class of it and compared with what the public door does; where it differs, or is not there, the public one is used.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

_trusted: Final[dict[type, bool]] = {}
"""By the class that holds a span's attributes: whether its dict may be read and written."""

_SPECIMEN: Final[dict[str, Any]] = {"text": "a", "number": 1, "share": 0.5, "flag": True, "texts": ("a", "b")}


def attributes(span: Any) -> Any:
    """The attributes of ``span`` as they are, to be read at once and not changed."""
    try:
        return span._attributes._dict  # noqa: SLF001 - see above
    except AttributeError:
        return getattr(span, "attributes", None) or {}


def add(span: Any, news: Mapping[str, Any]) -> None:
    """What ``span.set_attributes(news)`` does.

    Args:
        span: Of any kind.
        news: Strings, numbers, flags and tuples of strings, none of them absent: as a `otel_llm.calls.Call` has them.
    """
    try:
        held = span._attributes  # noqa: SLF001
        kind = type(held)
        if _trusted[kind] and held.max_value_len is None:
            with span._lock:  # noqa: SLF001
                known = held._dict  # noqa: SLF001
                fits = held.maxlen is None or len(known) + len(news) <= held.maxlen
                if fits and span._end_time is None:  # noqa: SLF001
                    with held._lock:  # noqa: SLF001
                        known.update(news)
                    return
    except KeyError:
        _try(span)
    except (AttributeError, TypeError):
        pass
    span.set_attributes(news)


def _try(span: Any) -> None:
    """Find out whether the class that holds the attributes of ``span`` can be trusted."""
    kind = type(span._attributes)  # noqa: SLF001
    _trusted[kind] = False
    with suppress(Exception):
        slow, swift = (kind(maxlen=8, attributes={"first": "one"}, immutable=False) for _ in range(2))
        for name, value in _SPECIMEN.items():
            slow[name] = value
        swift._dict.update(_SPECIMEN)  # noqa: SLF001
        same = all(swift[name] == slow[name] for name in slow)
        _trusted[kind] = same and len(swift) == len(slow) and vars(swift).keys() == vars(slow).keys() and _agree(slow)


def _agree(held: Any) -> bool:
    """Whether what ``held`` says of itself stands in its dict and nowhere else."""
    return type(held._dict) is dict and held._dict == dict(held.items()) and held.dropped == 0  # noqa: SLF001
