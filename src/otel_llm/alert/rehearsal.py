"""Room alert: unit tests of rules, in the manner of ``promtool test rules``, on our own engine. No I/O, no clock.

A test gives calls and gauges as series over time and says which alerts fire when. Values are written as promtool's:
``10x5`` is ten, and ten five times more; ``0+2x5`` rises by two; ``_`` is nothing, ``_x5`` nothing five times.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NoReturn

from otel_llm import semconv
from otel_llm.alert import message
from otel_llm.alert.replay import Stage
from otel_llm.alert.rule import NAME, Rule
from otel_llm.alert.signal import METRIC, SIGNALS, attempt, signal
from otel_llm.document import Document, Fault, did_you_mean, quote
from otel_llm.ledger import Message
from otel_llm.quantity import Duration

_TOP: Final = ("rule_files", "shipped", "tests")
_TEST: Final = ("name", "interval", "calls", "gauges", "alert_rule_test")
_CALLS: Final = (
    *("attributes", "values", "error", "error_code", "resend", "duration", "ttft", "time_per_output_token"),
    *("queue_wait", "cost", "tokens"),
)
_GAUGES: Final = ("signal", "attributes", "values")
_EXPECTED: Final = ("eval_time", "alertname", "exp_alerts")
_ALERT: Final = ("exp_labels", "exp_annotations")
_MEASURES: Final = {
    "ttft": semconv.TIME_TO_FIRST_TOKEN,
    "time_per_output_token": semconv.TIME_PER_OUTPUT_TOKEN,
    "queue_wait": semconv.QUEUE_WAIT,
}
_MOST_VALUES: Final = 200_000
_MOST_CALLS: Final = 2_000_000
_VALUE: Final = re.compile(r"(_|-?[\d.]+(?:e-?\d+)?)(?:([+-][\d.]+(?:e-?\d+)?)?x(\d+))?", re.IGNORECASE)


class TestFileError(Exception):
    """A test file that cannot be understood; carries the fault."""

    __test__ = False

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a test expected and what came.

    Attributes:
        where: ``FILE:LINE``.
        test: Its name.
        expected: Alerts, one a line, sorted.
        got: The same.
    """

    where: str
    test: str
    at: str
    alertname: str
    expected: tuple[str, ...]
    got: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.where}: {self.test}: {self.alertname} at {self.at}"
        lines = [f"  - {line}" for line in self.expected if line not in self.got]
        lines += [f"  + {line}" for line in self.got if line not in self.expected]
        lines += [f"    {line}" for line in self.expected if line in self.got]
        return "\n".join([f"{head}: expected (-) and got (+)", *lines])


class Rehearsal:
    """The tests of one file.

    Args:
        document: The file.

    Attributes:
        rule_files: Names of rule files, as written.
        shipped: Whether the shipped rules are the ground.

    Raises:
        TestFileError: The file is no test file.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        if document.faults:
            raise TestFileError(document.faults[0])
        self._known(document.values, "", _TOP)
        files = document.values.get("rule_files") or []
        self.rule_files = tuple(map(str, files if isinstance(files, list) else [files]))
        self.shipped = bool(document.values.get("shipped", False))
        tests = document.values.get("tests")
        if not isinstance(tests, list) or not tests:
            self._fail("tests", "a list of tests", quote(tests))
        self._tests: list[Any] = tests

    def run(self, rules: Sequence[Rule]) -> tuple[int, list[Failure]]:
        """How many expectations there are, and those that failed.

        Raises:
            TestFileError: A test cannot be understood.
        """
        failures: list[Failure] = []
        count = 0
        for index, test in enumerate(self._tests):
            place = f"tests[{index}]"
            self._mapping(test, place, _TEST)
            wanted = self._list(test, f"{place}.alert_rule_test")
            if not wanted:
                self._fail(f"{place}.alert_rule_test", "expectations", quote(test.get("alert_rule_test")))
            count += len(wanted)
            failures += self._run(rules, test, place, wanted)
        return count, failures

    def _run(self, rules: Sequence[Rule], test: Mapping[str, Any], place: str, wanted: Sequence[Any]) -> list[Failure]:
        interval = self._seconds(test.get("interval", "10s"), f"{place}.interval")
        if interval <= 0:
            self._fail(f"{place}.interval", "more than 0s", quote(test.get("interval")))
        names = {rule.name for rule in rules}
        looks: list[tuple[float, int, Mapping[str, Any]]] = []
        for index, look in enumerate(wanted):
            key = f"{place}.alert_rule_test[{index}]"
            self._mapping(look, key, _EXPECTED)
            if look.get("alertname") not in names:
                hint = did_you_mean(str(look.get("alertname")), names)
                self._fail(f"{key}.alertname", "the name of a rule", quote(look.get("alertname")), hint)
            looks.append((self._seconds(look.get("eval_time", "0s"), f"{key}.eval_time"), index, look))
        looks.sort(key=lambda look: look[:2])
        stage = Stage(rules, gauge_interval=max(10.0, interval))
        series = self._series(test, place)
        name = str(test.get("name") or place)
        failures: list[Failure] = []
        at, number = 0.0, 0
        for moment, index, look in looks:
            while at <= moment:
                while number * interval <= at:
                    _feed(stage, series, number, number * interval)
                    number += 1
                stage.tick(at)
                at += stage.step
            failure = self._compare(stage, look, f"{place}.alert_rule_test[{index}]", name)
            if failure is not None:
                failures.append(failure)
        return failures

    def _compare(self, stage: Stage, look: Mapping[str, Any], key: str, name: str) -> Failure | None:
        alertname = look["alertname"]
        firing = [
            message.describe(one.rule, one.alert)
            for one in stage.judge.standing()
            if one.rule.name == alertname and one.alert.state == "firing"
        ]
        expected: list[tuple[dict[str, str], dict[str, str]]] = []
        for index, alert in enumerate(self._list(look, f"{key}.exp_alerts")):
            place = f"{key}.exp_alerts[{index}]"
            self._mapping(alert, place, _ALERT)
            labels = self._texts(alert, f"{place}.exp_labels")
            labels.pop(NAME, None)
            expected.append((labels, self._texts(alert, f"{place}.exp_annotations")))
        told = {name for _, annotations in expected for name in annotations}
        left = sorted(_line(labels, annotations, told) for labels, annotations in expected)
        right = sorted(_line(_own(said), said.annotations, told) for said in firing)
        if left == right:
            return None
        return Failure(
            where=self._document.where(key),
            test=name,
            at=str(look.get("eval_time", "0s")),
            alertname=alertname,
            expected=tuple(left) or ("nothing",),
            got=tuple(right) or ("nothing",),
        )

    def _series(self, test: Mapping[str, Any], place: str) -> "list[_Series]":
        series: list[_Series] = []
        calls = 0.0
        for index, given in enumerate(self._list(test, f"{place}.calls")):
            key = f"{place}.calls[{index}]"
            self._mapping(given, key, _CALLS)
            series.append(self._calls(given, key))
            calls += sum(value or 0 for value in series[-1].values)
        if calls > _MOST_CALLS:
            self._fail(f"{place}.calls", f"at most {_MOST_CALLS:,} calls in a test", f"{calls:,.0f}")
        for index, given in enumerate(self._list(test, f"{place}.gauges")):
            key = f"{place}.gauges[{index}]"
            self._mapping(given, key, _GAUGES)
            name = given.get("signal")
            about = signal(name) if isinstance(name, str) else None
            if about is None or about.kind != "gauge":
                gauges = [known.name for known in SIGNALS.values() if known.kind == "gauge"]
                hint = did_you_mean(str(name), gauges)
                self._fail(f"{key}.signal", f"a gauge: {', '.join(gauges)} or {METRIC}NAME", quote(name), hint)
            said = {name: value for name, value in (about.attributes or {}).items() if value}
            attributes = {**said, **self._texts(given, f"{key}.attributes")}
            values = self._values(given.get("values"), f"{key}.values")
            series.append(_Series(values=values, attributes=attributes, metric=about.metric or about.name))
        return series

    def _calls(self, given: Mapping[str, Any], key: str) -> "_Series":
        attributes: dict[str, Any] = {semconv.OPERATION_NAME: "chat", semconv.OUTCOME: "completed"}
        attributes |= self._texts(given, f"{key}.attributes")
        if given.get("error") is not None:
            attributes |= {semconv.OUTCOME: "error", semconv.ERROR_TYPE: str(given["error"])}
        if given.get("error_code") is not None:
            attributes[semconv.ERROR_CODE] = str(given["error_code"])
        if given.get("resend"):
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = 1
        for name, attribute in _MEASURES.items():
            if given.get(name) is not None:
                attributes[attribute] = self._seconds(given[name], f"{key}.{name}")
        for name, attribute in (("cost", semconv.COST), ("tokens", semconv.USAGE_OUTPUT_TOKENS)):
            value = given.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    self._fail(f"{key}.{name}", "a number", quote(value))
                attributes[attribute] = value
        values = self._values(given.get("values"), f"{key}.values")
        if any(value is not None and (value < 0 or value != int(value)) for value in values):
            self._fail(f"{key}.values", "how many calls ended, whole numbers from 0 on", quote(given.get("values")))
        duration = self._seconds(given.get("duration", "1s"), f"{key}.duration")
        return _Series(values=values, attributes=attributes, duration=duration)

    def _values(self, written: Any, key: str) -> tuple[float | None, ...]:
        values: list[float | None] = []
        for word in str(written if written is not None else "").split():
            match = _VALUE.fullmatch(word)
            if match is None:
                self._fail(key, "values such as 5 10x60 0+2x5 _x3", quote(word))
            start, rise, times = match[1], match[2], int(match[3] or 0)
            if len(values) + times >= _MOST_VALUES:
                self._fail(key, f"at most {_MOST_VALUES:,} values", quote(word))
            if start == "_":
                values += [None] * max(1, times)
                continue
            try:
                first, more = float(start), float(rise or 0)
            except ValueError:
                self._fail(key, "values such as 5 10x60 0+2x5 _x3", quote(word))
            values += [first + step * more for step in range(times + 1)]
        if not values or not all(value is None or isfinite(value) for value in values):
            self._fail(key, "values such as 5 10x60 0+2x5 _x3", quote(written))
        return tuple(values)

    # --- what is written ----------------------------------------------------------------------------------------

    def _seconds(self, value: Any, key: str) -> float:
        try:
            return float(Duration.parse(value))
        except ValueError:
            self._fail(key, "a duration such as 30s, 5m or 4h", quote(value))

    def _mapping(self, value: Any, key: str, known: Sequence[str]) -> None:
        if not isinstance(value, dict):
            self._fail(key, f"a mapping of {', '.join(known)}", quote(value))
        self._known(value, f"{key}.", known)

    def _known(self, values: Mapping[str, Any], above: str, known: Sequence[str]) -> None:
        for name in values:
            if name not in known:
                raise TestFileError(self._document.unknown(f"{above}{name}", known))

    def _list(self, values: Mapping[str, Any], key: str) -> Sequence[Any]:
        value = values.get(key.rpartition(".")[2])
        if value is not None and not isinstance(value, list):
            self._fail(key, "a list", quote(value))
        return value or []

    def _texts(self, values: Mapping[str, Any], key: str) -> dict[str, str]:
        value = values.get(key.rpartition(".")[2])
        if value is not None and not isinstance(value, dict):
            self._fail(key, "names with texts", quote(value))
        return {str(name): str(text) for name, text in (value or {}).items()}

    def _fail(self, key: str, expected: str, found: str, hint: str | None = None) -> NoReturn:
        raise TestFileError(Fault(where=self._document.where(key), key=key, expected=expected, found=found, hint=hint))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Calls, or readings of ``metric``, at each interval."""

    values: tuple[float | None, ...]
    attributes: Mapping[str, Any]
    duration: float = 1.0
    metric: str | None = None


def _feed(stage: Stage, series: Sequence[_Series], number: int, at: float) -> None:
    for one in series:
        value = one.values[number] if number < len(one.values) else None
        if value is None:
            continue
        if one.metric is not None:
            stage.board.read(one.metric, value, one.attributes, at)
            continue
        failed = semconv.ERROR_TYPE in one.attributes
        call = attempt(one.attributes, one.duration, failed=failed, at=at)
        for _ in range(int(value)):
            stage.board.fold(call)


def _own(said: Message) -> dict[str, str]:
    return {name: value for name, value in said.labels.items() if name != NAME}


def _line(labels: Mapping[str, str], annotations: Mapping[str, str], told: set[str]) -> str:
    shown = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    said = "".join(f' {name}="{annotations[name]}"' for name in sorted(told) if name in annotations)
    return f"{{{shown}}}{said}"
