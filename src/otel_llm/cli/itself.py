"""What ``otel-llm doctor`` says of otel-llm itself: its own figures, as the last application left them. Cli storey."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from otel_llm import semconv
from otel_llm.cli import output
from otel_llm.cli.checks import Check, Findings
from otel_llm.store.query import Point, Reader

_SPAN: Final = 3600.0
"""How much of the past is told [s]."""

_PREFIX: Final = "otel_llm.self."
_HARMLESS: Final = "duplicate"
_MOST_MODELS: Final = 5
_PRICE: Final = "pip install 'otel-llm[prices]' knows more models; prices of your own: the file that cost.prices names"
_FIXES: Final[Mapping[str, str]] = {
    "store": "otel-llm db check; the log file (OTEL_LLM_LOG_FILE) says why",
    "alerts": "rules see fewer calls than there were; fewer rules, or fewer calls in one process",
    "exporters": "look whether the backend answers (check otlp above) and keeps up",
}


def examine(store: Reader) -> Findings:
    """What otel-llm saw, lost and took in the last hour that it said anything of; nothing where it never did."""
    points = store.points(_PREFIX, _SPAN)
    if not points:
        return
    age = max(0.0, time.time() - points[-1].time / 1e9)
    spans = [point for point in points if point.name == semconv.METRIC_SELF_SPANS]
    depths: dict[str, float] = {}
    for point in points:
        if point.name == semconv.METRIC_SELF_QUEUE_DEPTH:
            part = _part(point)
            depths[part] = max(depths.get(part, 0), point.value)
    for part in dict.fromkeys(_part(point) for point in spans):
        yield _fate(part, [point for point in spans if _part(point) == part], depths.get(part), age)
    yield from _errors(points)
    yield from _loops(points)
    yield from _fleet(points)
    yield from _threads(points)
    yield from _prices(points)


def _fate(part: str, points: Sequence[Point], depth: float | None, age: float) -> Check:
    """What became of the spans that a part saw."""
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for point in points:
        states[str(point.attributes.get(semconv.SELF_STATE))] += int(point.value)
        if semconv.SELF_REASON in point.attributes:
            reasons[str(point.attributes[semconv.SELF_REASON])] += int(point.value)
    dropped = states.pop("dropped", 0)
    why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    words = [f"{count:,} {state}" for state, count in states.items()]
    words.append(f"{dropped:,} dropped ({why})" if dropped else "none dropped")
    waited = "" if depth is None else f"; at most {int(depth):,} waited"
    detail = f"spans in the hour up to {output.duration(age)} ago: {', '.join(words)}{waited}"
    lost = dropped > reasons[_HARMLESS]
    return Check(name=f"own {part}", status="warn" if lost else "ok", detail=detail, fix=_FIXES.get(part))


def _errors(points: Sequence[Point]) -> Iterator[Check]:
    places: Counter[str] = Counter()
    for point in points:
        if point.name == semconv.METRIC_SELF_ERRORS:
            places[str(point.attributes.get(semconv.SELF_WHERE))] += int(point.value)
    if told := [f"{where} {count:,}" for where, count in places.most_common() if count]:
        detail = f"kept from the application in that hour: {', '.join(told)}"
        yield Check(name="own errors", status="warn", detail=detail, fix="report it, with the lines of the log")
    else:
        yield Check(name="own errors", status="ok", detail="none in that hour")


def _loops(points: Sequence[Point]) -> Iterator[Check]:
    """How the background loops stood last, of each the one that crashed most often."""
    last: dict[tuple[str, object], Point] = {}
    for point in sorted(points, key=lambda one: one.time):
        if point.name == semconv.METRIC_SELF_RESTARTS:
            last[_part(point), point.attributes.get(semconv.PROCESS_PID)] = point
    worst: dict[str, Point] = {}
    for (part, _pid), point in last.items():
        if part not in worst or point.value > worst[part].value:
            worst[part] = point
    if not worst:
        return
    said: list[str] = []
    for part, point in sorted(worst.items()):
        words = f"{part} {point.attributes.get(semconv.SELF_STATE)}"
        if point.value:
            error = point.attributes.get(semconv.SELF_REASON)
            words += f" (begun again {int(point.value):,} times, last after {error})"
        said.append(words)
    crashed = any(point.value for point in worst.values())
    fix = "report it, with the lines of the log" if crashed else None
    yield Check(name="own loops", status="warn" if crashed else "ok", detail=", ".join(said), fix=fix)


def _fleet(points: Sequence[Point]) -> Iterator[Check]:
    """Which processes judge with other hosts, as they said last."""
    last: dict[object, Point] = {}
    for point in sorted(points, key=lambda one: one.time):
        if point.name == semconv.METRIC_SELF_FLEET_JOINED:
            last[point.attributes.get(semconv.PROCESS_PID)] = point
    if not last:
        return
    joined = sum(point.value > 0 for point in last.values())
    detail = f"{joined} of {len(last)} processes judged alerts together with other hosts when they said so last"
    if joined < len(last):
        yield Check(
            name="own fleet", status="warn", detail=detail, fix="look whether Redis answers (check redis above)"
        )
    else:
        yield Check(name="own fleet", status="ok", detail=detail)


def _threads(points: Sequence[Point]) -> Iterator[Check]:
    """What our threads took: shares of one processor, on average, of the process where each took most."""
    shares: defaultdict[str, defaultdict[object, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if point.name == semconv.METRIC_SELF_CPU_UTILIZATION:
            shares[_part(point)][point.attributes.get(semconv.PROCESS_PID)].append(point.value)
    if shares:
        means = {part: max(sum(told) / len(told) for told in by.values()) for part, by in shares.items()}
        said = ", ".join(f"{part} {mean:.2%}" for part, mean in sorted(means.items(), key=lambda one: -one[1]))
        detail = f"of a processor, on average: {said}; what recording takes on the application's threads is apart"
        yield Check(name="own threads", status="ok", detail=detail)


def _prices(points: Sequence[Point]) -> Iterator[Check]:
    """Which models' tokens were known and had no price; nothing where there was none."""
    models: Counter[str] = Counter()
    for point in points:
        if point.name == semconv.METRIC_SELF_UNPRICED_CALLS:
            model = point.attributes.get(semconv.REQUEST_MODEL)
            models[f"{point.attributes.get(semconv.PROVIDER_NAME)} {output.clean(model)}"] += int(point.value)
    if told := [f"{model} {count:,}" for model, count in models.most_common(_MOST_MODELS)]:
        more = len(models) - len(told)
        rest = f" and {more} more models" if more > 0 else ""
        detail = f"calls without a price, so without a cost, in that hour: {', '.join(told)}{rest}"
        yield Check(name="own prices", status="warn", detail=detail, fix=_PRICE)


def _part(point: Point) -> str:
    return str(point.attributes.get(semconv.SELF_PART))
