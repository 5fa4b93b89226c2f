"""The tap on HTTP libraries: the switch, and what the shells share.

A shell, one file in `shells`, patches a library and tells a `Recording` what passes by. Libraries are patched when they
are imported, before or after us, and never imported by us; their shell is imported with them. What the user gets stays
what it is: the same objects, types, bytes and exceptions.
"""

import gc
import os
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import wrapt

from otel_llm import boundary, supervisor
from otel_llm.record import peers
from otel_llm.record.settings import Config, CostConfig
from otel_llm.suppression import is_instrumentation_enabled

_SHELLS: Final[Mapping[str, str]] = {
    "httpx": "otel_llm.record.shells.httpx",
    "httpx2": "otel_llm.record.shells.httpx",
    "aiohttp": "otel_llm.record.shells.aiohttp",
    "urllib3": "otel_llm.record.shells.urllib3",
    "llama_cpp": "otel_llm.record.local.llama_cpp",
    "transformers.generation.utils": "otel_llm.record.local.transformers",
    "vllm.entrypoints.llm": "otel_llm.record.local.vllm",
    "xllamacpp": "otel_llm.record.local.xllamacpp",
}
"""The shell of each library that is covered, by the module that brings it: on the wire, then in this process."""

LIBRARIES: Final = ("httpx", "httpx2")
"""Covered libraries that a process seldom imports but to call models; the others are there for anything."""

_patched: dict[str, Any] = {}
"""The active recorder's maker and the patched modules; empty while not instrumented."""


def configure(config: Config, witness: Any = None, cost: CostConfig | None = None) -> None:
    """Set what `switch_on` uses where it is given nothing, as when another distribution loads it.

    Args:
        config: The user's settings.
        witness: A `recording.Witness`, told of each call's begin and end.
        cost: The user's settings of prices.
    """
    _patched["config"] = config
    _patched["cost"] = cost
    _patched["witness"] = witness


def switch_on(config: Config | None = None, tracer_provider: Any = None, meter_provider: Any = None) -> None:
    """Patch each library as soon as it is imported, and record the calls that it sends.

    Args:
        config: The user's settings; `configure`'s where there are none.
        tracer_provider: ``None`` for the global one.
        meter_provider: ``None`` for the global one.
    """
    settings: Config = config or _patched.get("config") or Config()
    if not settings.enabled:
        return
    _patched["tap"] = _Tap(settings, tracer_provider, meter_provider)
    with boundary.guard("record.peers"):
        peers.watch(tracer_provider)
    for library in _SHELLS:
        if library not in _patched:
            _patched[library] = None
            wrapt.register_post_import_hook(_patch, library)


def switch_off() -> None:
    """Record no more calls; what is patched lets them pass."""
    _patched.pop("tap", None)


def __getattr__(name: str) -> Any:
    """`WireInstrumentor`, as its entry point names it: what it derives from takes longer to load than all of this."""
    if name == "WireInstrumentor":
        return import_module("otel_llm.record.instrumentor").WireInstrumentor
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def _patch(module: Any) -> None:
    """Have an imported library patched, once; what is patched asks for the tap that is on at the time."""
    with boundary.guard("record.patch"):
        if _patched.get(module.__name__) is None:
            _patched[module.__name__] = module
            import_module(_SHELLS[module.__name__]).patch(module)


def end_all() -> None:
    """End every call that has not ended: the process exits, and nobody will read its answers any more."""
    reaper.drain()
    for tap in (_patched.get("tap"), _unswitched):
        recorder = tap.recorder if tap is not None else None
        for recording in list(recorder.open) if recorder is not None else ():
            with boundary.ending(recording):
                recording.close()


def tapped() -> tuple[str, ...]:
    """The libraries that are patched in this process."""
    return tuple(name for name in _SHELLS if _patched.get(name) is not None)


class _Tap:
    """Makes the recorder when the first request passes, so that nothing is built in a process that sends none."""

    def __init__(self, config: Config, tracer_provider: Any, meter_provider: Any) -> None:
        self._arguments = (config, tracer_provider, meter_provider)
        self.recorder: Any = None

    def recorder_for(self, path: str) -> Any:
        """The recorder, where a request to ``path`` may be an inference; else ``None``."""
        recorder = self.recorder or self.make()
        return recorder if path.endswith(recorder.registry.paths) else None

    def make(self) -> Any:
        """Make the recorder."""
        from otel_llm.record.recording import Recorder  # noqa: PLC0415 - only a process that sends requests pays

        self.recorder = Recorder(*self._arguments, witness=_patched.get("witness"), cost=_patched.get("cost"))
        return self.recorder


_unswitched: Final = _Tap(Config(), None, None)
"""What calls that are told by hand are recorded with while the tap is off."""


def recorder() -> Any:
    """The one recorder of this process: the tap's, and where that is off one of the global providers."""
    tap = _patched.get("tap") or _unswitched
    return tap.recorder or tap.make()


def is_on() -> bool:
    """Whether the tap is on."""
    return "tap" in _patched


def recorder_for(path: str) -> Any:
    """The recorder that is on, where a POST to ``path`` may be an inference; else ``None``."""
    tap = _patched.get("tap")
    if tap is None or (tap.recorder is None and not is_instrumentation_enabled()):
        return None  # nothing is made for an exporter's own requests
    return tap.recorder_for(path)


class Orphan:
    """Holds the recording of an answer, for as long as anybody holds the answer; its end ends the call too."""

    __slots__ = ("recording",)

    def __init__(self, recording: Any) -> None:
        self.recording = recording

    def __del__(self) -> None:
        # No span is ended here: a collector runs anywhere, also inside the locks that ending a span takes.
        try:
            if not self.recording.ended:
                reaper.take(self.recording)
        except Exception as fault:  # noqa: BLE001 - the boundary, cheaper than `guard`
            boundary.swallow("record.orphan", fault)


def ignore(_piece: bytes) -> None:
    """Take a piece and leave it."""


def fail(recording: Any, error: BaseException) -> None:
    """End a call that ``error`` ended; leave it to the reaper where the garbage collector is at work."""
    if reaper.collecting:
        reaper.take(recording)
    else:
        recording.fail(error)


def leave(recording: Any) -> None:
    """End a call whose answer was closed, in the same way."""
    if not recording.ended:
        fail(recording, GeneratorExit())


_LONGEST_WAIT: Final = 3600.0
"""[s] Nothing happens by itself: who puts an answer down wakes the thread."""


_CROWD: Final = 64
"""Answers that wait to be ended before callers help: 64 KiB each at most are held until then."""

_SHARE: Final = 4
"""How many a caller ends then: an answer may stand there twice, put down by its stream and by its holder."""


class _Reaper:
    """Ends the calls whose answers nobody holds any more, and measures those that ended, on a thread of its own.

    `take` may be called from a finaliser at any moment, for it takes no lock; nothing else of ours may.
    """

    def __init__(self) -> None:
        self._orphans: deque[Any] = deque()
        self._loop = supervisor.Loop("reaper", self._run, where="record.reaper")
        self._pid = 0
        self._collector = 0

    def attend(self) -> None:
        """Have the thread running in this process."""
        pid = os.getpid()
        if self._pid == pid and self._loop.is_running:
            if len(self._orphans) > _CROWD:  # who leaves answers faster than the thread can end them lends a hand
                for _ in range(_SHARE):
                    self._end_oldest()
            return
        if self._pid not in {0, pid}:
            self._orphans = deque()  # those of the process that forked are its own to end
        if self._watch not in gc.callbacks:
            gc.callbacks.append(self._watch)
        if self._loop.ensure():
            self._pid = pid
        else:  # no more threads: do its work here, until there are
            self.drain()

    @property
    def collecting(self) -> bool:
        """Whether the garbage collector is at work on this thread, and so perhaps inside somebody's lock."""
        return self._collector == threading.get_ident()

    def _watch(self, phase: str, _info: object) -> None:
        self._collector = threading.get_ident() if phase == "start" else 0

    def take(self, recording: Any) -> None:
        """Have ``recording`` ended soon."""
        self._orphans.append(recording)
        self._loop.wake()

    def rest(self, seconds: float) -> None:
        """Leave the processor to others for a while [s], or until `take`; on the thread's own time alone."""
        if self._loop.is_own:
            self._loop.wait(seconds)

    def drain(self) -> None:
        """End what waits, now."""
        while self._orphans:
            self._end_oldest()

    def _end_oldest(self) -> None:
        with suppress(IndexError):  # another thread was faster
            orphan = self._orphans.popleft()
            with boundary.ending(orphan):
                orphan.close()

    def _run(self, loop: supervisor.Loop) -> None:
        while loop.goes_on:
            for _ in range(len(self._orphans)):  # some put themselves down again
                self._end_oldest()
            loop.wait(0.0 if self._orphans else _LONGEST_WAIT)


reaper: Final = _Reaper()
