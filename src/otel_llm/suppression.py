"""OpenTelemetry's mark in the context that instrumentations are to keep out of what runs in it.

The same mark as ``opentelemetry.instrumentation.utils`` sets and reads. That module loads ``wrapt`` and all propagators
as well, which a process that only sends calls has no use for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

_OLDER: Final = "suppress_instrumentation"
"""The key of older instrumentations."""


def is_instrumentation_enabled() -> bool:
    """Whether nobody asked instrumentations to keep out."""
    current = context.get_current()
    return not (current.get(_SUPPRESS_INSTRUMENTATION_KEY) or current.get(_OLDER))


@contextmanager
def suppress_instrumentation() -> Iterator[None]:
    """Ask instrumentations to keep out of the block."""
    current = context.get_current()
    for key in (_SUPPRESS_INSTRUMENTATION_KEY, _OLDER):
        current = context.set_value(key, True, current)  # noqa: FBT003 - the value of the mark
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)
