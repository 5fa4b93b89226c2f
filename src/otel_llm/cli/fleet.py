"""What commands with ``--fleet`` read: the calls and minutes that all hosts tell a shared Redis. Cli storey."""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from otel_llm import config, semconv
from otel_llm.cli import options
from otel_llm.cli.cells import Attempt, Wanted
from otel_llm.fleet.keys import Keys
from otel_llm.fleet.reading import Window
from otel_llm.ledger import LedgerError
from otel_llm.store import minutes
from otel_llm.store.query import Filter
from otel_llm.store.stored import StoredSpan

_SECONDS_BETWEEN_LOOKS: Final = 0.5
_HOUR: Final = 3_600_000_000_000
"""[ns]"""


class Summed:
    """What all hosts did, by the minute; summed up anew for each question."""

    def __init__(self) -> None:
        with _telling():
            self._minutes = _window().minutes()

    def summary(self, selection: Filter, by: tuple[str, ...] = ()) -> dict[str, Any]:
        """As a store gives it; without a beginning the hour up to now."""
        return minutes.summarize(self._minutes, ranged(selection), by)


def ranged(selection: Filter) -> Filter:
    """``selection``, cut to the last hour unless it says when it begins."""
    since = selection.since if selection.since is not None else time.time_ns() - _HOUR
    return msgspec.structs.replace(selection, since=since)


def calls(selection: Filter, wanted: Wanted, *, follow: bool) -> Iterator[Attempt]:
    """The newest ``selection.limit`` calls of all hosts, oldest first; then, where asked, every one that finishes."""
    with _telling():
        window = _window()
        places: dict[Keys, bytes] = {}
        newest: list[Attempt] = []
        for keys in window.fleets():
            found, places[keys] = window.newest(keys, selection.limit or 0)
            newest += _fitting(found, selection, wanted)
        newest.sort(key=lambda one: one.span.end_time_unix_nano)
        yield from newest[-(selection.limit or 0) :] if selection.limit else []
        while follow:
            for keys in window.fleets():
                found, places[keys] = window.after(keys, places.get(keys, b"0-0"))
                yield from _fitting(found, selection, wanted)
            time.sleep(_SECONDS_BETWEEN_LOOKS)


class _telling:  # noqa: N801 - read as a word
    """Context manager: what cannot be reached ends the command with a text."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, LedgerError):
            message = f"Redis cannot be read: {error}"
            raise options.Failure(message) from error


def _window() -> Window:
    settings = config.load().settings.redis
    if settings.url is None:
        found = f"found none ({semconv.OTEL_LLM_REDIS_URL} is not set)"
        message = f"--fleet: expected a Redis that the hosts share, {found}"
        raise options.Failure(message)
    return Window(settings.url, settings.namespace)


def _fitting(found: list[dict[str, Any]], selection: Filter, wanted: Wanted) -> Iterator[Attempt]:
    for told in found:
        attempt = Attempt.of(_span(told))
        call, start = attempt.call, attempt.span.start_time_unix_nano
        if (
            (selection.model is None or selection.model in {call.request_model, call.response_model})
            and selection.provider in {None, call.provider}
            and selection.service in {None, attempt.span.resource.get("service.name")}
            and (selection.since is None or start >= selection.since)
            and (selection.until is None or start < selection.until)
            and wanted.fits(attempt)
        ):
            yield attempt


def _span(told: dict[str, Any]) -> StoredSpan:
    """A call that was told, as a stored one."""
    start = int(told["start_time_unix_nano"])
    sequences = {name: tuple(value) for name, value in told["attributes"].items() if isinstance(value, list)}
    return StoredSpan(
        trace_id=told["trace_id"],
        span_id=told["span_id"],
        parent_span_id=told["parent_span_id"],
        name=told["name"],
        kind=told["kind"],
        start_time_unix_nano=start,
        end_time_unix_nano=start + round(told["duration"] * 1e9),
        status=told["status"],
        status_message=None,
        attributes=told["attributes"] | sequences,
        events=[],
        links=[],
        resource=told["resource"],
        scope={},
        dropped={},
    )
