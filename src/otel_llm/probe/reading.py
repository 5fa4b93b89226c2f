"""Room probe: one value that was read off the machine, and what reads it. No I/O, no clock.

A source gives values to `observation.Observer`, which hands them to instruments and subscribers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Reading(NamedTuple):
    """One value of one series.

    Attributes:
        name: The metric's name, one of `instruments.INSTRUMENTS`.
        value: In the instrument's unit. Of a counter what its own counter says now, whatever it began at.
        attributes: What tells the series from others of its name.
    """

    name: str
    value: float
    attributes: Mapping[str, str | int]


class Source(Protocol):
    """Something that can be read: the host, this process, the cards, a model server.

    It is opened in the process that reads it, never before a fork, and is read by one thread at a time.
    """

    @property
    def name(self) -> str:
        """One word for messages: ``host``, ``process``, ``gpu``, ``server``."""
        ...

    def read(self, now: float) -> Sequence[Reading]:
        """What is known at ``now``; what is not known is not in it. It should not raise; the observer guards it.

        Args:
            now: Monotonic clock [s].
        """
        ...

    def close(self) -> None:
        """Let go of handles."""
        ...
