"""Room store: what can be wrong with a store or a question to it."""

import sqlite3
from collections.abc import Sequence


class StoreError(Exception):
    """Something is wrong with the store or with what was asked of it.

    Attributes:
        where: The file or argument.
        expected: What should have been there.
        found: What was.
        hint: What to do.
    """

    def __init__(self, where: str, *, expected: str, found: str, hint: str = "") -> None:
        super().__init__(where, expected, found, hint)
        self.where = where
        self.expected = expected
        self.found = found
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: expected {self.expected}, found {self.found}"
        return f"{text} ({self.hint})" if self.hint else text


class NotFoundError(StoreError):
    """There is no such file or span."""


class InUseError(StoreError):
    """Somebody else does this with the store now."""


class AmbiguousError(StoreError):
    """Several spans fit.

    Attributes:
        candidates: Their span ids.
    """

    def __init__(self, where: str, *, expected: str, found: str, hint: str, candidates: Sequence[str]) -> None:
        super().__init__(where, expected=expected, found=found, hint=hint)
        self.candidates = tuple(candidates)


def is_about_file(error: Exception) -> bool:
    """Whether SQLite speaks of the file, not of a value that no column can hold."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.ProgrammingError, sqlite3.DataError)
    )
