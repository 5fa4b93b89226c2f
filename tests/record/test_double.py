"""Beside other people's instrumentations, each in an environment of its own: one call, one inference span.

What an instrumentation measures beside us is held against what it measures alone.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from server import Server

from otel_llm import semconv
from parts.environments import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # environments are made

APPLICATION = Path(__file__).with_name("beside.py")
WITHIN = 600.0

HTTP = "opentelemetry.instrumentation.httpx:HTTPX2ClientInstrumentor"
SDKS = ("opentelemetry-instrumentation-httpx>=0.66b0", "openai>=3,<4", "anthropic>=2,<3")
PEERS = {
    "official": (
        ("opentelemetry-instrumentation-genai-openai==1.3b0", "opentelemetry-instrumentation-genai-anthropic==1.3b0"),
        ("opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",),
        ("opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",),
    ),
    "traceloop": (
        ("opentelemetry-instrumentation-openai==0.62.4", "opentelemetry-instrumentation-anthropic==0.62.4"),
        ("opentelemetry.instrumentation.openai:OpenAIInstrumentor",),
        ("opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",),
    ),
    "openinference": (
        ("openinference-instrumentation-openai==0.1.66", "openinference-instrumentation-anthropic==3.1.0"),
        ("openinference.instrumentation.openai:OpenAIInstrumentor",),
        ("openinference.instrumentation.anthropic:AnthropicInstrumentor",),
    ),
}
ORDERS = ("ours first", "theirs first", "opentelemetry-instrument")
OUTCOMES = {"left": "abandoned", "failed": "error"}
SHAPES = [
    f"{sdk}_{shape}"
    for sdk, shapes in {
        "openai": "plain stream left retried failed async async_stream async_left responses responses_stream "
        "interleaved by_hand responses_by_hand",
        "anthropic": "plain stream helper left retried async async_stream interleaved by_hand",
    }.items()
    for shape in shapes.split()
]
ran = {}


def run(peer, order):
    """What each shape of call gave beside ``peer``; run once."""
    if (peer, order) not in ran:
        packages, *theirs = PEERS[peer]
        python = environment(*packages, *SDKS)
        command = [python, APPLICATION]
        if order == "opentelemetry-instrument":
            command = [python.with_name(order), *command]
        server = Server()
        arguments = {
            "base": f"http://127.0.0.1:{server.port}",
            "order": order,
            "theirs": [*theirs[0], *theirs[1], HTTP],
            "shapes": SHAPES,
        }
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environ |= {"OTEL_LLM_STORE_ENABLED": "false", "OTEL_PYTHON_DISTRO": "otel_llm"}
        environ["PATH"] = os.pathsep.join((str(python.parent), os.environ["PATH"]))
        done = subprocess.run(
            [*command, json.dumps(arguments)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        server.close()
        assert done.returncode == 0, done.stderr
        ran[peer, order] = json.loads(done.stdout)
    return ran[peer, order]


@pytest.fixture(params=PEERS)
def peer(request):
    return request.param


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


@pytest.fixture
def said(peer, order):
    return run(peer, order)


def is_inference(span):
    return span["attributes"].get(semconv.OPERATION_NAME) in semconv.INFERENCE_OPERATIONS


def wire(span):
    return span["scope"].startswith("opentelemetry.instrumentation.httpx")


@pytest.mark.parametrize("shape", SHAPES)
def test_each_call_is_one_inference_span_that_lacks_nothing(said, shape):
    found = [span for span in said[shape]["spans"] if is_inference(span)]
    assert len(found) == (2 if shape.endswith("interleaved") else 1)
    for span in found:
        attributes = span["attributes"]
        outcome = OUTCOMES.get(shape.rpartition("_")[2], "completed")
        assert attributes[semconv.OUTCOME] == outcome
        assert attributes[semconv.PROVIDER_NAME] == shape.partition("_")[0]
        assert attributes[semconv.SERVER_ADDRESS] == "127.0.0.1"
        if outcome == "completed":
            assert (attributes[semconv.USAGE_INPUT_TOKENS], attributes[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
        if shape.endswith(("stream", "helper", "interleaved")):
            assert attributes[semconv.TIME_TO_FIRST_TOKEN] > 0
        assert attributes.get(semconv.HTTP_REQUEST_RESEND_COUNT) == (2 if "retried" in shape else None)
        assert attributes.get(f"{semconv.METADATA_PREFIX}tenant") == ("a" if "by_hand" in shape else None)


def test_a_retried_call_tells_the_limits_that_its_attempts_met(said):
    (span,) = [span for span in said["openai_retried"]["spans"] if is_inference(span)]
    assert span["attributes"][semconv.RATELIMIT_REMAINING_REQUESTS] == 0
    assert span["attributes"][semconv.RETRY_AFTER] == pytest.approx(0.03)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_spans_of_the_http_instrumentation_are_inside_and_tell_no_tokens(said, shape):
    spans = {span["id"]: span for span in said[shape]["spans"]}
    found = [span for span in spans.values() if wire(span)]
    assert len(found) == {"retried": 3, "interleaved": 2}.get(shape.rpartition("_")[2], 1)
    for span in found:
        assert not any(name.startswith("gen_ai") for name in span["attributes"])
        above = spans[span["parent"]]
        duplicated = above["attributes"].get(semconv.DUPLICATE_OF)
        assert is_inference(above) or is_inference(spans[duplicated])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_gives_way_names_the_span_that_tells_the_call(said, shape):
    spans = said[shape]["spans"]
    told = {span["id"] for span in spans if is_inference(span)}
    given_way = [span["attributes"] for span in spans if semconv.DUPLICATE_OF in span["attributes"]]
    assert all(attributes[semconv.OPERATION_NAME] == semconv.OPERATION_DUPLICATE for attributes in given_way)
    assert {attributes[semconv.DUPLICATE_OF] for attributes in given_way} <= told


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "interleaved" not in shape])
def test_no_duration_is_measured_twice(peer, order, shape):
    durations = run(peer, order)[shape]["measured"].get(semconv.METRIC_OPERATION_DURATION, 0)
    if peer == "openinference":  # it measures nothing: an attempt is measured as everywhere
        assert durations == (3 if "retried" in shape else 1)
    elif "by_hand" in shape:
        assert durations == 1
    else:
        alone = run(peer, "theirs alone")[shape]["measured"].get(semconv.METRIC_OPERATION_DURATION, 0)
        assert durations == max(alone, "responses" in shape)


@pytest.mark.parametrize("order", ORDERS[:2])
def test_our_own_counts_are_kept_beside_everybody(peer, order):
    said = run(peer, order)
    for shape, what in said.items():
        expected = {"retried": 3, "interleaved": 2}.get(shape.rpartition("_")[2], 1)
        assert what["measured"][semconv.METRIC_OPERATIONS] == expected, shape
        assert not what["measured"].get(semconv.METRIC_SELF_ERRORS), shape
