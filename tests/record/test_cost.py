"""What calls cost: on the wire, told by hand, on servers of the user's own."""

import httpx
import msgspec
import pytest

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.record import client, cost, transport
from otel_llm.record.cost import Costs, Occupancy
from otel_llm.record.price import Price, Table
from otel_llm.record.settings import CostConfig
from otel_llm.record.tariff import Override

PRICES = msgspec.Raw(b'{"m": {"input": 1, "output": 2}}')


class Fixed:
    """A table that does not change with the providers' prices."""

    current = Table(date="2026-01-02", source="a test", providers={"openai": PRICES})


NOTHING = (None, None, None)


class Told(Costs):
    """Says what a call cost as a tuple."""

    def told(self, call, seconds=None):
        priced = self.price(call, seconds)
        return priced.cost, priced.cost_currency, priced.cost_source


def costs(**said):
    found = Told(CostConfig(), best=Fixed())
    found.override = Override(**said)
    return found


def call(**said):
    told = {"input_tokens": 1000, "output_tokens": 500, "usage_source": "provider", **said}
    return Call(**{"operation": "chat", "provider": "openai", "request_model": "m", **told})


def test_reported_tokens_are_priced_and_the_source_is_said():
    assert costs().told(call()) == (pytest.approx(0.002), "USD", "otel-llm 2026-01-02")


def test_estimated_tokens_have_no_cost():
    assert costs().told(call(usage_source="estimated")) == NOTHING


def test_an_unknown_model_has_no_cost_and_is_counted():
    before = cost.unpriced().get(("openai", "unknown-to-all"), 0)
    assert costs().told(call(request_model="unknown-to-all")) == NOTHING
    assert cost.unpriced()["openai", "unknown-to-all"] == before + 1


def test_a_model_of_a_server_of_the_users_own_is_not_counted():
    before = cost.unpriced()
    assert costs().told(call(provider="vllm", request_model="llama")) == NOTHING
    assert cost.unpriced() == before


def test_the_model_that_answered_goes_before_the_one_asked_for():
    assert costs().told(call(request_model="alias", response_model="m"))[0] == pytest.approx(0.002)


def test_the_users_prices_go_first():
    said = costs(models={"m": Price(input=5, output=0)}, currency="EUR").told(call())
    assert said[:2] == (pytest.approx(0.005), "EUR")
    assert said[2] == "override"


def test_a_server_costs_its_time_shared_among_the_calls_under_way():
    found = costs(gpu_hour={"gpu": 3600.0})
    first, second = found.stay("gpu", 80, 0.0), found.stay("gpu", 80, 1.0)
    shares = second(2.0), first(3.0)
    assert shares == (pytest.approx(0.5), pytest.approx(2.5))
    told = call(provider="vllm", server_address="gpu", server_port=80, usage_source=None)
    assert found.told(told, shares[0])[0] == pytest.approx(0.5)
    assert found.told(told, shares[0])[2] == "gpu_hour"


def test_the_shares_of_all_calls_add_up_to_the_busy_time():
    server = Occupancy()
    begun = [server.begin(at) for at in (0.0, 0.5, 0.7)]
    total = sum(server.end(start, at) for start, at in zip(begun, (4.0, 1.0, 6.0), strict=True))
    assert total == pytest.approx(6.0)


def test_any_server_means_programs_not_companies():
    found = costs(gpu_hour={"*": 1.0})
    assert found.told(call(), 3600.0)[2] == "otel-llm 2026-01-02"
    assert found.told(call(provider="vllm"), 3600.0)[0] == pytest.approx(1.0)


def test_a_server_without_a_price_is_not_watched():
    assert costs().stay("gpu", 80, 0.0) is None
    assert costs(gpu_hour={"other": 1.0}).stay("gpu", 80, 0.0) is None


@pytest.fixture
def priced(recorded):
    transport.recorder().costs = costs()
    return recorded


def post(server, case="json"):
    body = {"model": "m", "messages": [], "stream": case == "stream"}
    with httpx.Client(trust_env=False) as http:
        return http.post(f"http://127.0.0.1:{server.port}/{case}/cost/v1/chat/completions", json=body)


def test_a_call_on_the_wire_has_its_cost_on_the_span_and_in_the_metric(priced, server):
    post(server, "stream")
    (span,) = priced.wait(1)
    spent = span.attributes[semconv.USAGE_INPUT_TOKENS] / 1e6 + span.attributes[semconv.USAGE_OUTPUT_TOKENS] * 2 / 1e6
    assert span.attributes[semconv.COST] == pytest.approx(spent)
    (point,) = priced.points()[semconv.METRIC_COST]
    assert point.value == pytest.approx(spent)
    assert point.attributes[semconv.COST_CURRENCY] == "USD"


def test_a_call_told_by_hand_is_priced(priced):
    with client.call(model="m", provider="openai") as told:
        told.usage(input_tokens=1000, output_tokens=500)
    (span,) = priced.wait(1)
    assert span.attributes[semconv.COST] == pytest.approx(0.002)


def test_a_batch_told_by_hand_has_no_standard_price(priced):
    with client.call(model="m", provider="openai") as told:
        told.usage(input_tokens=1000, output_tokens=500, service_tier="batch")
    (span,) = priced.wait(1)
    assert semconv.COST not in span.attributes


def test_a_call_on_the_wire_inside_one_told_by_hand_is_paid_once(priced, server):
    with client.call(model="m", provider="openai"):
        post(server, "stream")
    (span,) = priced.wait(1)
    assert span.attributes[semconv.COST] > 0
    (point,) = priced.points()[semconv.METRIC_COST]
    assert point.value == pytest.approx(span.attributes[semconv.COST])


def test_prices_can_be_switched_off(recorded, server):
    transport.recorder().costs = None
    post(server, "stream")
    (span,) = recorded.wait(1)
    assert semconv.COST not in span.attributes
