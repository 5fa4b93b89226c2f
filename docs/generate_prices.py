"""Write the package's own price table from the data of genai-prices (MIT), which must be installed.

``python docs/generate_prices.py`` prints what changed; it fetches nothing. Only text models of well-known providers
are taken: what is charged by image, second or page cannot be told from token counts.
"""

import re
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from otel_llm.record import tariff
from otel_llm.record.price import Price, Table, names

TARGET = Path(__file__).parents[1] / "src/otel_llm/record/prices.json"
PROVIDERS = (
    *("openai", "anthropic", "gcp.gemini", "cohere", "mistral_ai", "deepseek", "x_ai", "groq", "perplexity"),
    *("cerebras", "moonshot_ai", "z_ai", "voyage", "aws.bedrock"),
)
SAME = {
    "azure.ai.openai": "openai",
    "aws.bedrock": "anthropic",
    "gcp.vertex_ai": "gcp.gemini",
    "gcp.gen_ai": "gcp.gemini",
}
OTHER = re.compile(
    r"audio|image|realtime|tts|live|transcri|whisper|voice|ocr|moderation|:free|ft[:.-]|robotics|omni|banana"
)


def _bare(provider: str, name: str) -> str:
    """``name`` as the look-up tries it last but for its date: without the frame that Bedrock puts around it."""
    return (names(name) if provider == "aws.bedrock" else (name,))[-1]


def _lines(table: Table) -> bytes:
    """JSON with a model a line."""
    whole = msgspec.to_builtins(table)
    providers = whole.pop("providers")
    head = msgspec.json.encode(whole)[1:-1].decode()
    blocks: list[str] = []
    for provider, models in providers.items():
        lines = [f'  "{name}": {msgspec.json.encode(price).decode()}' for name, price in models.items()]
        blocks.append(f' "{provider}": {{\n' + ",\n".join(lines) + "\n }")
    return ("{" + head + ',\n"providers": {\n' + ",\n".join(blocks) + "\n}}\n").encode()


def main() -> None:
    """Write the table."""
    known = tariff.GenaiPrices()
    providers: dict[str, dict[str, Price]] = {}
    for provider in PROVIDERS:
        models: dict[str, Price] = {}
        for name, price in known.models(provider):
            if not OTHER.search(name):
                models.setdefault(_bare(provider, name), price)
        providers[provider] = dict(sorted(models.items()))
    table = Table(
        date=datetime.now(tz=UTC).date().isoformat(),
        source=f"the providers' price pages, as collected by genai-prices {version('genai-prices')} (MIT)",
        providers=providers,
        same=SAME,
    )
    TARGET.write_bytes(_lines(table))
    sys.stdout.write(f"{TARGET}: {sum(map(len, providers.values()))} models\n")


if __name__ == "__main__":
    main()
