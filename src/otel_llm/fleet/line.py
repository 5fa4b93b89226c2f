"""Room fleet: the one thread that speaks to Redis, so that nobody else ever waits longer than a deadline.

A socket's time-out bounds one answer; names that do not resolve, redirects and peers that drip are bounded by this.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from otel_llm import supervisor
from otel_llm.fleet import client
from otel_llm.ledger import LedgerError
from otel_llm.suppression import suppress_instrumentation

WITHIN: Final = 0.9
"""Most time that one who asks waits [s]."""

_MOST: Final = 64
"""Jobs that may wait."""

_IDLE: Final = 60.0
"""Between two looks where nobody asks [s]."""

T = TypeVar("T")


@dataclass(slots=True)
class Job:
    """Something to ask Redis.

    Attributes:
        work: Is given the client.
        done: Set when it is answered or has failed.
        error: How it failed.
        off: Nobody waits for it any more.
    """

    work: Callable[[Any], Any]
    done: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: LedgerError | None = None
    off: bool = False


class Line:
    """Asks on a thread of its own, which begins with the first question.

    Args:
        url: Of the Redis.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._jobs: deque[Job] = deque()
        self._client: Any = None
        self._loop = supervisor.Loop("redis", self._work, end=self._hang_up, where="fleet.line")

    def ask(self, work: Callable[[Any], T], within: float = WITHIN) -> T:
        """What ``work`` makes of the client.

        Raises:
            LedgerError: It failed, or took longer than ``within`` [s].
        """
        job = self.post(work)
        if not job.done.wait(within):
            job.off = True
            message = f"no answer within {within:g} s"
            raise LedgerError(message)
        if job.error is not None:
            raise job.error
        answer: T = job.answer
        return answer

    def post(self, work: Callable[[Any], Any]) -> Job:
        """Have ``work`` done; its `Job` says how it went.

        Raises:
            LedgerError: Too much waits, or there can be no thread.
        """
        job = Job(work)
        if len(self._jobs) >= _MOST:
            message = "too much waits for an answer"
            raise LedgerError(message)
        self._jobs.append(job)
        if not self._loop.ensure():
            self._jobs.clear()
            message = "there can be no thread to ask it"
            raise LedgerError(message)
        self._loop.wake()
        return job

    def close(self, timeout: float = 1.0) -> None:
        """Ask nothing more, and hang up, within ``timeout`` [s]."""
        self._loop.stop(timeout)

    def _work(self, loop: supervisor.Loop) -> None:
        with suppress_instrumentation():
            while loop.goes_on:
                while self._jobs:
                    job = self._jobs.popleft()
                    if not job.off:
                        self._do(job)
                    job.done.set()
                loop.wait(_IDLE)

    def _do(self, job: Job) -> None:
        try:
            with client.told():
                if self._client is None:
                    self._client = client.connect(self._url)
                job.answer = job.work(self._client)
        except LedgerError as error:
            job.error = error
            self._hang_up()

    def _hang_up(self) -> None:
        """Begin with a new connection next time: what answered wrongly may be another server by now."""
        gone, self._client = self._client, None
        with contextlib.suppress(Exception):
            if gone is not None:
                gone.close()
