"""A host whose clock is moved by hand: the engine as it is, without its thread, over a ledger of the test's choice."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Status, StatusCode

from otel_llm import semconv
from otel_llm.alert import outlet
from otel_llm.alert.engine import Engine, _Life
from otel_llm.alert.processor import AlertProcessor
from parts.rules import interpret

START = 100_000.0
DATE = 1_800_000_000.0


class Clock:
    """Both clocks: ``boot`` that nothing moves but time, and ``date`` that somebody may set."""

    def __init__(self):
        self.boot, self.date = START, DATE

    def pass_(self, seconds):
        self.boot += seconds
        self.date += seconds


class Process:
    """One process of an application; several over one clock and ledger are one host."""

    def __init__(self, rules, clock=None, ledger=None, **settings):
        self.clock = clock or Clock()
        self.rules = rules
        self.told = []
        self.processor = AlertProcessor(lambda: None)
        self.engine = Engine(self.processor, lambda: interpret(self.rules), ledger=ledger, **settings)
        self.engine.watch(lambda told: self.told.extend(said for _, said in told))
        self.tenure = self.engine._begin()
        self.tenure._boot = "boot"
        self.life = self.engine._life = _Life(tenure=self.tenure)

    def call(self, times=1, *, error=None, duration=1.0, **attributes):
        said = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m", semconv.OUTCOME: "completed", **attributes}
        if error:
            said |= {semconv.OUTCOME: "error", semconv.ERROR_TYPE: error}
        for _ in range(times):
            self.processor.on_end(
                ReadableSpan(
                    "chat m",
                    INVALID_SPAN_CONTEXT,
                    resource=Resource.get_empty(),  # the default looks at the machine each time
                    attributes=said,
                    status=Status(StatusCode.ERROR if error else StatusCode.UNSET),
                    start_time=0,
                    end_time=int(duration * 1e9),
                )
            )

    def post(self):
        """Have messages addressed, and none delivered."""
        self.tenure._outlet = outlet.Post(now=lambda: self.clock.boot, wall=lambda: self.clock.date)
        self.tenure._outlet.deliver = lambda *_: None

    def step(self):
        """What the thread does each second."""
        self.engine._step(self.life, self.clock.boot, self.clock.date)

    def run(self, seconds, each=lambda: None):
        """``each``, a step, a second; again and again."""
        for _ in range(int(seconds)):
            each()
            self.step()
            self.clock.pass_(1)

    def leave(self):
        self.engine._leave(self.life, self.clock.boot, self.clock.date)

    def reload(self, rules):
        self.rules = rules
        self.life.stamp = None

    @property
    def words(self):
        return [said.status for said in self.told]

    def states(self):
        return {rule: alert.state for (rule, _), alert in self.tenure.judge.alerts.items()}
