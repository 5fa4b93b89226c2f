"""Room store: held while a thread is inside SQLite, whose locks a fork would copy shut into the child."""

from typing import Final

from otel_llm.gate import Gate

gate: Final = Gate(0.25)
