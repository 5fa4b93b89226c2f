"""What tokens cost: rates, the price of a model, and a table of them. Pure; `tariff` finds tables, `cost` asks them.

Rates are per million tokens, as providers print them. A price may have steps: beyond so many tokens of input every
token of the call is charged at the step's rates (Anthropic, Google and OpenAI alike). It may have tiers: rates for
calls that the provider serves in another way, such as ``batch``, ``flex`` or ``priority``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from otel_llm.calls import Call

_MILLION: Final = 1e6

Stay = Callable[[float], float]
"""Ends a call's stay at its server, at a moment [s]; gives its share of the server's time [s]."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a million tokens cost; ``None`` where the provider prints no such rate.

    Attributes:
        input: Of the prompt, but for what a cache held.
        output: Of the answer.
        cache_read: Read from the prompt cache; else as ``input``.
        cache_write: Written into the prompt cache; else as ``input``.
        reasoning: Of reasoning, which is part of the answer; else as ``output``.
    """

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None

    def of(self, call: Call) -> float | None:
        """What ``call`` costs at these rates; ``None`` where its tokens, or a rate that they need, are not known."""
        given, made = call.input_tokens, call.output_tokens
        if given is None or self.input is None:
            return None
        read, written = call.cache_read_input_tokens, call.cache_creation_input_tokens
        total = max(0, given - (read or 0) - (written or 0)) * self.input
        if read:
            total += read * (self.input if self.cache_read is None else self.cache_read)
        if written:
            total += written * (self.input if self.cache_write is None else self.cache_write)
        if made is None or self.output is None:
            # An embedding has no output, and a model that has some no price without its count.
            return total / _MILLION if not made and self.output is None else None
        total += made * self.output
        if self.reasoning is not None:
            total += min(call.reasoning_output_tokens or 0, made) * (self.reasoning - self.output)
        return total / _MILLION


class Step(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """Rates of calls whose input is longer.

    Attributes:
        tokens: Than this [{token}].
    """

    tokens: int


class Plan(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """Rates, and those of calls with long inputs.

    Attributes:
        above: Steps, the shortest input first.
    """

    above: tuple[Step, ...] = ()

    def of(self, call: Call) -> float | None:
        """What ``call`` costs; the step that its input reaches decides about all of its tokens."""
        if not self.above:
            return Rates.of(self, call)
        reached: Step | None = None
        for step in self.above:
            if (call.input_tokens or 0) > step.tokens:
                reached = step
        return Rates.of(self, call) if reached is None else reached.of(call)


class Price(Plan, frozen=True, kw_only=True, omit_defaults=True):
    """What a model costs.

    Attributes:
        tiers: Rates by service tier; what is served in the standard way has none.
    """

    tiers: Mapping[str, Plan] = msgspec.field(default_factory=dict)

    def of(self, call: Call) -> float | None:
        """What ``call`` costs; ``None`` where its service tier has no price here: the standard one would be wrong."""
        if call.service_tier is None:
            return Plan.of(self, call)
        plan = self.tiers.get(call.service_tier)
        return None if plan is None else plan.of(call)


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices by provider and model.

    Attributes:
        date: Of which day they are, ISO 8601.
        source: Who collected them.
        currency: ISO 4217.
        providers: Of each its models and their `Price`, as JSON: a process calls one provider or two.
        same: Providers that charge as another one does, but for what they list themselves.
        asked: Of those that were asked for, what ``providers`` says of each model, as JSON: a process calls a few.
    """

    date: str
    source: str
    providers: Mapping[str, msgspec.Raw]
    asked: dict[str, Mapping[str, msgspec.Raw]] = msgspec.field(default_factory=dict)
    same: Mapping[str, str] = msgspec.field(default_factory=dict)
    currency: str = "USD"

    @property
    def name(self) -> str:
        """As ``otel_llm.cost.source`` says it."""
        return f"otel-llm {self.date}"

    def find(self, provider: str, model: str) -> Price | None:
        """The price of ``model`` where ``provider`` serves it."""
        for known in (self._models(provider), self._models(self.same.get(provider, ""))):
            for name in names(model) if known else ():
                if name in known:
                    return msgspec.json.decode(known[name], type=Price)
        return None

    def _models(self, provider: str) -> Mapping[str, msgspec.Raw]:
        """The prices of ``provider``; none where it is not listed."""
        if provider not in self.providers:
            return {}
        if provider not in self.asked:
            self.asked[provider] = msgspec.json.decode(self.providers[provider], type=dict[str, msgspec.Raw])
        return self.asked[provider]


def names(model: str) -> tuple[str, ...]:
    """What ``model`` may be called in a table: its name, without Bedrock's frame, without its date."""
    name = model.lower().removeprefix("models/")
    bare = _VERSION.sub("", _REGION.sub("", name)) if _BEDROCK.match(name) else name
    return tuple(dict.fromkeys((name, bare, _DATE.sub("", bare))))


_BEDROCK: Final = re.compile(r"(?:us|eu|apac|global|jp|au)\.\w+\.|\w+\.[\w-]+-v\d+(?::\d+)?$")
_REGION: Final = re.compile(r"^(?:(?:us|eu|apac|global|jp|au)\.)?\w+\.")
_VERSION: Final = re.compile(r"-v\d+(?::\d+)?$")
_DATE: Final = re.compile(r"[-@](?:20\d{2}-?[01]\d-?[0-3]\d)$")
