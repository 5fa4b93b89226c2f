"""A finished call becomes client metrics here, and nowhere else.

At most five instrument calls for an inference: counts that need no distribution are kept in a table and observed when
a reader collects. Attributes come from a short allow-list; the table is bounded like the SDK's own.

What a call ends with is put down on its thread and measured on another, soon after, or by the reader that collects
first: the SDK's records take longer than the rest of the recording. A reader sees every call that ended before it.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, Protocol

from opentelemetry.context import Context, get_current
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from otel_llm import boundary, semconv
from otel_llm.calls import Call
from otel_llm.record import cost, queues
from otel_llm.record.head import Head
from otel_llm.record.limits import Key, Limits, Said
from otel_llm.record.tally import Ended, Instruments, Tally
from otel_llm.record.transport import reaper

_MOST_WAITING: Final = 4096
"""Finished calls that wait to be measured; beyond, whoever ends one measures the oldest."""

_GATHERED: Final = 0.25
"""How long calls gather before they are measured [s]: to wake a thread for each takes ten times as long as to measure
it, for two threads then want the interpreter."""

_AT_ONCE: Final = 16
"""Calls that are measured before the processor is left to others for a moment."""

_REST: Final = 0.002
"""How long it is left to them [s]."""

_PATIENCE: Final = 1.0
"""How long a reader waits for a call that is being measured [s]."""

_OF_REQUESTS: Final = (semconv.RATELIMIT_TYPE, semconv.RATELIMIT_TYPE_REQUESTS)
_OF_TOKENS: Final = (semconv.RATELIMIT_TYPE, semconv.RATELIMIT_TYPE_TOKENS)

_SATURATION: Final = (
    (semconv.METRIC_RATELIMIT_REMAINING, semconv.UNIT_QUOTA, "remaining", "Left in the provider's window."),
    (semconv.METRIC_RATELIMIT_LIMIT, semconv.UNIT_QUOTA, "limit", "Allowed in the provider's window."),
    (semconv.METRIC_RATELIMIT_RESET, semconv.UNIT_SECONDS, "reset", "Until the provider's window is renewed."),
    (
        *(semconv.METRIC_RATELIMIT_TIME_TO_LIMIT, semconv.UNIT_SECONDS, "time_to_limit"),
        "Until nothing is left, if all goes on as in the last minute.",
    ),
)
"""Name, unit, field of `Saturation` and description of each gauge."""


class Closing(Protocol):
    """A call that has not ended, on the wire or told by hand.

    Attributes:
        pid: The process whose it is.
    """

    pid: int

    @property
    def key(self) -> Key:
        """What names it while it is under way."""
        ...

    def close(self) -> None:
        """End it, for nobody will read its answer any more."""
        ...


class ClientMetrics:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._pid = os.getpid()
        self._ended: deque[Ended] = deque()
        self._asked = False
        self._measuring = threading.Lock()
        self._lock = threading.Lock()
        self.open: set[Closing] = set()
        """Calls that have not ended."""

        def histogram(name: str, *, unit: str, description: str, boundaries: Sequence[float]) -> Histogram:
            return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)

        duration = histogram(
            semconv.METRIC_OPERATION_DURATION,
            unit=semconv.UNIT_SECONDS,
            description="Time from the request to the end of its answer.",
            boundaries=semconv.DURATION_BUCKETS,
        )
        tokens = histogram(
            semconv.METRIC_TOKEN_USAGE,
            unit=semconv.UNIT_TOKENS,
            description="Tokens of an inference, as the provider reported them.",
            boundaries=semconv.TOKEN_BUCKETS,
        )
        first_chunk = histogram(
            semconv.METRIC_TIME_TO_FIRST_CHUNK,
            unit=semconv.UNIT_SECONDS,
            description="Time from the request to the first message of its stream.",
            boundaries=semconv.TIME_TO_FIRST_CHUNK_BUCKETS,
        )
        per_token = histogram(
            semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
            unit=semconv.UNIT_SECONDS,
            description="Time per output token after the first.",
            boundaries=semconv.TIME_PER_OUTPUT_TOKEN_BUCKETS,
        )
        self._tally = Tally(Instruments(duration, tokens, first_chunk, per_token))
        meter.create_observable_counter(
            semconv.METRIC_OPERATIONS,
            [self._observe_operations],
            unit=semconv.UNIT_OPERATIONS,
            description="Finished inferences, one per HTTP attempt.",
        )
        meter.create_observable_counter(
            semconv.METRIC_COST,
            [self._observe_spent],
            unit=semconv.UNIT_CURRENCY,
            description="What finished inferences cost, where the price is known.",
        )
        meter.create_observable_counter(
            semconv.METRIC_SELF_UNPRICED_CALLS,
            [_observe_unpriced],
            unit=semconv.UNIT_CALLS,
            description="Inferences whose tokens are known and whose price is not.",
        )
        meter.create_observable_up_down_counter(
            semconv.METRIC_ACTIVE_REQUESTS,
            [self._observe_active],
            unit=semconv.UNIT_REQUESTS,
            description="Inferences in flight.",
        )
        self._queue_wait = histogram(
            semconv.METRIC_QUEUE_WAIT,
            unit=semconv.UNIT_SECONDS,
            description="Time in a queue of the application's own.",
            boundaries=semconv.QUEUE_WAIT_BUCKETS,
        )
        meter.create_observable_gauge(
            semconv.METRIC_QUEUE_DEPTH,
            [_observe_depths],
            unit=semconv.UNIT_ITEMS,
            description="Waiting in a queue of the application's own.",
        )
        self._limits = Limits()
        for name, unit, figure, description in _SATURATION:
            observe = partial(self._observe_limits, figure)
            meter.create_observable_gauge(name, [observe], unit=unit, description=description)
        meter.create_observable_counter(
            semconv.METRIC_SELF_ERRORS,
            [_observe_errors],
            unit=semconv.UNIT_ERRORS,
            description="Errors of the instrumentation itself that were swallowed.",
        )

    def record(
        self, call: Call, duration: float, context: Context, key: Key | None = None, *, shared: bool = True
    ) -> None:
        """Measure a finished call.

        Args:
            call: What it was.
            duration: Start to end [s].
            context: Holds the call's span, for exemplars.
            key: What named it while it was under way; ``None`` where that is what it says itself.
            shared: Also with the convention's instruments, which another instrumentation may record by itself.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        ended = self._ended
        ended.append((call, duration, context, shared, key))
        if len(ended) > _MOST_WAITING:
            self._measure_some(1)
        if not self._asked:
            self._asked = True
            reaper.attend()
            reaper.take(self)

    def close(self) -> None:
        """Measure what waits, on the reaper's thread: all that ends within a moment, a little of it at a time."""
        reaper.rest(_GATHERED)
        self._asked = False
        if self._pid != os.getpid():
            self._begin_anew()
        for start in range(0, len(self._ended), _AT_ONCE):
            if start:
                reaper.rest(_REST)
            self._measure_some()

    def give_up(self) -> None:
        """A fault of ours ended a turn; the next call asks for another."""
        self._asked = False

    def measure(self) -> None:
        """Measure all that waits, before a reader collects."""
        if self._pid != os.getpid():
            self._begin_anew()
        if not self._ended and not self._measuring.locked():
            return
        for _ in range(len(self._ended) // _AT_ONCE + 2):  # one more: what another thread has in its hands
            self._measure_some()

    def _begin_anew(self) -> None:
        """In a forked child: what waits is its parent's to measure."""
        self._ended, self._asked, self._measuring = deque(), False, threading.Lock()
        self._pid = os.getpid()

    def _measure_some(self, most: int = _AT_ONCE) -> None:
        """Measure the oldest that wait, those of a series together."""
        if self._measuring.acquire(timeout=_PATIENCE):
            try:
                self._tally.measure([self._ended.popleft() for _ in range(min(most, len(self._ended)))])
            except Exception as error:  # noqa: BLE001 - the boundary
                boundary.swallow("record.metrics", error)
            finally:
                self._measuring.release()

    def waited(self, name: str, seconds: float) -> None:
        """Measure a wait in the queue ``name``, of ``seconds`` [s]."""
        self._queue_wait.record(seconds, {semconv.QUEUE_NAME: name}, get_current())

    def hear(self, named: Key, head: Head, at: float) -> None:
        """Take what an answer's head says of rate limits.

        Args:
            named: Provider, model and server.
            head: It says something of them.
            at: On the monotonic clock [s].
        """
        said = (
            (_OF_REQUESTS, Said(head.remaining_requests, head.limit_requests, head.reset_requests)),
            (_OF_TOKENS, Said(head.remaining_tokens, head.limit_tokens, head.reset_tokens)),
        )
        with self._lock:
            for kind, one in said:
                if one.remaining is not None or one.limit is not None:
                    self._limits.hear((*named, kind), one, at)

    def _observe_limits(self, figure: str, _options: CallbackOptions) -> Iterable[Observation]:
        with boundary.guard("metrics.observe"):
            self.measure()
            with self._lock:
                told = [(key, getattr(one, figure)) for key, one in self._limits.tell(time.perf_counter())]
            return [Observation(value, dict(key)) for key, value in told if value is not None]
        return ()

    def _observe_operations(self, _options: CallbackOptions) -> Iterable[Observation]:
        with boundary.guard("metrics.observe"):
            self.measure()
            return _observed(self._tally.operations())
        return ()

    def _observe_active(self, _options: CallbackOptions) -> Iterable[Observation]:
        with boundary.guard("metrics.observe"):
            self.measure()
            here = os.getpid()  # a forked child has those of its parent as well
            return _observed(self._tally.under_way([one.key for one in list(self.open) if one.pid == here]))
        return ()

    def _observe_spent(self, _options: CallbackOptions) -> Iterable[Observation]:
        with boundary.guard("metrics.observe"):
            self.measure()
            return _observed(self._tally.spent())
        return ()


def _observed(series: Iterable[tuple[Key, float]]) -> list[Observation]:
    return [Observation(value, dict(key)) for key, value in series]


def _observe_depths(_options: CallbackOptions) -> Iterable[Observation]:
    with boundary.guard("metrics.observe"):
        return [Observation(depth, {semconv.QUEUE_NAME: name}) for name, depth in queues.depths()]
    return ()


def _observe_unpriced(_options: CallbackOptions) -> Iterable[Observation]:
    with boundary.guard("metrics.observe"):
        return [
            Observation(number, {semconv.PROVIDER_NAME: provider, semconv.REQUEST_MODEL: model})
            for (provider, model), number in cost.unpriced().items()
        ]
    return ()


def _observe_errors(_options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(number, {semconv.SELF_WHERE: where}) for where, number in boundary.errors().items()]
