"""A source that says what a test wants, and the meter that asks it."""

from otel_llm.probe.instruments import Instrument
from otel_llm.probe.observation import Observer, Offer
from otel_llm.probe.reading import Reading
from otel_llm.probe.reporter import Reporter

LOAD = Instrument(name="test.load", kind="gauge", unit="1", meaning="Load.", source="the test")
BYTES = Instrument(name="test.bytes", kind="counter", unit="By", meaning="Bytes.", source="the test")


class Said:
    """Says ``values`` in turn, the last one for ever; an exception among them is raised."""

    name = "said"

    def __init__(self, *values, metric="test.load"):
        self.values = list(values)
        self.metric = metric
        self.reads = []
        self.closed = 0

    def read(self, now):
        self.reads.append(now)
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, Exception):
            raise value
        return [] if value is None else [Reading(self.metric, value, {"which": "a"})]

    def close(self):
        self.closed += 1


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def observer(source, folder, *, interval=10.0, clock=None, place="here", **offered):
    """An observer of one source."""
    offer = Offer(open=lambda: source, instruments=(LOAD, BYTES), **offered)
    more = {} if clock is None else {"clock": clock}
    return Observer([offer], interval=interval, reporter=Reporter(place, folder), **more)
