"""The user's own prices, and what is told of a file that is wrong."""

import subprocess
import sys

import pytest

from otel_llm.calls import Call
from otel_llm.record.tariff import override
from parts.environments import environment

GOOD = """\
currency: eur
models:
  gpt-4o: {input: 1, output: 2}
  vllm/llama: {input: 0.1, output: 0.2, above: {1000: {input: 0.3, output: 0.4}}, tiers: {batch: {input: 0.05}}}
gpu_hour:
  localhost:8000: {price: 2.5, gpus: 4}
  llm.internal: 3
  "*": 1
"""

BAD = """\
curency: EUR
models:
  gpt-4o: {input: cheap, output: 2}
  other: {inputs: 1}
  text: 5
  sound: {input: 1, output: 2}
  step: {input: 1, above: {many: {input: 2}}}
gpu_hour:
  a: -1
  b: {price: 1, gpus: 0}
  c: {price: 1, cards: 2}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "prices.yaml"
        file.write_text(text)
        return file

    return write


def test_a_file_has_models_servers_and_a_currency(write):
    found = override(write(GOOD))
    assert found.faults == ()
    assert found.currency == "EUR"
    assert found.find("openai", "gpt-4o-2024-08-06").output == 2
    assert found.find("openai", "llama") is None
    told = Call(operation="chat", input_tokens=2000, output_tokens=0)
    assert found.find("vllm", "llama").of(told) == pytest.approx(2000 * 0.3 / 1e6)
    assert (found.hour("localhost", 8000), found.hour("llm.internal", 443), found.any_hour) == (10, 3, 1)
    assert found.hour("localhost", 1) is None


def test_each_fault_has_its_line_and_what_is_sound_counts(write):
    file = write(BAD)
    found = override(file)
    told = [str(fault) for fault in found.faults]
    assert f"{file}:1: curency: expected a known key, found 'curency' (did you mean currency?)" in told
    assert f"{file}:3: models.gpt-4o.input: expected a number, 0 or more, found 'cheap'" in told
    assert f"{file}:4: models.other.inputs: expected a known key, found 'inputs' (did you mean input?)" in told
    assert f"{file}:5: models.text: expected rates such as {{input: 2.5, output: 10}}, found 5" in told
    assert f"{file}:9: gpu_hour.a: expected a number, 0 or more, found -1" in told
    assert any("gpu_hour.b.gpus: expected a whole number" in line for line in told)
    assert any("gpu_hour.c.cards: expected a known key" in line for line in told)
    assert any("models.step.above.many: expected a number of tokens as key" in line for line in told)
    assert set(found.models) == {"sound"}
    assert found.gpu_hour == {"c": 1}


@pytest.mark.parametrize(
    "text", ["models: 5", "models: {a: {input: 1, tiers: 3}}", "gpu_hour: [1]", "currency: dollars"]
)
def test_wrong_shapes_are_faults(write, text):
    assert override(write(text)).faults


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    (fault,) = override(tmp_path / "none.yaml").faults
    assert fault.expected == "a readable file"


WITH_GENAI_PRICES = """
import sys, socket
def refuse(*_): raise AssertionError("nothing is fetched")
socket.socket.connect = refuse
from otel_llm.calls import Call
from otel_llm.record.cost import Costs
from otel_llm.record.settings import CostConfig
from otel_llm.record.tariff import Best
costs = Costs(CostConfig(), best=Best(wait=True))
models = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5-20250929", "gcp.gemini": "gemini-2.5-pro"}
for provider, model in models.items():
    for tier in (None, "batch"):
        told = Call(operation="chat", provider=provider, request_model=model, input_tokens=300000,
                    cache_read_input_tokens=1000, output_tokens=1000, usage_source="provider", service_tier=tier)
        priced = costs.price(told)
        print(provider, tier, priced.cost_source)
        ours = priced.cost
        from genai_prices import Usage, calc_price
        from genai_prices.data_snapshot import get_snapshot
        theirs = calc_price(Usage(input_tokens=300000, cache_read_tokens=1000, output_tokens=1000), model,
                            provider_id={"gcp.gemini": "google"}.get(provider, provider),
                            price_context={"processing": "batch"} if tier else None).total_price
        assert abs(ours - float(theirs)) < 1e-9, (provider, tier, ours, theirs)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)  # an environment is made
def test_genai_prices_where_it_is_installed_agrees_with_its_own_arithmetic():
    python = environment("genai-prices>=0.0.30")
    done = subprocess.run([python, "-c", WITH_GENAI_PRICES], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "genai-prices " in done.stdout
    assert sys.executable != str(python)
