"""Room probe: a part of a source that cannot be read is absent, and that is said once."""

from collections.abc import Callable, Iterable
from typing import Final

from otel_llm import boundary
from otel_llm.probe.reading import Reading

_UNREADABLE: Final = (OSError, ValueError, LookupError)


class Absences:
    """Reads parts, and remembers which of them it has complained about.

    Args:
        whose: For messages: ``the host``.
        errors: What else is raised where something cannot be read.
    """

    def __init__(self, whose: str, *errors: type[Exception]) -> None:
        self._whose = whose
        self._errors = _UNREADABLE + errors
        self._told: set[str] = set()

    def read(self, part: str, read: Callable[[], Iterable[Reading]]) -> list[Reading]:
        """What ``read`` gives; whole, or nothing at all where it fails."""
        try:
            return list(read())
        except self._errors as error:
            if part not in self._told:
                self._told.add(part)
                reason = getattr(error, "strerror", None) or type(error).__name__
                boundary.logger.warning("%s's %s cannot be read (%s); it is left out", self._whose, part, reason)
            return []
