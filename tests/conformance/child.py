"""Run the cells of one environment under one instrumentation; started by `matrix` inside that environment.

python -m conformance.child INSTRUMENTATION ENVIRONMENT OUTPUT PORT=ADDRESS...
"""

import asyncio
import gc
import importlib
import importlib.metadata
import itertools
import json
import sys
import time
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from conformance import programs, shapes

SETTLES_WITHIN = {"otel-llm": 30.0, "official": 2.0}
"""Longest wait for the spans of a cell that have begun and not ended; some of the official ones never do [s]."""

LONGER = (1, 5, 25)
"""How much longer time-outs are for a program that was ended before its midst, and again."""


class Taken(SpanProcessor):
    """Every span of one cell."""

    def __init__(self, within):
        self._within = within
        self.begun = 0
        self.ended = []

    def on_start(self, span, parent_context=None):  # noqa: ARG002 - the SDK's signature
        self.begun += 1

    def on_end(self, span):
        self.ended.append(span)

    def take(self):
        """The spans since the last time, once all that have begun have ended."""
        deadline = time.monotonic() + self._within
        while len(self.ended) < self.begun and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.005)
        spans, self.begun, self.ended = self.ended, 0, []
        return [told(span) for span in spans]


def told(span):
    return {
        "name": span.name,
        "scope": span.instrumentation_scope.name,
        "status": span.status.status_code.name,
        "duration": (span.end_time - span.start_time) / 1e9,
        "attributes": {name: list(one) if isinstance(one, tuple) else one for name, one in span.attributes.items()},
    }


def instrument(instrumentation):
    """Switch one instrumentation on, as its documentation says."""
    spans = Taken(SETTLES_WITHIN[instrumentation])
    provider = TracerProvider()
    provider.add_span_processor(spans)
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider())
    if instrumentation == "otel-llm":
        import otel_llm  # noqa: PLC0415 - the official ones run without

        otel_llm.instrument()
    else:
        for door in importlib.metadata.entry_points(group="opentelemetry_instrumentor"):
            if door.dist.name in {client.official for client in shapes.CLIENTS}:
                door.load()().instrument()
    return spans


def run(cell, base, longer):
    """How the program ended, the exception's class or nothing; and whether it came as far as it should."""
    module = importlib.import_module(f"conformance.clients.{cell.client.module}")
    how = {"timeout": cell.shape.timeout * longer, "order": cell.shape.order, "retries": cell.shape.retries}
    made, raised = [], None
    try:
        if cell.mode == "sync":
            made.append(programs.Sync(module.Client(base, asynchronous=False, **how)))
            made[0].run(cell.shape)
        else:
            asyncio.run(_run_async(module, base, how, cell.shape, made))
    except Exception as error:  # noqa: BLE001 - it is what the program sees
        raised = f"{type(error).__name__}: {error}"[:300]
    return raised, cell.shape.does not in programs.IN_TIME or any(program.has_begun for program in made)


async def _run_async(module, base, how, shape, made):
    made.append(programs.Async(module.Client(base, asynchronous=True, **how)))
    await made[0].run(shape)


def main(instrumentation, environment, output, *ports):
    addresses = dict(one.split("=", 1) for one in ports)
    spans = instrument(instrumentation)
    serial = itertools.count()
    answers = {}
    for client in shapes.CLIENTS:
        if client.environment != environment or (instrumentation == "official" and not client.official):
            continue
        for cell in shapes.cells(client):
            for longer in LONGER:
                place = f"{cell.shape.behaviour}/{instrumentation}-{environment}-{next(serial)}"
                started = time.monotonic()
                raised, has_begun = run(cell, f"http://{addresses[cell.shape.port]}/{place}", longer)
                took = time.monotonic() - started
                answers[cell.key] = {"spans": spans.take(), "raised": raised, "took": took}
                if has_begun:
                    break
    versions = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    Path(output).write_text(json.dumps({"versions": versions, "cells": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
