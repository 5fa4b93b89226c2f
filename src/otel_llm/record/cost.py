"""What a finished call cost: by its tokens and a price, or by its share of the time of a server of the user's own.

Asked once a call, on the host's path: a look into a dict, and some arithmetic. Only tokens that the provider reported
are priced; a call whose price is not known has no cost and is counted, so that the gap shows.
"""

import os
import threading
from collections.abc import Mapping
from typing import Final

import msgspec

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.record.price import Price, Stay
from otel_llm.record.settings import CostConfig
from otel_llm.record.tariff import Best, Override, Tariff, override

OWN_SERVERS: Final = frozenset({"llama_cpp", "lm_studio", "ollama", "sglang", "tgi", "transformers", "vllm"})
"""Providers that are programs, not companies: nobody sends a bill for their tokens."""

_MOST: Final = 2000
"""Models, and servers, that are remembered."""

_HOUR: Final = 3600.0
_OTHERS: Final = ("other", "other")

_unpriced: dict[tuple[str, str], int] = {}


def unpriced() -> Mapping[tuple[str, str], int]:
    """How many calls had tokens but no price, by provider and model."""
    return dict(_unpriced)


class Occupancy:
    """How a server's time is shared among the calls that it works on.

    At each moment the ``n`` calls under way have an ``n``-th of it each, so that the shares of all calls add up to the
    time in which the server had any. Only calls of this process are seen.
    """

    __slots__ = ("_at", "_calls", "_lock", "_share")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._at = 0.0
        self._share = 0.0

    def begin(self, at: float) -> float:
        """A call begins ``at`` [s]; gives what `end` wants."""
        with self._lock:
            self._advance(at)
            self._calls += 1
            return self._share

    def end(self, begun: float, at: float) -> float:
        """The call's share of the server's time [s]."""
        with self._lock:
            self._advance(at)
            self._calls = max(0, self._calls - 1)
            return max(0.0, self._share - begun)

    def _advance(self, at: float) -> None:
        if at > self._at:
            if self._calls:
                self._share += (at - self._at) / self._calls
            self._at = at


class Costs:
    """Prices of this process's calls."""

    OWN_SERVERS: Final = OWN_SERVERS

    def __init__(self, config: CostConfig, *, best: Best | None = None) -> None:
        self.override: Override = override(config.prices)
        self._best = best or Best()
        self._known: dict[tuple[str | None, ...], tuple[Price | None, str, str]] = {}
        self._asked: Tariff | None = None
        self._pid = os.getpid()
        self._servers: dict[tuple[str | None, int | None], Occupancy] = {}

    def stay(self, host: str | None, port: int | None, at: float) -> Stay | None:
        """A call to a server begins ``at`` [s]; ``None`` where its time has no price."""
        if not self.override.gpu_hour:
            return None
        if self.override.hour(host, port) is None and self.override.any_hour is None:
            return None
        if self._pid != os.getpid():  # a forked child: what was under way is its parent's
            self._pid, self._servers = os.getpid(), {}
        server = self._servers.get((host, port))
        if server is None:
            if len(self._servers) >= _MOST:
                return None
            server = self._servers.setdefault((host, port), Occupancy())
        begun = server.begin(at)
        return lambda end: server.end(begun, end)

    def price(self, call: Call, seconds: float | None = None, *, counted: bool = True) -> Call:
        """``call`` with what it cost, where that is known.

        The user's prices go first, then the time of a server that has one, then the tables.

        Args:
            call: Finished.
            seconds: Its share of its server's time [s]; ``None`` where that has no price.
            counted: Whether a price that is not known is counted: once a call.
        """
        if seconds is not None and not self._names(call):
            hour = self.override.hour(call.server_address, call.server_port)
            if hour is None and call.provider in OWN_SERVERS:
                hour = self.override.any_hour
            if hour is not None:
                amount = seconds * hour / _HOUR
                return _priced(call, amount, self.override.currency, semconv.COST_SOURCE_GPU_HOUR)
        if call.usage_source != semconv.USAGE_SOURCE_PROVIDER or call.provider is None:
            return call
        return self._by_tokens(call, counted=counted)

    def _names(self, call: Call) -> bool:
        """Whether the user's file prices the call's tokens."""
        return bool(self.override.models) and self._find(call, self.override) is not None

    def _by_tokens(self, call: Call, *, counted: bool) -> Call:
        table = self._best.current
        if table is not self._asked:
            self._asked, self._known = table, {}
        key = (call.provider, call.response_model, call.request_model)
        known = self._known.get(key)
        if known is None:
            known = self._look_up(call, table)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = known
        price, currency, source = known
        amount = None if price is None else price.of(call)
        if amount is None:
            if counted and call.provider not in OWN_SERVERS:
                _miss(call)
            return call
        return _priced(call, amount, currency, source)

    def _look_up(self, call: Call, table: Tariff) -> tuple[Price | None, str, str]:
        price = self._find(call, self.override)
        if price is not None:
            return price, self.override.currency, semconv.COST_SOURCE_OVERRIDE
        return self._find(call, table), "USD", table.name

    @staticmethod
    def _find(call: Call, tariff: Tariff) -> Price | None:
        """The price of the model that answered, else of the one asked for, which may be a user's own name for it."""
        for model in (call.response_model, call.request_model):
            price = tariff.find(call.provider or "", model) if model else None
            if price is not None:
                return price
        return None


def _priced(call: Call, amount: float, currency: str, source: str) -> Call:
    return msgspec.structs.replace(call, cost=amount, cost_currency=currency, cost_source=source)


def _miss(call: Call) -> None:
    """Count a call that has tokens and no price."""
    key = (call.provider or "", call.response_model or call.request_model or "")
    if key not in _unpriced and len(_unpriced) >= _MOST:
        key = _OTHERS
    _unpriced[key] = _unpriced.get(key, 0) + 1
