"""What reading the machine costs: ours, psutil's own functions, and OpenTelemetry's system-metrics instrumentation.

``python bench/probe.py``; the instrumentation is measured where it is installed
(``pip install opentelemetry-instrumentation-system-metrics``). CPU time of the thread, the least of some rounds.
"""

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_llm.probe import portable, sources
from otel_llm.probe.accounts import Accounts
from otel_llm.probe.host import Host
from otel_llm.probe.loops import Loops
from otel_llm.probe.observation import Observer
from otel_llm.probe.process import Process
from otel_llm.probe.reporter import Reporter
from otel_llm.probe.settings import Config
from otel_llm.probe.sightings import Sightings

ROUNDS = 9
TIMES = 100
INTERVAL = 10.0


def cost(work: Callable[[], object], times: int = TIMES) -> float:
    """CPU time of ``work`` [s]."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(times):
            work()
        best = min(best, (time.thread_time() - started) / times)
    return best


def reading(*read: Callable[[float], object]) -> Callable[[], object]:
    """Reads several sources at the time that it is."""
    return lambda: [one(time.monotonic()) for one in read]


def collecting(folder: Path) -> Callable[[], object]:
    """One collection of host and process through the SDK, sources read each time."""
    reader = InMemoryMetricReader()
    clock = iter(range(1 << 40))
    offers = sources.offered(Config(gpu=False), Sightings(), Loops(), Accounts(tuple, dict))
    observer = Observer(offers, interval=1, reporter=Reporter("bench", folder), clock=lambda: float(next(clock)))
    observer.register(MeterProvider([reader]).get_meter("bench"))
    return reader.get_metrics_data


def theirs() -> Callable[[], object]:
    """One collection of the system-metrics instrumentation, as it is by default."""
    from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor  # noqa: PLC0415 - may be missing

    reader = InMemoryMetricReader()
    SystemMetricsInstrumentor().instrument(meter_provider=MeterProvider([reader]))
    return reader.get_metrics_data


def main() -> None:
    """Print the figures."""
    host, process, other_host, other_process = Host(), Process(), portable.Host(), portable.Process()
    with tempfile.TemporaryDirectory() as folder:
        collected = cost(collecting(Path(folder)))
        print(f"host and process read          {cost(reading(host.read, process.read)) * 1e3:8.3f} ms")
        print(f"the same through psutil        {cost(reading(other_host.read, other_process.read)) * 1e3:8.3f} ms")
        print(f"one collection, the SDK's part {collected * 1e3:8.3f} ms")
        print(f"at every {INTERVAL:.0f} s                  {collected / INTERVAL * 100:8.4f} % of a core")
    if find_spec("opentelemetry.instrumentation.system_metrics"):
        print(f"system-metrics, a collection   {cost(theirs(), 5) * 1e3:8.3f} ms")
    else:
        print("system-metrics is not installed")


if __name__ == "__main__":
    main()
