"""Room store: the database as the rest of the house sees it. Nothing is opened or started before the first item."""

import atexit
import contextlib
import os
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import boundary, folders, semconv
from otel_llm.quantity import Duration, Size
from otel_llm.store.gate import gate
from otel_llm.store.marks import LOGS, METRICS, SPAN, Timer

if TYPE_CHECKING:
    from otel_llm.store.writer import Writer

_EXIT_BUDGET: Final = 1.0
_shared: Final[dict[Path, "Database"]] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store's part of the configuration.

    Attributes:
        enabled: Whether spans, metrics and logs are kept at all.
        path: The database; ``None`` is the user's data folder.
        max_size: Quota of the database with its write-ahead log [byte].
        max_age: What is older is deleted [s].
    """

    enabled: bool = True
    path: str | None = None
    max_size: Size = Size.parse("256MB")
    max_age: Duration = Duration.parse("14d")


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of everything that was submitted in this process.

    Attributes:
        seen: Items submitted.
        stored: Rows that are on disk.
        dropped: Items lost, by reason.
        queue_depth: Items that wait.
        last_error: Why writing failed last; ``None`` when it never did.
        spans_seen: Of the items submitted, spans.
        spans_stored: Of the rows, spans.
        spans_dropped: Of the items lost, spans.
    """

    seen: int = 0
    stored: int = 0
    dropped: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])
    queue_depth: int = 0
    last_error: str | None = None
    spans_seen: int = 0
    spans_stored: int = 0
    spans_dropped: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])


class Database:
    """Keeps spans, log records and metrics in one SQLite file.

    The ``submit_...`` methods never wait and never raise. Each process has a queue and a thread of its own: after a
    fork the child starts afresh and leaves what it inherited untouched.

    Args:
        path: The file; made with its folder at the first write.
        config: Quotas; the path in it is not looked at.
    """

    def __init__(self, path: Path, config: Config | None = None) -> None:
        self.path = path
        self.config = config or Config()
        self._timers: list[Timer] = []
        self._writers: dict[int, Writer] = {}
        self._beginnings: list[Callable[[], object]] = []
        self._endings: list[Callable[[], object]] = []

    def submit_span(self, span: ReadableSpan) -> bool:
        """Queue a finished span; ``False`` when it was refused (and counted)."""
        try:
            return self._writer().submit(SPAN, span)
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("store.submit", error)
            return False

    def submit_logs(self, records: Sequence[Any]) -> bool:
        """Queue log records (`opentelemetry.sdk._logs.ReadableLogRecord`); ``False`` when they were refused."""
        with boundary.guard("store.submit"):
            return self._writer().submit(LOGS, records)
        return False

    def submit_metrics(self, metrics: Any) -> bool:
        """Queue what a reader collected (`opentelemetry.sdk.metrics.export.MetricsData`)."""
        with boundary.guard("store.submit"):
            return self._writer().submit(METRICS, metrics)
        return False

    def flush(self, timeout: float) -> bool:
        """Whether everything submitted before is on disk within ``timeout`` [s]. At once when it cannot be written."""
        with boundary.guard("store.flush"):
            writer = self._writers.get(os.getpid())
            return writer is None or writer.flush(timeout)
        return False

    def every(self, interval: float, function: Callable[[], object]) -> Callable[[], None]:
        """Run ``function`` on the writer's thread every ``interval`` [s], once that thread runs.

        Returns:
            A function that ends it.
        """
        timer = Timer(interval, function)
        self._timers.append(timer)

        def cancel() -> None:
            timer.cancelled = True
            with contextlib.suppress(ValueError):
                self._timers.remove(timer)

        return cancel

    def at_first(self, function: Callable[[], object]) -> None:
        """Call ``function`` at the first item of each process; it must not wait."""
        self._beginnings.append(function)
        if os.getpid() in self._writers:
            function()

    def at_last(self, function: Callable[[], object]) -> None:
        """Call ``function`` where a process leaves by a door that skips `atexit`, once all is on disk.

        Those are the doors of `multiprocessing`'s and Celery's workers; it must keep to some tenths of a second.
        """
        self._endings.append(function)

    def leave(self) -> None:
        """Go by such a door: flush, then what `at_last` was given."""
        self.flush(_EXIT_BUDGET)
        for end in self._endings if os.getpid() in self._writers else ():
            with boundary.guard("store.leave"):
                end()

    def close(self, timeout: float) -> bool:
        """Write what is queued, close the file, end the thread; ``False`` if ``timeout`` [s] came first.

        What is submitted later is refused.
        """
        with boundary.guard("store.close"):
            return self._writer().close(timeout)
        return False

    def stats(self) -> Stats:
        """What became of everything submitted in this process so far."""
        writer = self._writers.get(os.getpid())
        if writer is None:
            return Stats()
        return Stats(
            seen=sum(kind.value() for kind in writer.seen),
            stored=writer.stored,
            dropped=writer.dropped(),
            queue_depth=len(writer.queue),
            last_error=writer.last_error,
            spans_seen=writer.seen[SPAN].value(),
            spans_stored=writer.stored_spans,
            spans_dropped=writer.dropped_spans(),
        )

    def _writer(self) -> "Writer":
        """This process's writer. No lock, for one may be held across a fork: `dict.setdefault` is atomic."""
        pid = os.getpid()
        writer = self._writers.get(pid)
        return writer if writer is not None else self._new_writer(pid)

    def _new_writer(self, pid: int) -> "Writer":
        from otel_llm.store.writer import Writer  # noqa: PLC0415 - SQLite is for processes that have something to keep

        inherited_ones = [other for other in self._writers.values() if other.pid != pid]
        if inherited_ones:
            gate.renew()  # uWSGI forks without telling Python
        for inherited in inherited_ones:
            inherited.queue.clear()  # the parent writes them
            if inherited.connection is not None:
                leak(inherited.connection.sqlite)
        fresh = Writer(self.path, max_size=self.config.max_size, max_age=self.config.max_age, timers=self._timers)
        writer = self._writers.setdefault(pid, fresh)
        if writer is fresh:
            _flush_at_exit(self)
            for begin in self._beginnings:
                begin()
        return writer


def default_path() -> Path:
    """The database in the platform's folder for user data."""
    return folders.data() / "otel-llm.db"


def shared(path: Path | str | None = None, config: Config | None = None) -> Database:
    """The process's one database for a path; the first caller's configuration stands.

    Args:
        path: ``None``: the configuration's, else the environment's ``OTEL_LLM_STORE_PATH``, else `default_path`.
        config: Quotas.
    """
    chosen = path or (config and config.path) or os.environ.get(semconv.OTEL_LLM_STORE_PATH)
    resolved = Path(os.path.abspath(Path(chosen).expanduser())) if chosen else default_path()  # noqa: PTH100 - no I/O
    found = _shared.get(resolved)
    return found if found is not None else _shared.setdefault(resolved, Database(resolved, config))


def _flush_at_exit(database: Database) -> None:
    """Give what is queued a moment at exit; processes of `multiprocessing` and Celery leave by doors of their own."""
    reference = weakref.ref(database)

    def flush() -> None:
        if (alive := reference()) is not None:
            alive.flush(_EXIT_BUDGET)

    def leave(**_said: Any) -> None:
        if (alive := reference()) is not None:
            alive.leave()

    atexit.register(flush)
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        is_worker = sys.modules["multiprocessing.process"].parent_process() is not None
        multiprocessing.Finalize(None, leave if is_worker else flush, exitpriority=10)
    celery = sys.modules.get("celery.signals")
    if celery is not None:  # its pool ends a process by a signal, without any of Python's ways
        celery.worker_process_shutdown.connect(leave, weak=False)


def leak(connection: object) -> None:
    """Keep an inherited connection for ever: closing it in a child takes the parent's locks and log away."""
    import ctypes  # noqa: PLC0415 - only in a child that inherited one

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
