"""Room store: brings a file's schema up to date, all steps in one transaction, and keeps a copy of how it was.

Runs under the file's lock, inside `connection`. A process that is killed at any moment leaves the old schema or the
new one. The copy stands beside the file as ``NAME.schema-N``; there is one, and the next migration replaces it. It is
left out where the disk has no room for it: a migration only adds, and a full disk must not keep calls from being
recorded.
"""

import os
import sqlite3
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

from otel_llm import boundary

_SCHEMA: Final = "otel_llm.store.schema"
_COPY: Final = ".schema-"
_PART: Final = ".part"


class NewerSchemaError(Exception):
    """The file was written by a later version of this software and is left alone."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Set the file's properties and bring its schema up to date.

    Raises:
        NewerSchemaError: A later version wrote it.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = schema_steps()
    if version > len(steps):
        message = f"{path}: expected schema {len(steps)} or older, found {version}"
        raise NewerSchemaError(message)
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first page is written
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    if version < len(steps):
        if version:
            _copy(connection, path, version)
        script = "\n".join(steps[version:])
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {len(steps)};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def copies(path: Path) -> list[Path]:
    """Copies of older schemas that stand beside the file; what a killed copier left is none."""
    return sorted(found for found in path.parent.glob(f"{path.name}{_COPY}*") if found.name[-1:].isdigit())


def schema_steps() -> list[str]:
    """The schema's steps in order; as many as the newest ``user_version``."""
    folder = resources.files(_SCHEMA)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [folder.joinpath(name).read_text("utf-8") for name in names]


def _copy(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the file as it is; where that cannot be, say so and go on."""
    target = path.with_name(f"{path.name}{_COPY}{version}")
    part = target.with_name(target.name + _PART)
    try:
        for left in path.parent.glob(f"{path.name}{_COPY}*"):
            if left != target:
                left.unlink()
        _ask_room(path)
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection.execute("VACUUM INTO ?", (str(part),))
        part.rename(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        boundary.logger.warning(
            "the store %s is brought up to date without a copy of schema %s: %s", path, version, error
        )


def _ask_room(path: Path) -> None:
    """Look whether the disk has room for a copy, and as much again.

    Raises:
        OSError: It has not.
    """
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < 2 * path.stat().st_size:
        message = "the disk has no room for it"
        raise OSError(message)
