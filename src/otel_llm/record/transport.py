"""The tap on ``httpx`` and ``httpx2``: thin shells, sync and async, that tell a `Recording` what passes by.

Patched is the clients' own send method of one request (below redirects and auth, above every transport): each attempt
is seen, whatever transport carries it, and spans of HTTP instrumentations on the transports become children. Libraries
are patched when they are imported, before or after us, and never imported by us. What the user gets stays what it is:
the same objects, types, bytes and exceptions; only the innermost byte stream of an answer is wrapped.
"""

import gc
import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, Final

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm import boundary
from otel_llm.record.settings import Config

LIBRARIES: Final = ("httpx", "httpx2")

_patched: dict[str, Any] = {}
"""The active recorder's maker and the patched modules; empty while not instrumented."""


def configure(config: Config) -> None:
    """Set what `WireInstrumentor` uses where it is given nothing, as when another distribution loads it."""
    _patched["config"] = config


class WireInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Switches the tap on and off; entry point ``opentelemetry_instrumentor``, name ``otel_llm``."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: what is not installed is never imported and so never patched."""
        return ()

    def _instrument(self, **settings: Any) -> None:
        """Patch each library as soon as it is imported.

        Args:
            **settings: ``config`` (`Config`), ``tracer_provider``, ``meter_provider``; all optional.
        """
        config = settings.get("config") or _patched.get("config") or Config()
        if not config.enabled:
            return
        tap = _Tap(config, settings.get("tracer_provider"), settings.get("meter_provider"))
        _patched["tap"] = tap
        for library in LIBRARIES:
            if library not in _patched:
                _patched[library] = None
                wrapt.register_post_import_hook(_patch, library)

    def _uninstrument(self, **_settings: Any) -> None:
        _patched.pop("tap", None)


def _patch(module: Any) -> None:
    """Wrap the send methods of an imported library, once; the wrappers ask for the tap that is on at the time."""
    with boundary.guard("record.patch"):
        if _patched.get(module.__name__) is None:
            _patched[module.__name__] = module
            wrapt.wrap_function_wrapper(module, "Client._send_single_request", _send)
            wrapt.wrap_function_wrapper(module, "AsyncClient._send_single_request", _send_async)


def end_all() -> None:
    """End every call that has not ended: the process exits, and nobody will read its answers any more."""
    reaper.drain()
    recorder = _patched["tap"].recorder if "tap" in _patched else None
    for recording in list(recorder.open) if recorder is not None else ():
        recording.close()


def tapped() -> tuple[str, ...]:
    """The libraries that are patched in this process."""
    return tuple(name for name in LIBRARIES if _patched.get(name) is not None)


class _Tap:
    """Makes the recorder when the first request passes, so that nothing is built in a process that sends none."""

    def __init__(self, config: Config, tracer_provider: Any, meter_provider: Any) -> None:
        self._arguments = (config, tracer_provider, meter_provider)
        self.recorder: Any = None

    def begin(self, request: Any) -> Any:
        """A recording of an httpx request, or ``None``; one tuple scan for what is no inference."""
        if request.method != "POST":
            return None
        recorder = self.recorder or self._make()
        url = request.url
        path = url.path
        if not path.endswith(recorder.registry.paths):
            return None
        from otel_llm.record.exchange import Request  # noqa: PLC0415 - loaded by _make, not by a bystander

        body: bytes | None = None
        with suppress(Exception):  # a body that is streamed raises RequestNotRead
            body = request.content
        seen = Request(host=url.host, port=url.port, path=path, headers=request.headers, body=body)
        return recorder.begin(seen, url.scheme)

    def _make(self) -> Any:
        from otel_llm.record.recording import Recorder  # noqa: PLC0415 - only a process that sends requests pays

        self.recorder = Recorder(*self._arguments)
        return self.recorder


def _begin(request: Any) -> Any:
    tap = _patched.get("tap")
    if tap is None:
        return None
    try:
        return tap.begin(request)
    except Exception as error:  # noqa: BLE001 - the boundary
        boundary.swallow("record.begin", error)
        return None


def _send(wrapped: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request: Any = args[0] if args else kwargs["request"]
    recording = _begin(request)
    if recording is None:
        return wrapped(*args, **kwargs)
    restore = _trace(request, _tracer(recording, request.extensions.get("trace")))
    token = recording.enter()
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        recording.fail(error)
        raise
    finally:
        recording.leave(token)
        request.extensions = restore
    _watch(response, recording, SyncPieces)
    return response


async def _send_async(
    wrapped: Callable[..., Awaitable[Any]], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    request: Any = args[0] if args else kwargs["request"]
    recording = _begin(request)
    if recording is None:
        return await wrapped(*args, **kwargs)
    restore = _trace(request, _async_tracer(recording, request.extensions.get("trace")))
    token = recording.enter()
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        recording.fail(error)
        raise
    finally:
        recording.leave(token)
        request.extensions = restore
    _watch(response, recording, AsyncPieces)
    return response


def _trace(request: Any, tracer: Callable[..., Any]) -> Any:
    """Hear of the transport's events while the request is sent; returns the user's own extensions."""
    extensions = request.extensions
    request.extensions = {**extensions, "trace": tracer}
    return extensions


def _tracer(recording: Any, users: Callable[..., Any] | None) -> Callable[[str, Any], Any]:
    def trace(event: str, info: Any) -> Any:
        recording.trace(event)
        # Returned, for the transport to refuse if it is of the wrong kind.
        return users(event, info) if users is not None else None

    return trace


def _async_tracer(recording: Any, users: Callable[..., Any] | None) -> Callable[[str, Any], Any]:
    def trace(event: str, info: Any) -> Any:
        recording.trace(event)
        return users(event, info) if users is not None else _nothing()

    return trace


async def _nothing() -> None:
    pass


def _watch(response: Any, recording: Any, pieces: type["_Pieces"]) -> None:
    """Wrap the innermost byte stream of an answer, so that its outer types stay as they are."""
    with boundary.guard("record.watch"):
        content = getattr(response, "_content", None)
        if content is not None:
            # A transport that answers with a whole body (mocks, caches): nothing will pass by any more.
            plain = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
            recording.respond(response.status_code, plain)
            recording.feed(content)
            recording.finish()
            return
        recording.respond(response.status_code, response.headers.raw)
        bound = response.stream
        bound._stream = pieces(bound._stream, recording)  # noqa: SLF001 - see above
        reaper.attend()
        return
    recording.close()


class _Pieces:
    """A byte stream that tells a recording what passes by. Left to the garbage collector it ends its call too."""

    __slots__ = ("_recording", "_stream")

    def __init__(self, stream: Any, recording: Any) -> None:
        self._stream = stream
        self._recording = recording

    def __del__(self) -> None:
        # No span is ended here: a collector runs anywhere, also inside the locks that ending a span takes.
        if not self._recording.ended:
            reaper.take(self._recording)


class SyncPieces(_Pieces):
    """See `_Pieces`."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        recording = self._recording
        feed = recording.feed
        inner = iter(self._stream)
        try:
            for piece in inner:
                feed(piece)
                yield piece
        except BaseException as error:
            _fail(recording, error)
            raise
        finally:
            close = getattr(inner, "close", None)
            if close is not None:
                close()
        recording.finish()

    def close(self) -> None:
        """Close the stream, then end the call if it has not ended."""
        try:
            self._stream.close()
        except BaseException as error:
            _fail(self._recording, error)
            raise
        _leave(self._recording)


class AsyncPieces(_Pieces):
    """See `_Pieces`."""

    __slots__ = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        recording = self._recording
        feed = recording.feed
        inner = aiter(self._stream)
        try:
            async for piece in inner:
                feed(piece)
                yield piece
        except BaseException as error:
            _fail(recording, error)
            raise
        finally:
            close = getattr(inner, "aclose", None)
            if close is not None:
                await close()
        recording.finish()

    async def aclose(self) -> None:
        """Close the stream, then end the call if it has not ended."""
        try:
            await self._stream.aclose()
        except BaseException as error:
            _fail(self._recording, error)
            raise
        _leave(self._recording)


def _fail(recording: Any, error: BaseException) -> None:
    """End a call that ``error`` ended; leave it to the reaper where the garbage collector is at work."""
    if reaper.collecting:
        reaper.take(recording)
    else:
        recording.fail(error)


def _leave(recording: Any) -> None:
    """End a call whose answer was closed, in the same way."""
    if not recording.ended:
        _fail(recording, GeneratorExit())


class _Reaper:
    """Ends the calls whose answers nobody holds any more, on a thread of its own.

    ``SimpleQueue.put`` may be called from a finaliser at any moment; nothing else of ours may.
    """

    def __init__(self) -> None:
        self._orphans: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pid = 0
        self._collector = 0

    def attend(self) -> None:
        """Have the thread running in this process."""
        pid = os.getpid()
        if self._pid == pid:
            return
        if self._pid:
            self._orphans = queue.SimpleQueue()  # those of the process that forked are its own to end
        if self._watch not in gc.callbacks:
            gc.callbacks.append(self._watch)
        try:
            threading.Thread(target=self._run, args=(self._orphans,), name="otel-llm-reaper", daemon=True).start()
            self._pid = pid
        except RuntimeError as error:  # no more threads: do its work here, until there are
            boundary.swallow("record.reaper", error)
            self.drain()

    @property
    def collecting(self) -> bool:
        """Whether the garbage collector is at work on this thread, and so perhaps inside somebody's lock."""
        return self._collector == threading.get_ident()

    def _watch(self, phase: str, _info: object) -> None:
        self._collector = threading.get_ident() if phase == "start" else 0

    def take(self, recording: Any) -> None:
        """Have ``recording`` ended soon."""
        self._orphans.put(recording)

    def drain(self) -> None:
        """End what waits, now."""
        with suppress(queue.Empty):
            while True:
                self._orphans.get_nowait().close()

    @staticmethod
    def _run(orphans: "queue.SimpleQueue[Any]") -> None:
        while True:
            orphans.get().close()


reaper: Final = _Reaper()
