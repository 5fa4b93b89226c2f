"""The one place where an error of ours stops: the host never sees it, we count it and say it once in a while.

``with boundary.guard("record.open"):`` goes around statements of our own only, never around a ``yield`` or the user's
code. `BaseException` (cancellation, interrupts) always passes. The counts become the metric ``otel_llm.self.errors``.
"""

import logging
import threading
import time
from types import TracebackType
from typing import Final, Protocol

logger: Final = logging.getLogger("otel_llm")
"""Without a handler of its own: where the application sets up no logging, a wrong setting is told on stderr."""

_SECONDS_BETWEEN_LOGS: Final = 60.0
_MAX_PLACES: Final = 200

_lock = threading.Lock()
_counts: dict[str, int] = {}
_logged_at: dict[str, float] = {}


class guard:  # noqa: N801 - read as a verb: ``with guard("..."):``
    """Context manager that swallows an `Exception` raised inside, counts it under ``where`` and logs it.

    A class, not a generator: entering costs 0.1 us, and it stands on the host's call path.
    """

    __slots__ = ("where",)

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False
        swallow(self.where, error)
        return True


class Endable(Protocol):
    """What has an end that must come, whatever fails."""

    def give_up(self) -> None:
        """End with what is known."""
        ...


class ending:  # noqa: N801 - read as a verb: ``with ending(recording):``
    """`guard` around what follows or ends a call: where that fails, the call ends all the same, by its ``give_up``."""

    __slots__ = ("call",)

    def __init__(self, call: Endable) -> None:
        self.call = call

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        give_up(self.call, error)
        return True


def give_up(call: Endable, error: Exception) -> None:
    """Swallow ``error``, which kept ``call`` from being followed, and have it end: `ending` for the hottest places."""
    swallow("record.end", error)
    with guard("record.end"):
        call.give_up()


def swallow(where: str, error: Exception) -> None:
    """Count ``error`` under ``where``; log it at most once a minute for each place.

    Only the error's type and place are logged: its text may hold what the user sent.
    """
    try:
        with _lock:
            if where not in _counts and len(_counts) >= _MAX_PLACES:
                where = "other"
            _counts[where] = _counts.get(where, 0) + 1
            now = time.monotonic()
            last = _logged_at.get(where)
            due = last is None or now - last >= _SECONDS_BETWEEN_LOGS
            if due:
                _logged_at[where] = now
        if due:
            logger.warning("%s failed with %s; the application is not affected", where, place(error))
    except Exception:  # noqa: BLE001, S110 - the last line of defence has nobody left to tell
        pass


def errors() -> dict[str, int]:
    """How many errors were swallowed, by place."""
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Forget all counts; for tests."""
    with _lock:
        _counts.clear()
        _logged_at.clear()


def place(error: Exception) -> str:
    """``KeyError at openai.py:41``: where it was raised, without its text."""
    traceback = error.__traceback__
    name = type(error).__name__
    if traceback is None:
        return name
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = traceback.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{name} at {file}:{traceback.tb_lineno}"
