"""Who serves a model, told by host, port and hints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.record.providers import hosts


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("mine.cognitiveservices.azure.com", "azure.ai.openai"),
        ("mine.services.ai.azure.com", "azure.ai.inference"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("api.groq.com", "groq"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "x_ai"),
        ("openrouter.ai", "openrouter"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws.bedrock"),
        ("mine.snowflakecomputing.com", "snowflake"),
        ("adb-1.2.azuredatabricks.net", "databricks"),
        ("chatgpt.com", "openai"),
        ("router.huggingface.co", "huggingface"),
        ("abc.us-east-1.aws.endpoints.huggingface.cloud", "huggingface"),
        ("localhost", None),
        ("127.0.0.1", None),
        ("llm.internal", None),
        ("", None),
        ("notapi.openai.com.evil.example", None),
    ],
)
def test_a_known_host_is_named(host, provider):
    assert hosts.by_host(host, 443, {}) == provider


@pytest.mark.parametrize(("port", "provider"), [(11434, "ollama"), (1234, "lm_studio"), (8000, None), (None, None)])
def test_a_port_that_only_one_server_takes_names_it(port, provider):
    assert hosts.by_host("127.0.0.1", port, {}) == provider


@pytest.mark.parametrize(
    ("named", "provider"),
    [
        ({"127.0.0.1:11434": "mine"}, "mine"),
        ({"127.0.0.1": "mine"}, "mine"),
        ({"127.0.0.1": "other", "127.0.0.1:11434": "mine"}, "mine"),
        ({"127.0.0.1:1": "mine"}, "ollama"),
    ],
)
def test_the_users_own_name_wins(named, provider):
    assert hosts.by_host("127.0.0.1", 11434, named) == provider


@pytest.mark.parametrize(
    ("message", "provider"),
    [
        ({"system_fingerprint": "fp_ollama"}, "ollama"),
        ({"timings": {"predicted_n": 1}}, "llama_cpp"),
        ({"timings": {}}, None),
        ({"system_fingerprint": "3.3.5-sha-1b90c508"}, "tgi"),
        ({"prompt_logprobs": None}, "vllm"),
        ({"metadata": {"weight_version": "default"}}, "sglang"),
        ({"metadata": {}, "system_fingerprint": "fp_1"}, None),
        ({}, None),
    ],
)
def test_a_body_gives_its_server_away(message, provider):
    assert hosts.by_body(message) == provider


HINTS = st.sampled_from(["system_fingerprint", "timings", "metadata", "prompt_logprobs"])


@given(st.dictionaries(HINTS, st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_hints_of_any_type_never_raise(message):
    hosts.by_body(message)
