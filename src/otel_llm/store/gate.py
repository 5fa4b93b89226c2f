"""Room store: held while a thread is inside SQLite, whose locks a fork would copy shut into the child.

A child that is forked in the midst of a write finds the database locked as long as it lives: SQLite remembers in the
process that the connection it inherited writes. So a fork rather waits, as long as for an import.
"""

from typing import Final

from otel_llm.gate import Gate

gate: Final = Gate(1.0)
