"""Where prices come from: the user's file, the data of genai-prices where it is installed, and the package's own table.

Nothing is fetched. The user's file is told with the line of each fault; what is sound in it counts.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module, metadata, resources, util
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from otel_llm import boundary
from otel_llm.document import Document, Fault, quote, read
from otel_llm.gate import importing
from otel_llm.record.price import Price, Rates, Table, names

_PACKAGE: Final = "genai_prices"
_RATES: Final = tuple(name for name in Rates.__struct_fields__)
_ANY: Final = "*"


class Tariff(Protocol):
    """Prices of one source."""

    @property
    def name(self) -> str:
        """As ``otel_llm.cost.source`` says it."""
        ...

    def find(self, provider: str, model: str) -> Price | None:
        """The price of ``model`` where ``provider`` serves it."""
        ...


def own() -> Table:
    """The package's own table."""
    text = resources.files("otel_llm.record").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(text, type=Table)


# --- the user's file -----------------------------------------------------------------------------------------------


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What the user's file says.

    Attributes:
        models: Prices by ``model`` or ``provider/model``.
        gpu_hour: What an hour of a whole server costs, all of its cards, by ``host``, ``host:port`` or ``*``.
        currency: Of both; ISO 4217.
    """

    models: Mapping[str, Price] = msgspec.field(default_factory=dict[str, Price])
    gpu_hour: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    currency: str = "USD"
    faults: tuple[Fault, ...] = ()
    name: str = "override"

    def find(self, provider: str, model: str) -> Price | None:
        """The price of ``model`` where ``provider`` serves it; the provider's own entry goes first."""
        if not self.models:
            return None
        for name in names(model):
            price = self.models.get(f"{provider}/{name}") or self.models.get(name)
            if price is not None:
                return price
        return None

    def hour(self, host: str | None, port: int | None) -> float | None:
        """What an hour of that very server costs."""
        return self.gpu_hour.get(f"{host}:{port}", self.gpu_hour.get(host or ""))

    @property
    def any_hour(self) -> float | None:
        """What an hour of a server of the user's own costs that is not named."""
        return self.gpu_hour.get(_ANY)


def override(path: Path | None) -> Override:
    """What the file at ``path`` says; never raises."""
    if path is None:
        return Override()
    document = read(Path(os.path.expanduser(path)))  # noqa: PTH111 - never raises
    parts = _Parts(document)
    models = {name.lower(): price for name, price in parts.models()}
    return Override(
        models=models, gpu_hour=dict(parts.hours()), currency=parts.currency(), faults=tuple(document.faults)
    )


class _Parts:
    """The parts of the user's file; adds faults to the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        for key in document.values:
            if key not in {"currency", "models", "gpu_hour"}:
                document.faults.append(document.unknown(key, ("currency", "models", "gpu_hour")))

    def currency(self) -> str:
        said = self.document.values.get("currency", "USD")
        if isinstance(said, str) and len(said) == 3 and said.isascii() and said.isalpha():  # noqa: PLR2004 - ISO 4217
            return said.upper()
        self.fault("currency", "three letters such as USD or EUR", said)
        return "USD"

    def models(self) -> Iterator[tuple[str, Price]]:
        for name, said in self.section("models"):
            price = self.price(f"models.{name}", said, ("above", "tiers"))
            if price is not None:
                yield name, msgspec.convert(price, Price)

    def hours(self) -> Iterator[tuple[str, float]]:
        for name, said in self.section("gpu_hour"):
            key = f"gpu_hour.{name}"
            if not isinstance(said, dict):
                hour = self.number(key, said)
                if hour is not None:
                    yield name, hour
                continue
            for word in said:
                if word not in {"price", "gpus"}:
                    self.document.faults.append(self.document.unknown(f"{key}.{word}", ("price", "gpus")))
            price, cards = self.number(f"{key}.price", said.get("price")), said.get("gpus", 1)
            if type(cards) is not int or cards < 1:
                self.fault(f"{key}.gpus", "a whole number, 1 or more", cards)
            elif price is not None:
                yield name, price * cards

    def price(self, key: str, said: Any, besides: tuple[str, ...]) -> dict[str, Any] | None:
        """Rates, and what they may have besides; ``None`` where nothing of it can be used."""
        if not isinstance(said, dict):
            self.fault(key, "rates such as {input: 2.5, output: 10}", said)
            return None
        sound: dict[str, Any] = {}
        before = len(self.document.faults)
        for word, value in said.items():
            place = f"{key}.{word}"
            if word in _RATES:
                sound[word] = self.number(place, value)
            elif word == "above" and word in besides:
                sound[word] = self.steps(place, value)
            elif word == "tiers" and word in besides:
                tiers = value if isinstance(value, dict) else {}
                if not tiers:
                    self.fault(place, "rates by service tier", value)
                sound[word] = {name: self.price(f"{place}.{name}", one, ("above",)) for name, one in tiers.items()}
            else:
                self.document.faults.append(self.document.unknown(place, (*_RATES, *besides)))
        if "input" not in sound:
            self.fault(key, "a rate for input, per million tokens", "none")
        return sound if len(self.document.faults) == before else None

    def steps(self, key: str, said: Any) -> list[dict[str, Any]]:
        """Rates by how long the input is."""
        steps: list[dict[str, Any]] = []
        for tokens, rates in said.items() if isinstance(said, dict) else ():
            if not (isinstance(tokens, str) and tokens.isdecimal()):
                self.fault(f"{key}.{tokens}", "a number of tokens as key", tokens)
            elif (price := self.price(f"{key}.{tokens}", rates, ())) is not None:
                steps.append({"tokens": int(tokens), **price})
        if not isinstance(said, dict):
            self.fault(key, "rates by the number of input tokens", said)
        return sorted(steps, key=lambda step: int(step["tokens"]))

    def section(self, name: str) -> list[tuple[str, Any]]:
        said = self.document.values.get(name)
        if said is None or isinstance(said, dict):
            return list((said or {}).items())
        self.fault(name, "a mapping", said)
        return []

    def number(self, key: str, said: Any) -> float | None:
        if type(said) in {int, float} and 0 <= said < 1e9:  # noqa: PLR2004 - beyond any price, and never infinite
            return float(said)
        self.fault(key, "a number, 0 or more", said)
        return None

    def fault(self, key: str, expected: str, found: object) -> None:
        fault = Fault(where=self.document.where(key), key=key, expected=expected, found=quote(found))
        self.document.faults.append(fault)


# --- genai-prices --------------------------------------------------------------------------------------------------

_THEIRS: Final = {
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    "z_ai": "zai",
    "voyage": "voyageai",
}
"""Their word for a provider, where it is another."""


class GenaiPrices:
    """The prices that come with genai-prices; as they were on the day of its release.

    Raises:
        ImportError: It is not installed.
    """

    def __init__(self) -> None:
        self.name = f"genai-prices {metadata.version('genai-prices')}"
        listed = import_module(f"{_PACKAGE}.data").providers
        self._providers: dict[str, Any] = {provider.id: provider for provider in listed}

    def find(self, provider: str, model: str) -> Price | None:
        """The price of ``model`` where ``provider`` serves it."""
        known = self._providers.get(_THEIRS.get(provider, provider))
        if known is None:
            return None
        for name in names(model):
            found = known.find_model(name, all_providers=list(self._providers.values()))
            if found is not None:
                return _price(found)
        return None

    def models(self, provider: str) -> Iterator[tuple[str, Price]]:
        """All models of ``provider`` that are charged by the token."""
        for model in self._providers[_THEIRS.get(provider, provider)].models:
            price = _price(model)
            if price is not None:
                for name in sorted(_aliases(model)):
                    yield name, price


def _aliases(model: Any) -> set[str]:
    """The names of a model of theirs that are said in full."""
    clauses = getattr(model.match, "or_", (model.match,))
    return {model.id, *(clause.equals for clause in clauses if hasattr(clause, "equals"))}


_FIELDS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""Our rates, and their names for them."""

_CONTEXTS: Final = {
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "batch": {"processing": "batch"},
}
"""Service tiers, and how they say so."""


def _price(model: Any) -> Price | None:
    """A price of theirs as one of ours; ``None`` where nothing is charged by the token."""
    now = datetime.now(tz=UTC)
    said = _plan(model.get_prices(now))
    if said is None:
        return None
    tiers: dict[str, Any] = {}
    for tier, context in _CONTEXTS.items():
        applies = any(variant.when == context for variant in model.price_variants or ())
        plan = _plan(model.get_prices(now, context)) if applies else None
        if plan is not None:
            tiers[tier] = plan
    return msgspec.convert({**said, "tiers": tiers}, Price)


def _plan(price: Any) -> dict[str, Any] | None:
    """Rates, and steps where some have tiers; ``None`` where the input has no rate."""
    said = {ours: value for ours, theirs in _FIELDS.items() if (value := getattr(price, theirs, None)) is not None}
    if "input" not in said:
        return None
    starts = sorted({tier.start for value in said.values() for tier in getattr(value, "tiers", ())})
    above = [{"tokens": start, **{name: _rate(value, start) for name, value in said.items()}} for start in starts]
    return {**{name: _rate(value, 0) for name, value in said.items()}, "above": above}


def _rate(value: Any, start: int) -> float:
    """The rate of calls with more than ``start`` tokens of input."""
    reached = [tier.price for tier in getattr(value, "tiers", ()) if 0 < tier.start <= start]
    return float(reached[-1] if reached else getattr(value, "base", value))


class Best:
    """The best table that is at hand: genai-prices once it is loaded, where it is installed, else the package's own.

    Loading theirs takes about a second of CPU, so it is done on a thread; calls before that are told by our own table.
    """

    def __init__(self, *, wait: bool = False) -> None:
        self._found: Tariff = own()
        if util.find_spec(_PACKAGE) is None:
            return
        if wait:
            self._load()
        else:
            threading.Thread(target=self._load, name="otel-llm-prices", daemon=True).start()

    def _load(self) -> None:
        with boundary.guard("record.prices"), importing.lock:
            self._found = GenaiPrices()

    @property
    def current(self) -> Tariff:
        """The table to ask now."""
        return self._found
