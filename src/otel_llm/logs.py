"""What this distribution says about itself: the logger ``otel_llm``, and a log file of its own that rotates.

Storey of `kind`; does file I/O on whatever thread logs. What is said goes to the application's logging and, where
``log.file`` is set, to that file. Several processes may share the file: a line is one append, so none waits for
another; only the turn of the file takes a lock, and who does not get it at once leaves the turn to whoever has it.
"""

import fcntl
import logging
import os
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from otel_llm.boundary import logger
from otel_llm.quantity import Size
from otel_llm.redaction import scrub

REPEATS: Final = 10
"""How often the same message is said within `PERIOD`; what is more is counted."""

PERIOD: Final = 60.0
"""[s]"""

LONGEST: Final = 2_000
"""[characters] of one message."""

_MESSAGES: Final = 512
"""Different messages that are remembered for their repeats."""

_RETRY: Final = 10.0
"""[s] How long a file that could not be written is left alone."""

_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(message)s"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``log`` section: where this distribution says what troubles it.

    Attributes:
        file: Path of a log file of our own; without one, messages go to the application's logging alone.
        level: The least severe level that is logged.
        max_size: At what size the file is turned [byte].
        max_files: How many turned files are kept, the newest as ``FILE.1``.
    """

    file: str | None = None
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "WARNING"
    max_size: Size = Size(10_000_000, "10MB")
    max_files: int = 5


def set_up(config: Config) -> None:
    """Have the logger ``otel_llm`` speak as ``config`` says; may be called again with another one. Opens no file."""
    logger.setLevel(config.level)
    logger.addFilter(moderation)
    for handler in [known for known in logger.handlers if isinstance(known, RotatingFile)]:
        logger.removeHandler(handler)
        handler.close()
    if config.file is not None:
        logger.addHandler(RotatingFile(Path(config.file).expanduser(), config.max_size, config.max_files))


class Moderation(logging.Filter):
    """Lets a message pass `REPEATS` times within `PERIOD`, each without keys, on one line and of bounded length.

    What was left out is told with the next one that passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said: OrderedDict[tuple[int, str], tuple[float, int]] = OrderedDict()
        os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()  # whoever held the old one is not in this process

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is said; makes it fit to be."""
        try:
            message = _message(record)
            left_out = self._ask((record.levelno, message))
        except Exception:  # noqa: BLE001 - a message that cannot be made says nothing
            return False
        if left_out is None:
            return False
        if left_out:
            message += f" ({left_out} more like it were left out)"
        record.msg, record.args, record.exc_info, record.exc_text, record.stack_info = message, None, None, None, None
        return True

    def drain(self) -> list[tuple[str, int]]:
        """Messages that were left out and not told of yet, each with how often; tells of each once."""
        with self._lock:
            waiting = [(key[1], times - REPEATS) for key, (_, times) in self._said.items() if times > REPEATS]
            self._said.clear()
        return waiting

    def _ask(self, key: tuple[int, str]) -> int | None:
        """How many like ``key`` were left out before it, or ``None`` where it is to be left out too."""
        now = time.monotonic()
        with self._lock:
            since, times = self._said.pop(key, (now, 0))
            left_out = 0
            if now - since >= PERIOD:
                since, left_out, times = now, max(0, times - REPEATS), 0
            self._said[key] = (since, times + 1)
            if len(self._said) > _MESSAGES:
                self._said.popitem(last=False)
        return left_out if times < REPEATS else None


moderation: Final = Moderation()
"""Stands before all that this distribution says."""


def _message(record: logging.LogRecord) -> str:
    """What ``record`` says, on one line; of an exception its type alone, for its text may hold what the user sent."""
    message = record.getMessage()
    error = record.exc_info[0] if record.exc_info else None
    if error is not None:
        message += f" ({error.__name__})"
    return scrub(message.replace("\r", " ").replace("\n", " | "), LONGEST)


def _encoded(line: str) -> bytes:
    """``line`` as it stands in a file: one line, whatever it holds."""
    return line.replace("\r", " ").replace("\n", " | ").encode("utf-8", "replace") + b"\n"


class RotatingFile(logging.Handler):
    """Appends whole lines to ``path`` and turns it at ``max_size`` [byte], keeping ``max_files`` turned ones.

    A file that cannot be written is told once to the application's logging, then tried again now and then; how many
    lines were lost meanwhile stands in the file once it can be written.
    """

    def __init__(self, path: Path, max_size: int, max_files: int) -> None:
        super().__init__()
        self.path = path
        self.setFormatter(logging.Formatter(_FORMAT))
        self._max_size = max_size
        self._max_files = max_files
        self._file: int | None = None
        self._torn = False
        self._lost = 0
        self._retry_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``; never raises."""
        try:
            if self._lost and time.monotonic() < self._retry_at:
                self._lost += 1
                return
            self._append(_encoded(self.format(record)))
        except OSError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - the host's call path
            self._lost += 1

    def close(self) -> None:
        """Say what was left out, and let go of the file; a later message opens it again."""
        with suppress(Exception):
            for message, left_out in moderation.drain():
                self._append(self._line(f"{message} ({left_out} more like it were left out)"))
        self._release()
        super().close()

    def _line(self, text: str) -> bytes:
        return _encoded(self.format(logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (), None)))

    def _append(self, line: bytes) -> None:
        file = self._current()
        if os.fstat(file).st_size + len(line) > self._max_size and self._turn():
            file = self._current()
        if self._lost:
            line = self._line(f"{self._lost} messages could not be written here") + line
        if self._torn:
            line = b"\n" + line  # what was left of a line when the disk was full stands alone
        while line:
            written = os.write(file, line)
            line = line[written:]
            self._torn = bool(line)
        self._lost = 0

    def _current(self) -> int:
        """The open file that ``path`` names now: another process may have turned it, anybody removed it."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                named, held = self.path.stat(), os.fstat(self._file)
                if (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev):
                    return self._file
            self._release()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._file = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, flags, 0o600)
        return self._file

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)

    def _turn(self) -> bool:
        """Move the full file out of the way; ``False`` where another process is at it or it cannot be moved."""
        try:
            lock = os.open(self._beside("lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a child that is forked now does not inherit it
            # Whoever had the lock before may have turned it already: what the path names now is what counts.
            if self.path.stat().st_size * 2 > self._max_size:
                self._shift()
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(lock)

    def _shift(self) -> None:
        """``FILE.4`` becomes ``FILE.5``, ..., ``FILE`` becomes ``FILE.1``."""
        if not self._max_files:
            self.path.unlink()
            return
        for number in range(self._max_files - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._beside(number).replace(self._beside(number + 1))
        self.path.replace(self._beside(1))

    def _beside(self, suffix: object) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def _fail(self, error: OSError) -> None:
        """Count a lost line; tell of the first one, past this handler."""
        self._release()
        self._lost += 1
        self._retry_at = time.monotonic() + _RETRY
        if self._lost == 1 and logger.parent is not None:
            text = "log.file: expected a file that can be written, found %s (%s); the application is not affected"
            found = (str(self.path), error.strerror or type(error).__name__)
            record = logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, found, None)
            with suppress(Exception):
                logger.parent.handle(record)
