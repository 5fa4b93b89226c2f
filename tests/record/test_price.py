"""Prices: arithmetic, names, the package's own table."""

from datetime import date

import msgspec
import pytest

from otel_llm.calls import Call
from otel_llm.record import tariff
from otel_llm.record.price import Plan, Price, Step, names


def call(**said):
    told = {"input_tokens": 1_000_000, "output_tokens": 0, "usage_source": "provider", **said}
    return Call(operation="chat", provider="openai", **told)


PRICE = Price(input=2, output=8, cache_read=0.5, cache_write=2.5, reasoning=10)


def test_cached_and_written_tokens_have_their_own_rates_and_are_part_of_the_input():
    told = call(cache_read_input_tokens=400_000, cache_creation_input_tokens=100_000)
    assert PRICE.of(told) == pytest.approx(0.5 * 2 + 0.4 * 0.5 + 0.1 * 2.5)


def test_a_cache_without_a_rate_costs_as_the_input_does():
    assert Price(input=2, output=8).of(call(cache_read_input_tokens=400_000)) == pytest.approx(2)


def test_reasoning_is_part_of_the_output_and_may_have_its_own_rate():
    told = call(input_tokens=0, output_tokens=1_000_000, reasoning_output_tokens=250_000)
    assert PRICE.of(told) == pytest.approx(0.75 * 8 + 0.25 * 10)
    assert Price(input=2, output=8).of(told) == pytest.approx(8)


def test_an_embedding_has_no_output_to_price():
    assert Price(input=0.02).of(call(output_tokens=None)) == pytest.approx(0.02)


@pytest.mark.parametrize("said", [{"input_tokens": None}, {"output_tokens": None}])
def test_tokens_that_nobody_knows_have_no_cost(said):
    assert PRICE.of(call(**said)) is None


def test_output_without_a_rate_has_no_cost():
    assert Price(input=0.02).of(call(output_tokens=5)) is None


def test_a_long_input_moves_all_tokens_to_the_step_it_reaches():
    price = Price(input=1, output=4, above=(Step(tokens=200_000, input=2, output=6), Step(tokens=900_000, input=3)))
    assert price.of(call(input_tokens=200_000)) == pytest.approx(0.2)
    assert price.of(call(input_tokens=200_001)) == pytest.approx(0.400002)
    assert price.of(call(output_tokens=None)) == pytest.approx(3)


def test_a_service_tier_has_its_own_price_or_none():
    price = Price(input=2, output=8, tiers={"batch": Plan(input=1, output=4)})
    assert price.of(call(service_tier="batch")) == pytest.approx(1)
    assert price.of(call(service_tier="priority")) is None


def test_a_model_is_found_without_its_date_and_bedrocks_frame():
    assert names("gpt-4o-2024-08-06")[-1] == "gpt-4o"
    assert names("claude-sonnet-4-5@20250929")[-1] == "claude-sonnet-4-5"
    assert names("us.anthropic.claude-sonnet-4-5-20250929-v1:0")[-1] == "claude-sonnet-4-5"
    assert names("models/gemini-2.5-pro") == ("gemini-2.5-pro",)
    assert names("gpt-4.1") == ("gpt-4.1",)
    assert names("mistral-large-2512") == ("mistral-large-2512",)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini-2024-07-18"),
        ("azure.ai.openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("aws.bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "gemini-2.5-flash"),
        ("cohere", "command-r-08-2024"),
        ("mistral_ai", "mistral-large-latest"),
    ],
)
def test_the_packages_own_table_knows_the_well_known(provider, model):
    assert tariff.own().find(provider, model) is not None


def test_the_packages_own_table_is_dated_and_names_its_source():
    table = tariff.own()
    assert date.fromisoformat(table.date).year >= 2026
    assert "genai-prices" in table.source
    assert table.name == f"otel-llm {table.date}"


def test_no_provider_lends_its_prices_to_another():
    assert tariff.own().find("ollama", "gpt-4o") is None
    assert tariff.own().find("openai", "claude-sonnet-4-5") is None


def test_only_the_prices_of_providers_that_are_asked_for_are_read():
    table = tariff.own()
    assert not table.asked
    assert table.find("anthropic", "claude-sonnet-4-5") == table.find("anthropic", "claude-sonnet-4-5")
    assert table.asked.keys() == {"anthropic"}
    assert {type(price) for price in table.asked["anthropic"].values()} == {msgspec.Raw}


def test_the_table_has_known_figures():
    price = tariff.own().find("openai", "gpt-4o")
    assert (price.input, price.output, price.cache_read) == (2.5, 10, 1.25)
    assert price.tiers["batch"].input == 1.25
