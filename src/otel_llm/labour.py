"""What the threads of otel-llm itself take of the processor, as each of them says. Asked by `probe`.

A thread tells its own time: the system's figures by thread are coarse, and not to be had everywhere.
"""

import os
import threading
import time
from _thread import get_ident
from typing import Final

_MOST_THREADS: Final = 64

_pid = [os.getpid()]
_known = threading.local()
"""Of each thread, whether it has said anything: numbers of threads come back."""

_spent: dict[tuple[str, int], tuple[float, float]] = {}
"""By part and thread, its time so far, and that of threads before it that had its number [s]."""


def note(part: str) -> None:
    """Say what the calling thread has taken so far; takes some 2 us.

    Args:
        part: What it works for, in one word: ``store``, ``alerts``, ``delivery``, ``probe``, ``energy``, ``loops``.
    """
    if _pid[0] != os.getpid():
        _pid[0] = os.getpid()
        _spent.clear()
    key = (part, get_ident())
    if key not in _spent and len(_spent) >= _MOST_THREADS:
        return
    now = time.thread_time()
    last, before = _spent.get(key, (0.0, 0.0))
    known = getattr(_known, "part", None) == part
    _known.part = part
    _spent[key] = (now, before if known else before + last)


def spent() -> dict[str, float]:
    """CPU time of this process's threads by part [s]; parts that have had no thread are absent."""
    sums: dict[str, float] = {}
    if _pid[0] == os.getpid():
        for (part, _), (now, before) in tuple(_spent.items()):
            sums[part] = sums.get(part, 0.0) + now + before
    return sums
