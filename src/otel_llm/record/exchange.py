"""What passes between the tap and a provider's format: a request, what it asks, what the answer said. Pure.

A format (one file in `providers`) knows one family of JSON. It is handed values and returns values; sockets, clocks
and spans are the recording's business.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from otel_llm.calls import Value
from otel_llm.redaction import encodable

Body = TypeVar("Body", bound=msgspec.Struct)

LONGEST: Final = 1024
"""Most characters of one text that a body states: names, ids and reasons are short."""

MOST: Final = 64
"""Most texts of one list that a body states."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The head and body of a request that may be an inference.

    Attributes:
        host: Lower case, without port.
        port: ``None`` for the scheme's own.
        path: Without query.
        headers: Names in lower case.
        body: ``None`` when the client streams it and it cannot be read without taking it away.
        certain: The user's settings name this path: it is an inference whatever the body looks like.
        resent: The HTTP library itself sends it again, right after an attempt that did not do.
    """

    host: str
    port: int | None
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    certain: bool = False
    resent: bool = False


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says before any answer.

    Attributes:
        request: Fields of `otel_llm.calls.Call` that the body states, e.g. ``{"temperature": 0.2}``.
        array: A JSON array in the answer is a stream of its elements, not one value.
        body: The request in OpenAI's format, where it is no bytes: its content is taken from it.
    """

    operation: str
    provider: str
    model: str | None = None
    request: Mapping[str, Value] = msgspec.field(default_factory=dict)
    array: bool = False
    body: Mapping[str, Any] | None = None


class Facts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the messages of one answer said so far; a format fills it in.

    Attributes:
        provider: Who serves the model, where the answer tells it better than the host did.
        finish: Finish reason of each choice, by index.
        promised: The format says when its stream ends (and so a stream that ends without was cut).
        done: The format's own end marker was seen.
        failed: The answer reported an error inside a successful HTTP exchange.
        service_tier: How the call was served, where not in the provider's standard way.
        server_queue_time: The server's own clock [s], like the two that follow.
    """

    provider: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish: dict[int, str] = msgspec.field(default_factory=dict)
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    service_tier: str | None = None
    server_queue_time: float | None = None
    server_prefill_time: float | None = None
    server_decode_time: float | None = None
    promised: bool = False
    done: bool = False
    failed: bool = False
    error_code: str | None = None
    error_message: str | None = None

    def tell(self, told: dict[str, Any]) -> dict[str, Any]:  # noqa: C901 - name by name: a third of what a loop takes
        """Add what is known of the call to ``told``, fields of a `otel_llm.calls.Call`."""
        if self.response_model is not None:
            told["response_model"] = self.response_model
        if self.response_id is not None:
            told["response_id"] = self.response_id
        if self.input_tokens is not None:
            told["input_tokens"] = self.input_tokens
        if self.output_tokens is not None:
            told["output_tokens"] = self.output_tokens
        if self.cache_read_input_tokens is not None:
            told["cache_read_input_tokens"] = self.cache_read_input_tokens
        if self.cache_creation_input_tokens is not None:
            told["cache_creation_input_tokens"] = self.cache_creation_input_tokens
        if self.reasoning_output_tokens is not None:
            told["reasoning_output_tokens"] = self.reasoning_output_tokens
        if self.service_tier is not None:
            told["service_tier"] = self.service_tier
        if self.server_queue_time is not None:
            told["server_queue_time"] = self.server_queue_time
        if self.server_prefill_time is not None:
            told["server_prefill_time"] = self.server_prefill_time
        if self.server_decode_time is not None:
            told["server_decode_time"] = self.server_decode_time
        if self.error_code is not None:
            told["error_code"] = self.error_code
        return told


class Format(Protocol):
    """One family of request and answer bodies. A module of `providers` is one.

    Others register theirs, a module or any object with these three, by an entry point of the group
    ``otel_llm.provider``. Where it also has ``asked(body)`` and ``heard(message, answer)``, as the modules of `content`
    have, the content of its calls is recorded when it is asked for. With ``read_whole(body, facts)`` it may read a body
    that is one JSON value by itself, from its bytes; where that gives ``False`` it has left ``facts`` alone.
    """

    @property
    def PATHS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """Path endings that this format answers for; the only thing looked at for other traffic."""
        ...

    def open(self, request: Request, hosts: Mapping[str, str]) -> Opening | None:
        """What ``request`` asks, or ``None`` when it is no inference of this format.

        Args:
            request: Its path ends with one of `PATHS`.
            hosts: The user's provider names by host or ``host:port``.
        """
        ...

    def read(self, message: Mapping[str, Any], facts: Facts) -> bool:
        """Add what one message says to ``facts``; whether it carries output.

        A message is a whole JSON body, or one event of a stream. Values may be of any type: the body is not ours.
        """
        ...


def parse(raw: bytes | None, kind: type[Body]) -> Body:
    """The fields of ``kind`` that the JSON object ``raw`` states; all at their defaults where it is none."""
    try:
        return msgspec.json.decode(raw, type=kind) if raw else kind()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return kind()


def stated(**values: Value | None) -> dict[str, Value]:
    """Those of ``values`` that are known."""
    return {name: value for name, value in values.items() if value is not None}


def integer(value: object) -> int | None:
    """``value`` as a whole number of either sign that fits 64 bits, such as a seed."""
    return value if type(value) is int and abs(value) < 1 << 63 else None


def flag(value: object) -> bool | None:
    """``value`` if it is true or false."""
    return value if isinstance(value, bool) else None


def texts(value: object) -> tuple[str, ...] | None:
    """The strings in a JSON array, or in place of one, `MOST` of them; ``None`` when there is none."""
    listed = [value] if isinstance(value, str) else items(value)[:MOST]
    return tuple(encodable(item[:LONGEST]) for item in listed if isinstance(item, str)) or None


def text(value: object) -> str | None:
    """``value`` if it is a string with something in it, encodable and cut to `LONGEST`."""
    return encodable(value[:LONGEST]) if isinstance(value, str) and value else None


def tier(value: object) -> str | None:
    """A service tier that is not the provider's standard one: those have prices of their own."""
    said = text(value)
    return None if said is None or said.lower() in _STANDARD else said.lower()


_STANDARD: Final = frozenset({"auto", "default", "standard", "on_demand", "standard_only"})


def count(value: object) -> int | None:
    """``value`` as a number of things, or ``None`` when it is none."""
    # Up to what JSON keeps exact; a sum of a few still fits 64 bits.
    if type(value) is int:
        return value if 0 <= value < 1 << 53 else None
    return int(value) if isinstance(value, float) and value.is_integer() and 0 <= value < 1 << 53 else None


def first_count(holder: Mapping[str, Any], *names: str) -> int | None:
    """The first of ``names`` under which ``holder`` has a count."""
    for name in names:
        value = holder.get(name)
        if type(value) is int and 0 <= value < 1 << 53:
            return value
        if value is not None and (found := count(value)) is not None:
            return found
    return None


def number(value: object) -> float | None:
    """``value`` as a finite float, or ``None`` when it is none."""
    if type(value) is float:
        return value if abs(value) < float("inf") else None
    return float(value) if type(value) is int and abs(value) < 1 << 53 else None


def seconds(value: object, scale: float = 1.0) -> float | None:
    """A duration ``value`` in units of ``scale`` seconds, as seconds [s]."""
    amount = number(value)
    return amount * scale if amount is not None and amount >= 0 else None


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def first(*values: int | None) -> int | None:
    """The first value that is said; a zero is said."""
    return next((value for value in values if value is not None), None)
