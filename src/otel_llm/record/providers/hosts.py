"""Who serves a model, told by host, port, headers or hints in the body. Pure.

The names are those of the OpenTelemetry semantic conventions (``gen_ai.provider.name``) where they have one, else the
provider's own. A format (`openai`, `anthropic`, ...) asks here first and falls back to its own name.
"""

from collections.abc import Mapping
from typing import Any, Final

from otel_llm.record.exchange import text

_BY_HOST: Final = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "api.deepinfra.com": "deepinfra",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.novita.ai": "novita",
    "api.studio.nebius.ai": "nebius",
    "api.studio.nebius.com": "nebius",
    "api.tokenfactory.nebius.com": "nebius",
    "integrate.api.nvidia.com": "nvidia",
    "api.ai21.com": "ai21",
    "api.avian.io": "avian",
    "api.writer.com": "writer",
    "api.voyageai.com": "voyage",
    "api.jina.ai": "jina",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.z.ai": "z_ai",
    "open.bigmodel.cn": "z_ai",
    "dashscope.aliyuncs.com": "alibaba_cloud",
    "dashscope-intl.aliyuncs.com": "alibaba_cloud",
    "ark.cn-beijing.volces.com": "volcengine",
    "api.siliconflow.cn": "siliconflow",
    "api.siliconflow.com": "siliconflow",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "ai-gateway.vercel.sh": "vercel",
    "gateway.ai.cloudflare.com": "cloudflare",
    "api.cloudflare.com": "cloudflare",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "github",
    "api.githubcopilot.com": "github",
    "api.llama.com": "meta",
    "api.replicate.com": "replicate",
    "api.lambda.ai": "lambda",
    "api.baseten.co": "baseten",
    "inference.baseten.co": "baseten",
    "api.portkey.ai": "portkey",
    "api.inference.crusoecloud.com": "crusoe",
    "us.inference.heroku.com": "heroku",
    "eu.inference.heroku.com": "heroku",
    "oai.endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "coding-intl.dashscope.aliyuncs.com": "alibaba_cloud",
    "dashscope-us.aliyuncs.com": "alibaba_cloud",
    "api.upstage.ai": "upstage",
    "api.featherless.ai": "featherless",
    "api.inference.net": "inference_net",
    "api.friendli.ai": "friendli",
    "api.scaleway.ai": "scaleway",
    "chatgpt.com": "openai",
}

_BY_PATTERN: Final = (
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    (".inference.ml.azure.com", "azure.ai.inference"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("bedrock-runtime.", "aws.bedrock"),
    ("bedrock-mantle.", "aws.bedrock"),
    ("bedrock-runtime-fips.", "aws.bedrock"),
    (".snowflakecomputing.com", "snowflake"),
    (".azuredatabricks.net", "databricks"),
    (".databricks.com", "databricks"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
    ("openrouter.ai", "openrouter"),
    (".endpoints.huggingface.cloud", "huggingface"),
    ("ollama.com", "ollama"),
)
"""Ends of host names, or beginnings where they end with a dot."""

_BY_PORT: Final = {11434: "ollama", 1234: "lm_studio"}
"""Ports that no other model server takes by default; 8000 and 8080 tell nothing."""

_BY_SERVER: Final = (("llama.cpp", "llama_cpp"), ("ollama", "ollama"), ("vllm", "vllm"), ("sglang", "sglang"))


def by_host(host: str, port: int | None, hosts: Mapping[str, str]) -> str | None:
    """The provider behind ``host``, or ``None`` when no table knows it. ``hosts`` are the user's own names."""
    if hosts:
        named = hosts.get(f"{host}:{port}") or hosts.get(host)
        if named:
            return named
    known = _BY_HOST.get(host)
    if known is not None:
        return known
    for pattern, provider in _BY_PATTERN:
        if host.startswith(pattern) if pattern[-1] == "." else host.endswith(pattern):
            return provider
    return _BY_PORT.get(port) if port is not None else None


def by_headers(headers: Mapping[str, str]) -> str | None:
    """The model server that names itself in its answer's head."""
    server = headers.get("server")
    if server:
        lowered = server.lower()
        for mark, provider in _BY_SERVER:
            if mark in lowered:
                return provider
    if "x-compute-type" in headers and "x-compute-time" in headers:
        return "tgi"
    return None


def by_body(message: Mapping[str, Any]) -> str | None:
    """The model server that a body of OpenAI's format gives away, or ``None``."""
    fingerprint = text(message.get("system_fingerprint"))
    if fingerprint == "fp_ollama":
        return "ollama"
    if "timings" in message and isinstance(message["timings"], dict) and "predicted_n" in message["timings"]:
        return "llama_cpp"
    if fingerprint and "-sha-" in fingerprint:
        return "tgi"
    if "prompt_logprobs" in message or "kv_transfer_params" in message:
        return "vllm"
    metadata = message.get("metadata")
    if isinstance(metadata, dict) and "weight_version" in metadata:
        return "sglang"
    return None
