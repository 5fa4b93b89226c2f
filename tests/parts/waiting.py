"""Wait until something is so: as long as a slow machine needs, no longer than it takes here."""

import time
from collections.abc import Callable
from typing import Final

PAUSE: Final = 0.01

WITHIN: Final = 60.0
"""Most time that anything may take which takes a moment on a machine of one's own [s]."""


def wait_for(
    condition: Callable[[], object],
    within: float = WITHIN,
    between: Callable[[], object] = lambda: time.sleep(PAUSE),
) -> float:
    """How long it took until ``condition`` held [s]; fails the test when it does not ``within`` so many seconds.

    Args:
        condition: Asked again and again, and once more when the time is over.
        within: The longest that it may take [s].
        between: What is done while it does not hold.
    """
    begin = time.monotonic()
    late = False
    while not condition():
        assert not late, f"not so after {within} s"
        between()
        late = time.monotonic() - begin >= within
    return time.monotonic() - begin


def least(measure: Callable[[], float], most: float, times: int = 3) -> float:
    """The least of what is measured, in as many turns as it takes to be below ``most`` and ``times`` at the utmost.

    A bound of time is one of ours; the machine that adds to it now and then is not.
    """
    found = measure()
    for _ in range(times - 1):
        if found < most:
            break
        found = min(found, measure())
    return found
