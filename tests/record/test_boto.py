"""boto3's Bedrock client, which sends through urllib3: Converse and InvokeModel, whole and as AWS event streams."""

import itertools
import json

import boto3
import pytest
from botocore.config import Config
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_llm import semconv

MODEL = "anthropic.claude-sonnet-4-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]
ASKED = json.dumps({"max_tokens": 9, "messages": [], "anthropic_version": "bedrock-2023-05-31"})

fresh = itertools.count()


@pytest.fixture
def client(server):
    return boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{server.port}/bedrock/{next(fresh)}",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - nobody checks it
        config=Config(retries={"mode": "standard"}, read_timeout=60, proxies={}),
    )


def converse(client):
    return client.converse(modelId=MODEL, messages=MESSAGES)["output"]


def converse_stream(client):
    return list(client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])


def invoke(client):
    return json.loads(client.invoke_model(modelId=MODEL, body=ASKED)["body"].read())


def invoke_stream(client):
    return list(client.invoke_model_with_response_stream(modelId=MODEL, body=ASKED)["body"])


@pytest.mark.parametrize("call", [converse, converse_stream, invoke, invoke_stream])
def test_a_call_is_one_span_and_its_answer_what_it_was(recorded, client, call):
    with suppress_instrumentation():
        expected = call(client)
    assert call(client) == expected
    (span,) = recorded.wait(1)
    said = span.attributes
    assert (said[semconv.PROVIDER_NAME], said[semconv.REQUEST_MODEL]) == ("aws.bedrock", MODEL)
    assert (said[semconv.OUTCOME], said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (
        *("completed", 7),
        5,
    )
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("end_turn",)
    assert (semconv.TIME_TO_FIRST_TOKEN in said) == ("stream" in call.__name__)


def test_a_stream_that_is_left_early_is_abandoned(recorded, client):
    stream = client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    next(iter(stream))
    stream.close()
    assert recorded.wait(1)[0].attributes[semconv.OUTCOME] == "abandoned"


def test_a_retry_of_the_sdks_is_a_resend(recorded, client):
    client.converse(modelId=f"{MODEL}-busy", messages=MESSAGES)
    first, second = recorded.wait(2)
    assert (first.attributes[semconv.ERROR_TYPE], first.attributes[semconv.OUTCOME]) == ("429", "error")
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
