"""Room alert: what alerting says to OpenTelemetry, whoever the receivers are: an event for each word, and metrics."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_llm import boundary, semconv
from otel_llm.alert.engine import Engine
from otel_llm.alert.judge import Change
from otel_llm.alert.rule import NAME
from otel_llm.ledger import Message

_STATES: Final = {"inactive": 0, "pending": 1, "firing": 2}
_SERIOUS: Final = frozenset({"critical", "error", "page"})


class Counting(Protocol):
    """An outlet that counts."""

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Messages by receiver and outcome."""
        ...


def emit(told: Sequence[tuple[Change, Message]]) -> None:
    """An event for each word that is told, and to be told."""
    logger = get_logger(semconv.SCOPE_NAME, semconv.SCOPE_VERSION)
    for _, message in told:
        number, word = _severity(message)
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=number,
                severity_text=word,
                event_name=semconv.EVENT_ALERT,
                body=_line(message),
                attributes=_attributes(message),
            )
        )


def _line(message: Message) -> str:
    said = (message.status, message.labels.get(NAME, ""), message.annotations.get("summary", ""))
    return " ".join(word for word in said if word)


def _severity(message: Message) -> tuple[SeverityNumber, str]:
    if message.status == "resolved":
        return SeverityNumber.INFO, "INFO"
    if message.labels.get("severity") in _SERIOUS:
        return SeverityNumber.ERROR, "ERROR"
    return SeverityNumber.WARN, "WARN"


def _attributes(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {
        semconv.ALERT_NAME: message.labels.get(NAME, ""),
        semconv.ALERT_STATUS: message.status,
        semconv.ALERT_FINGERPRINT: message.fingerprint,
        semconv.ALERT_EPISODE: message.episode,
        semconv.ALERT_REPEAT: message.repeat,
    }
    said.update({f"{semconv.ALERT_LABEL_PREFIX}{name}": text for name, text in message.labels.items() if name != NAME})
    said.update({f"{semconv.ALERT_ANNOTATION_PREFIX}{name}": text for name, text in message.annotations.items()})
    return said


def register(meter: Meter, engine: Engine, outlet: Counting | None) -> None:
    """Have ``meter`` observe ``engine`` and what ``outlet`` delivered."""
    meter.create_observable_gauge(
        semconv.METRIC_ALERT_STATE,
        [_guarded(lambda: _states(engine))],
        unit=semconv.UNIT_RATIO,
        description="Where an alert stands: 0 inactive, 1 pending, 2 firing.",
    )
    meter.create_observable_gauge(
        semconv.METRIC_ACTIVE_REQUEST_MAX_AGE,
        [_guarded(lambda: [Observation(engine.oldest() or 0.0)])],
        unit=semconv.UNIT_SECONDS,
        description="Age of the oldest inference in flight.",
    )
    meter.create_observable_counter(
        semconv.METRIC_ALERT_NOTIFICATIONS,
        [_guarded(lambda: _notifications(engine, outlet))],
        unit=semconv.UNIT_NOTIFICATIONS,
        description="Messages by receiver and outcome.",
    )
    for name, unit, text, read in _COUNTERS:
        meter.create_observable_counter(name, [_observe(engine, read)], unit=unit, description=text)


_COUNTERS: Final[tuple[tuple[str, str, str, Callable[[Engine], int]], ...]] = (
    (
        semconv.METRIC_ALERT_EVALUATIONS,
        semconv.UNIT_EVALUATIONS,
        "Rules evaluated.",
        lambda engine: engine.counted().evaluations,
    ),
    (
        semconv.METRIC_ALERT_FAILURES,
        semconv.UNIT_EVALUATIONS,
        "Rules that could not be.",
        lambda engine: engine.counted().failures,
    ),
    (
        semconv.METRIC_ALERT_TICKS_MISSED,
        semconv.UNIT_EVALUATIONS,
        "Evaluations that came late.",
        lambda engine: engine.counted().late,
    ),
    (
        semconv.METRIC_ALERT_RELOAD_FAILURES,
        semconv.UNIT_RELOADS,
        "Rule files with a mistake that were not taken up.",
        lambda engine: engine.facts.reload_failures,
    ),
    (
        semconv.METRIC_ALERT_CALLS_DROPPED,
        semconv.UNIT_REQUESTS,
        "Finished calls that came too fast to be judged.",
        lambda engine: engine.counted().dropped,
    ),
    (
        semconv.METRIC_ALERT_SAMPLES_FOLDED,
        semconv.UNIT_SAMPLES,
        "Samples of more labels than rules allow, judged as one.",
        lambda engine: engine.counted().folded,
    ),
    (
        semconv.METRIC_CLOCK_JUMPS,
        semconv.UNIT_JUMPS,
        "Jumps of the wall clock.",
        lambda engine: engine.facts.clock_jumps,
    ),
)
"""Name, unit, description, and what of an engine is counted."""


def _observe(engine: Engine, read: Callable[[Engine], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return _guarded(lambda: [Observation(read(engine))])


def _guarded(observe: Callable[[], Iterable[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        with boundary.guard("alert.metrics"):
            return list(observe())
        return ()

    return callback


def _states(engine: Engine) -> Iterable[Observation]:
    for change in engine.standing():
        labels: Mapping[str, str] = dict(change.alert.labels)
        attributes = {f"{semconv.ALERT_LABEL_PREFIX}{name}": text for name, text in labels.items()}
        severity = change.rule.labels.get("severity")
        if severity is not None and "{{" not in severity:
            attributes[f"{semconv.ALERT_LABEL_PREFIX}severity"] = severity
        attributes[semconv.ALERT_NAME] = change.rule.name
        yield Observation(_STATES[change.alert.state], attributes)


def _notifications(engine: Engine, outlet: Counting | None) -> Iterable[Observation]:
    for (receiver, outcome), count in dict(outlet.counts if outlet is not None else {}).items():
        yield Observation(count, {semconv.ALERT_RECEIVER: receiver, semconv.ALERT_OUTCOME: outcome})
    if unsent := engine.counted().unsent:
        yield Observation(unsent, {semconv.ALERT_OUTCOME: "dropped"})
