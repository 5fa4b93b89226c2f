"""Room alert: what rules can be about. No I/O, no clock.

A signal is a question about finished inference spans (``error_rate``, ``duration``) or a reading of a machine
(``host.cpu.utilization``, ``metric:NAME``). The table says which statistics make sense, and under which metric the same
quantity leaves for Prometheus.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from otel_llm import semconv

Kind = Literal["ratio", "rate", "distribution", "total", "gauge"]

METRIC: Final = "metric:"
"""In front of a signal that is any instrument's readings, by its OpenTelemetry name."""

QUANTILES: Final[Mapping[str, float]] = {
    f"p{text}": float(text) / 100 for text in ("50", "75", "90", "95", "99", "99.9")
}
STATS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "ratio": ("ratio",),
    "rate": ("rate",),
    "distribution": (*QUANTILES, "avg", "max", "min"),
    "total": ("sum", "rate", "avg", "max"),
    "gauge": ("avg", "max", "min", *QUANTILES),
}
"""The statistics of each kind; the first is what a rule means that names none."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that rules can be about.

    Attributes:
        name: As a rule writes it.
        kind: What its samples add up to.
        unit: Of its value, as UCUM writes it.
        meaning: One line for the reference.
        metric: The OpenTelemetry metric with the same quantity, ``None`` where there is none.
        attributes: What a reading must carry to be meant, for gauges; an empty text: must not carry.
        by: Attributes that tell its series apart although no rule says so.
        min_samples: Fewest samples that a rule needs which names no number; ``None`` is the file's default.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    metric: str | None = None
    attributes: Mapping[str, str] | None = None
    by: tuple[str, ...] = ()
    min_samples: int | None = None


def _gauge(name: str, unit: str, meaning: str, metric: str, attributes: Mapping[str, str] | None = None) -> Signal:
    return Signal(
        name=name,
        kind="gauge",
        unit=unit,
        meaning=meaning,
        metric=metric,
        attributes=attributes,
        by=("host.name",),
        min_samples=1,
    )


_ALL: Final = (
    Signal(
        name="error_rate",
        kind="ratio",
        unit="1",
        meaning="Share of calls that failed; an attempt that was resent is no failed call.",
        metric=semconv.METRIC_OPERATION_DURATION,
    ),
    Signal(
        name="attempt_error_rate",
        kind="ratio",
        unit="1",
        meaning="Share of HTTP attempts that failed.",
        metric=semconv.METRIC_OPERATION_DURATION,
    ),
    Signal(
        name="request_rate",
        kind="rate",
        unit="{call}/s",
        meaning="Calls a second.",
        metric=semconv.METRIC_OPERATIONS,
        min_samples=0,
    ),
    Signal(
        name="duration",
        kind="distribution",
        unit="s",
        meaning="Time of calls that did not fail.",
        metric=semconv.METRIC_OPERATION_DURATION,
    ),
    Signal(
        name="ttft",
        kind="distribution",
        unit="s",
        meaning="Time to the first token of streams that did not fail.",
        metric=semconv.METRIC_TIME_TO_FIRST_CHUNK,
    ),
    Signal(
        name="time_per_output_token",
        kind="distribution",
        unit="s",
        meaning="Time for each output token after the first.",
        metric=semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
    ),
    Signal(
        name="queue_wait",
        kind="distribution",
        unit="s",
        meaning="Wait in a queue of otel_llm.queue() before the call.",
        metric=semconv.QUEUE_WAIT,
    ),
    Signal(
        name="tokens",
        kind="total",
        unit="{token}",
        meaning="Input and output tokens that the provider counted.",
        metric=semconv.METRIC_TOKEN_USAGE,
        min_samples=1,
    ),
    Signal(name="cost", kind="total", unit="{USD}", meaning="What the calls cost.", metric=None, min_samples=1),
    Signal(
        name="inflight_max_age",
        kind="gauge",
        unit="s",
        meaning="Age of the oldest call that has not ended.",
        min_samples=1,
    ),
    _gauge("host.cpu.utilization", "1", "Share of the CPU in use.", "system.cpu.utilization", {"cpu.mode": ""}),
    _gauge(
        "host.memory.utilization",
        "1",
        "Share of the memory in use.",
        "system.memory.utilization",
        {"system.memory.state": ""},
    ),
    _gauge(
        "gpu.utilization",
        "1",
        "Share of time in which the GPU computed.",
        "hw.gpu.utilization",
        {"hw.gpu.task": "general"},
    ),
    _gauge("gpu.memory.utilization", "1", "Share of the GPU's memory in use.", "hw.gpu.memory.utilization"),
    _gauge("gpu.temperature", "Cel", "Temperature of the GPU.", "hw.temperature"),
    _gauge("gpu.power", "W", "Power that the GPU draws.", "hw.power"),
)

SIGNALS: Final[Mapping[str, Signal]] = {signal.name: signal for signal in _ALL}
MEASURED: Final = frozenset(signal.name for signal in _ALL if signal.kind in {"distribution", "total"})
"""Signals of which a call has a value of its own."""


def signal(name: str) -> Signal | None:
    """The signal that a rule calls ``name``, ``None`` where there is none."""
    known = SIGNALS.get(name)
    if known is None and name.startswith(METRIC) and len(name) > len(METRIC):
        metric = name[len(METRIC) :]
        return Signal(
            name=name, kind="gauge", unit="", meaning="An instrument's readings.", metric=metric, min_samples=1
        )
    return known


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What rules see of one finished inference span.

    Attributes:
        attributes: The span's; ``where`` and ``by`` look in here.
        at: When it ended, on the clock of slots [s].
        resend: Whether it repeated another attempt.
        error: ``error.type`` of a failed one, with the provider's own code in a line below it where that is another;
            ``None`` means that it did not fail.
        measures: Values by signal, of those that it has; finite and not negative.
    """

    attributes: Mapping[str, Any]
    at: float
    resend: bool
    error: str | None
    measures: dict[str, float]


_MEASURES_OF_FAILED: Final = (("queue_wait", semconv.QUEUE_WAIT), ("cost", semconv.COST))
_MEASURES: Final = (("time_per_output_token", semconv.TIME_PER_OUTPUT_TOKEN), *_MEASURES_OF_FAILED)
"""Signals with their attribute."""

_TOKENS: Final = (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS)
_ENDLESS: Final = float("inf")


def attempt(attributes: Mapping[str, Any], duration: float, *, failed: bool, at: float) -> Attempt:
    """What rules see of a span, whoever made it.

    Args:
        attributes: The span's.
        duration: Between its start and end [s]; below 0 where a clock was set back: then the span tells no time.
        failed: Whether its status is an error.
        at: Now, on the clock of slots [s].
    """
    get = attributes.get
    error = _error(attributes, failed=failed)
    measures: dict[str, float] = {}
    if error is None:
        if 0 <= duration < _ENDLESS:
            measures["duration"] = duration
        first = get(semconv.TIME_TO_FIRST_TOKEN)
        if first is None and semconv.TIME_TO_FIRST_TOKEN not in attributes:
            first = get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
        if (type(first) is float or type(first) is int) and 0 <= first < _ENDLESS:
            measures["ttft"] = first
    for name, key in _MEASURES if error is None else _MEASURES_OF_FAILED:
        value = get(key)
        if value is not None and (type(value) is float or type(value) is int) and 0 <= value < _ENDLESS:
            measures[name] = value
    tokens = 0
    for key in _TOKENS:
        value = get(key)
        if type(value) is int and value > 0:
            tokens += value
    if tokens and get(semconv.USAGE_SOURCE) != semconv.USAGE_SOURCE_ESTIMATED:
        measures["tokens"] = tokens
    resend = get(semconv.HTTP_REQUEST_RESEND_COUNT)
    return Attempt(
        attributes=attributes,
        at=at,
        resend=type(resend) is int and resend > 0,
        error=error,
        measures=measures,
    )


def _error(attributes: Mapping[str, Any], *, failed: bool) -> str | None:
    outcome = attributes.get(semconv.OUTCOME)
    if outcome == semconv.OUTCOME_ERROR or (outcome is None and (failed or semconv.ERROR_TYPE in attributes)):
        error, code = str(attributes.get(semconv.ERROR_TYPE) or "_OTHER"), attributes.get(semconv.ERROR_CODE)
        return f"{error}\n{code}" if isinstance(code, str) and code != error else error
    return None
