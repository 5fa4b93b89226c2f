"""Wait until something is so: as long as a slow machine needs, no longer than it takes here."""

import time
from collections.abc import Callable

PAUSE = 0.01


def wait_for(
    condition: Callable[[], object], within: float, between: Callable[[], object] = lambda: time.sleep(PAUSE)
) -> float:
    """How long it took until ``condition`` held [s]; fails the test when it does not ``within`` so many seconds.

    Args:
        condition: Asked again and again, and once more when the time is over.
        within: The longest that it may take [s].
        between: What is done while it does not hold.
    """
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < within, f"not so after {within} s"
        between()
    return time.monotonic() - begin
