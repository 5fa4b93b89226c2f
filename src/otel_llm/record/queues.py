"""Queues of the application's own: how many wait, how long they waited, and which calls came of it.

A wait ends in the worker, often another thread or task than the one it began in; calls made there carry it, on the wire
and told by hand alike. Nothing here takes a lock: a ticket may be dropped by the garbage collector at any moment.
"""

import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, NamedTuple, Self

from otel_llm import boundary
from otel_llm.record import transport
from otel_llm.record.exchange import text

MAX_QUEUES: Final = 100
"""Most queues by name; what comes after them is one queue."""

OTHER: Final = "other"


class Waited(NamedTuple):
    """A wait that is over.

    Attributes:
        seconds: How long it was [s].
    """

    name: str
    seconds: float


class Queue:
    """One queue; made by `queue`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: dict[int, float] = {}
        """When each that waits began to, by a number of its own; one step of the interpreter adds or takes away."""

    @property
    def depth(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def wait(self) -> "Wait":
        """The waiting as a block, ``with`` or ``async with``; the next call of this thread or task carries it."""
        return Wait(self)

    def enqueue(self) -> "Ticket":
        """Begin to wait; the ticket goes with the work, and ``with ticket:`` in the worker ends the wait."""
        return Ticket(self)

    def begin(self) -> int:
        """One more waits; its number."""
        number = next(_numbers)
        self._waiting[number] = time.perf_counter()
        return number

    def end(self, number: int) -> Waited | None:
        """The one with ``number`` waits no more; ``None`` where it did not."""
        began = self._waiting.pop(number, None)
        if began is None:
            return None
        waited = Waited(self.name, time.perf_counter() - began)
        with boundary.guard("queue.metric"):
            transport.recorder().metrics.waited(*waited)
        return waited

    def drop(self, number: int) -> None:
        """Forget the one with ``number``, which waited for nothing. Safe in a finaliser."""
        self._waiting.pop(number, None)

    def forget(self) -> None:
        """Nobody waits: in a forked child, whose queue is another."""
        self._waiting = {}


class _Block(ABC):
    """``with`` and ``async with`` in one."""

    __slots__ = ()

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class Wait(_Block):
    """A wait that begins and ends in one place; made by `Queue.wait`.

    One that ends in an exception, a timeout say, was a wait too, but no call comes of it.
    """

    __slots__ = ("_number", "_queue")

    def __init__(self, waited_in: Queue) -> None:
        self._queue = waited_in
        self._number = -1

    def __enter__(self) -> Self:
        with boundary.guard("queue.begin"):
            self._number = self._queue.begin()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with boundary.guard("queue.end"):
            waited = self._queue.end(self._number)
            if waited is not None and error is None:
                _next.set([waited])


class Ticket(_Block):
    """A place in a queue; made by `Queue.enqueue`, and to be entered once the work begins, in whatever thread or task.

    One that nobody holds any more leaves the queue. Entered again, as by a worker that retries, it tells of the same
    wait.
    """

    __slots__ = ("__weakref__", "_number", "_queue", "_tokens", "_waited")

    def __init__(self, waits_in: Queue) -> None:
        self._queue = waits_in
        self._waited: Waited | None = None
        self._tokens: list[Token[Waited | None]] = []
        self._number = -1
        with boundary.guard("queue.begin"):
            self._number = waits_in.begin()

    @property
    def waited(self) -> float | None:
        """How long it waited [s]; ``None`` while it waits."""
        return self._waited.seconds if self._waited is not None else None

    def __enter__(self) -> Self:
        with boundary.guard("queue.end"):
            if self._waited is None:
                self._waited = self._queue.end(self._number)
            self._tokens.append(_inside.set(self._waited))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with boundary.guard("queue.leave"):
            if self._tokens:
                _leave(self._tokens.pop())

    def __del__(self) -> None:
        try:
            if self._waited is None:
                self._queue.drop(self._number)
        except Exception as fault:  # noqa: BLE001 - the boundary, cheaper than `guard`
            boundary.swallow("queue.drop", fault)


def _leave(token: Token[Waited | None]) -> None:
    try:
        _inside.reset(token)
    except ValueError:  # a cancelled coroutine is closed from another context
        _inside.set(None)


_numbers: Final = itertools.count()
_queues: Final[dict[str, Queue]] = {}

_inside: ContextVar[Waited | None] = ContextVar("otel_llm_ticket", default=None)
"""The ticket around this code: every call carries its wait."""

_next: ContextVar[list[Waited] | None] = ContextVar("otel_llm_waited", default=None)
"""A wait that the next call carries, and that one alone."""


def queue(name: str) -> Queue:
    """The queue named ``name``, the same for the same name.

    Args:
        name: Few names, not one for each user or job: after `MAX_QUEUES`, all others share the queue ``other``.
    """
    found = _queues.get(name)
    if found is None:
        with boundary.guard("queue.name"):
            found = _named(text(str(name)) or OTHER)
    return found or Queue(OTHER)


def _named(name: str) -> Queue:
    if name not in _queues and len(_queues) >= MAX_QUEUES:
        boundary.logger.warning(
            "queue: expected at most %d names, found one more; it and all others count as %r", MAX_QUEUES, OTHER
        )
        name = OTHER
    return _queues.setdefault(name, Queue(name))


def waited() -> Waited | None:
    """The wait that a call beginning here carries."""
    inside = _inside.get()
    if inside is not None:
        return inside
    held = _next.get()
    try:
        return held.pop() if held else None
    except IndexError:  # another thread's call had it
        return None


def depths() -> Iterator[tuple[str, int]]:
    """Each queue's name and depth."""
    return ((one.name, one.depth) for one in list(_queues.values()))


def _forget_all() -> None:
    for one in _queues.values():
        one.forget()


os.register_at_fork(after_in_child=_forget_all)
