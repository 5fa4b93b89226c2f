"""Room fleet: what the keys in Redis are called. No I/O, no clock.

All keys of a fleet hold its name in braces: a hash tag, so that a cluster keeps them on one node and scripts may use
several of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otel_llm.redaction import scrub

PREFIX: Final = "otel_llm"
FLEETS: Final = "otel_llm:fleets"
"""The names of all fleets, by when they were seen [s since the epoch]; not of one fleet, and so without a tag."""

TRIAL: Final = "otel-llm-doctor"
"""The fleet of calls that are made to see whether calls are recorded."""

_LONGEST: Final = 120
_SERVICE: Final = "service.name"
_ENVIRONMENTS: Final = ("deployment.environment.name", "deployment.environment")


def namespace(named: str | None, resource: Mapping[str, Any]) -> str:
    """Who belongs together: what the user named, else service and environment.

    Args:
        named: The setting.
        resource: The attributes of the process's resource.
    """
    if named is None:
        service = str(resource.get(_SERVICE) or "unknown_service")
        environment = next((str(resource[name]) for name in _ENVIRONMENTS if resource.get(name)), "default")
        # the SDK appends the process's name to a service without one, and that differs between commands
        service = "unknown_service" if service.startswith("unknown_service") else service
        named = f"{service}/{environment}"
    clean = "".join(letter if letter.isprintable() and letter not in "{} " else "_" for letter in scrub(named))
    return clean[:_LONGEST] or "_"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one fleet.

    Attributes:
        name: Its namespace.
    """

    name: str

    def of(self, *parts: object) -> str:
        """One key: ``otel_llm:{NAME}:PART:PART``."""
        return ":".join([PREFIX, "{" + self.name + "}", *map(str, parts)])

    def all_of(self, *names: str) -> list[str]:
        """Several keys of one part each."""
        return [self.of(name) for name in names]
