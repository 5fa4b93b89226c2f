"""Room alert: under which names and labels the samples of our rules are found in Prometheus. No I/O, no clock.

Names follow the OTLP translation of Prometheus and Collector (``otlp``) or the Python Prometheus exporter
(``exporter``); they differ in one thing: the exporter leaves ``_ratio`` off gauges of unit 1. Source: otlptranslator
1.0.0; opentelemetry-exporter-prometheus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from otel_llm import semconv
from otel_llm.alert.rule import Condition, label_name

Names = Literal["otlp", "exporter"]

_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "By": "bytes", "Cel": "celsius", "W": "watts", "J": "joules"}
_CLIENT: Final = frozenset(
    {semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.REQUEST_MODEL, semconv.SERVER_ADDRESS}
)
_SPECIAL: Final = frozenset(".*+?()[]{}|$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A metric as Prometheus holds it.

    Attributes:
        name: Without ``_bucket``, ``_sum``, ``_count``.
        attributes: Those that its series carry; ``None`` where nobody knows.
        buckets: Upper bounds of a histogram, the last one finite.
        matchers: What every selector of it says.
    """

    name: str
    attributes: frozenset[str] | None = None
    buckets: tuple[float, ...] = ()
    matchers: tuple[str, ...] = ()


def exposed(condition: Condition, names: Names, units: Mapping[str, str]) -> Exposed:
    """Where the samples of ``condition`` are.

    Args:
        condition: Of a rule.
        names: The flavour of names.
        units: UCUM units of metrics, for those that rules call by ``metric:NAME``.
    """
    known = _CLIENT_METRICS.get(condition.signal)
    if known is not None:
        metric, unit, attributes, buckets, matchers = known
        return Exposed(name=named(metric, unit, names), attributes=attributes, buckets=buckets, matchers=matchers)
    if condition.group.source is None:
        raise KeyError(condition.signal)
    metric, said = condition.group.source
    unit = condition.about.unit or units.get(metric, "")
    if condition.signal == "inflight_max_age":
        metric = semconv.METRIC_ACTIVE_REQUEST_MAX_AGE
    return Exposed(
        name=named(metric, unit, names, gauge=True), matchers=tuple(match(name, (value,)) for name, value in said)
    )


def operations(names: Names) -> str:
    """The counter of attempts; it tells resends apart, and has no label that is born with the first error."""
    return named(semconv.METRIC_OPERATIONS, semconv.UNIT_OPERATIONS, names) + "_total"


def named(metric: str, unit: str, names: Names, *, gauge: bool = False) -> str:
    """An OpenTelemetry metric's name in Prometheus, without a suffix for its kind."""
    name = label_name(metric)
    if unit == semconv.UNIT_RATIO and gauge and names == "otlp":
        return f"{name}_ratio"
    suffix = _UNITS.get(unit)
    return name if suffix is None or name.endswith(f"_{suffix}") else f"{name}_{suffix}"


def match(attribute: str, values: Sequence[str]) -> str:
    """A matcher for a label that has one of ``values``; the empty text also means that it is absent."""
    label = label_name(attribute)
    if len(values) == 1:
        text = values[0].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{label}="{text}"'
    return f'{label}=~"{"|".join(map(literal, values))}"'


def literal(text: str) -> str:
    """A text as a regular expression inside a string of PromQL that matches nothing else."""
    escaped = {"\\": "\\\\\\\\", '"': '\\"', "^": "\\\\^", "\n": "\\n"}
    return "".join(f"[{letter}]" if letter in _SPECIAL else escaped.get(letter, letter) for letter in text)


def below(bound: float) -> str:
    """A matcher for the bucket up to ``bound``: whole numbers are written with and without a zero."""
    text = number(bound)
    return f'le=~"{text}|{text}[.]0"' if bound == int(bound) else f'le="{text}"'


def number(value: float) -> str:
    """A number in PromQL."""
    return format(value, ".12g")


def duration(seconds: float) -> str:
    """A duration as Prometheus writes it: ``5m``, ``1h30m``, ``500ms``, ``0s``."""
    left = round(seconds * 1000)
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        times, left = divmod(left, size)
        if times:
            parts.append(f"{times}{unit}")
    return "".join(parts) or "0s"


_CLIENT_METRICS: Final[Mapping[str, tuple[str, str, frozenset[str], tuple[float, ...], tuple[str, ...]]]] = {
    **{
        signal: (
            semconv.METRIC_OPERATION_DURATION,
            semconv.UNIT_SECONDS,
            _CLIENT | {semconv.ERROR_TYPE},
            semconv.DURATION_BUCKETS,
            matchers,
        )
        for signal, matchers in (
            ("error_rate", ()),
            ("attempt_error_rate", ()),
            ("duration", (match(semconv.ERROR_TYPE, ("",)),)),
        )
    },
    "request_rate": (semconv.METRIC_OPERATIONS, semconv.UNIT_OPERATIONS, _CLIENT, (), ()),
    "ttft": (
        semconv.METRIC_TIME_TO_FIRST_CHUNK,
        semconv.UNIT_SECONDS,
        _CLIENT,
        semconv.TIME_TO_FIRST_CHUNK_BUCKETS,
        (),
    ),
    "time_per_output_token": (
        semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
        semconv.UNIT_SECONDS,
        _CLIENT,
        semconv.TIME_PER_OUTPUT_TOKEN_BUCKETS,
        (),
    ),
    "queue_wait": (
        semconv.METRIC_QUEUE_WAIT,
        semconv.UNIT_SECONDS,
        frozenset({semconv.QUEUE_NAME}),
        semconv.QUEUE_WAIT_BUCKETS,
        (),
    ),
    "tokens": (semconv.METRIC_TOKEN_USAGE, semconv.UNIT_TOKENS, _CLIENT, semconv.TOKEN_BUCKETS, ()),
    "cost": (semconv.METRIC_COST, semconv.UNIT_CURRENCY, _CLIENT, (), ()),
}
