"""Room probe: every instrument that it reads, with the condition under which it is absent. Data only.

`observation` registers them, ``otel-llm explain`` and the reference page tell them.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["gauge", "counter", "updowncounter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One metric of this room.

    Attributes:
        kind: ``gauge``; ``counter`` of what only grows; ``updowncounter`` of what can be summed over series.
        unit: In UCUM, as OpenTelemetry writes it.
        meaning: What it says, in a sentence or two.
        formula: How it is worked out, ``None`` where it is simply read.
        source: Who says the value.
        absent: When there is no value; ``None`` when there always is one.
        words: Short words that people use for it.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    formula: str | None = None
    absent: str | None = None
    words: tuple[str, ...] = ()


HOST: Final[tuple[Instrument, ...]] = ()
"""Of the machine or container: reported once per host."""

PROCESS: Final[tuple[Instrument, ...]] = ()
"""Of this process: reported by each."""

GPU: Final[tuple[Instrument, ...]] = ()
"""Of the cards: reported once per host."""

INSTRUMENTS: Final = HOST + PROCESS + GPU
"""All of them."""
