"""The shell on ``aiohttp``, and so on ``aiobotocore``, which sends through it.

Patched is one method, the connector's own that finds a connection for one request: below redirects and middlewares,
so each attempt is seen. From there the request and the answer of an inference are followed by what they hold
themselves; nothing else pays. The answer's buffer is told of every piece as it arrives, which is behind aiohttp's own
inflating and ahead of whichever way the user reads: reading costs nothing, and no outer type changes.
"""

import asyncio
import io
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import wrapt

from otel_llm import boundary, semconv
from otel_llm.record.transport import Orphan, fail, leave, reaper, recorder_for


def patch(module: Any) -> None:
    """Wrap the connector's method of ``module``."""
    wrapt.wrap_function_wrapper(module.connector, "BaseConnector.connect", _connect)


def _connect(
    wrapped: Callable[..., Awaitable[Any]], _connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Awaitable[Any]:
    request: Any = args[0] if args else kwargs.get("req")
    with boundary.guard("record.begin"):
        if request.method == "POST" and recorder_for(request.url.path) is not None:
            return _connect_watched(wrapped, request, args, kwargs)
    return wrapped(*args, **kwargs)


async def _connect_watched(
    wrapped: Callable[..., Awaitable[Any]], request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recording = None
    with boundary.guard("record.begin"):
        recording = _begin(request)
    if recording is None:
        return await wrapped(*args, **kwargs)
    connection = await _pass(wrapped, args, kwargs, recording, request)
    with boundary.ending(recording):
        recording.send()
        _follow(request, "send", _send, Orphan(recording))
    return connection


def _begin(request: Any) -> Any:
    url = request.url
    recorder = recorder_for(url.path)
    if recorder is None:
        return None
    from otel_llm.record.exchange import Request  # noqa: PLC0415 - loaded with the recorder, not by a bystander

    seen = Request(host=url.host or "", port=url.port, path=url.path, headers=request.headers, body=_body(request.body))
    return recorder.begin(seen, url.scheme)


def _body(payload: Any) -> bytes | None:
    """What ``payload`` will send, where it can be seen without taking it away."""
    value = payload if isinstance(payload, bytes) else getattr(payload, "_value", None)
    if isinstance(value, io.BytesIO):
        return value.getvalue()
    return bytes(value) if isinstance(value, (bytes, bytearray)) else None


async def _pass(
    step: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any], recording: Any, request: Any
) -> Any:
    """One step of sending, with the call's span current and its failure told."""
    token = None
    with boundary.guard("record.enter"):
        token = recording.enter()
    try:
        return await step(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(recording):
            recording.fail(_meant(error, getattr(request, "_timer", None)))
        raise
    finally:
        with boundary.guard("record.leave"):
            recording.leave(token)


def _meant(error: BaseException, timer: Any) -> BaseException:
    """What the user will see of ``error``: aiohttp tells a timeout of its own by a cancellation and turns it later."""
    if isinstance(error, asyncio.CancelledError) and getattr(timer, "_cancelled", False):
        return TimeoutError()
    return error


def _follow(holder: Any, name: str, step: Callable[..., Awaitable[Any]], orphan: Orphan) -> None:
    """Have ``step`` done in place of the next call of ``holder``'s method ``name``, and of no other."""
    method = getattr(holder, name)

    def once(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        # Also unties the knot of the holder holding what holds it.
        vars(holder).pop(name, None)
        return step(method, holder, orphan, args, kwargs)

    setattr(holder, name, once)


async def _send(
    send: Callable[..., Awaitable[Any]], request: Any, orphan: Orphan, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    response = await _pass(send, args, kwargs, orphan.recording, request)
    with boundary.ending(orphan.recording):
        _follow(response, "start", _start, orphan)
    return response


async def _start(
    start: Callable[..., Awaitable[Any]], response: Any, orphan: Orphan, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    recording = orphan.recording
    session = getattr(response, "_session", None)  # let go of with the answer's last piece
    result = await _pass(start, args, kwargs, recording, response)
    with boundary.ending(recording):
        _watch(response, orphan, session)
    return result


def _watch(response: Any, orphan: Orphan, session: Any) -> None:
    recording = orphan.recording
    content = response.content
    raw = response.raw_headers
    if _is_inflated(response, session):
        raw = [(name, value) for name, value in raw if name.lower() != b"content-encoding"]
    recording.respond(response.status, raw)
    if 300 <= response.status < 400 or content.is_eof():  # noqa: PLR2004 - redirects, whose bodies nobody reads
        for piece in getattr(content, "_buffer", ()):
            recording.feed(piece)
        recording.finish()
        return
    if content.exception() is not None:
        recording.fail(content.exception())
        return
    arriving = _Arriving(content._buffer, orphan)  # noqa: SLF001 - see the module's first lines
    for piece in arriving:
        recording.feed(piece)
    ends = _Ends(content._eof_callbacks, recording, content)  # noqa: SLF001
    reaper.attend()
    content._buffer, content._eof_callbacks = arriving, ends  # noqa: SLF001
    content._timer = _Waits(content._timer, recording)  # noqa: SLF001
    content.on_eof(ends.finish)


def _is_inflated(response: Any, session: Any) -> bool:
    """Whether aiohttp undoes the content encoding before anybody sees a piece."""
    content = response.content
    if hasattr(content, "total_compressed_bytes"):
        return content.total_compressed_bytes is not None
    # Before aiohttp 3.13, which knew fewer of them.
    known = response.headers.get("content-encoding", "").lower() in ("gzip", "deflate", "br")
    return known and bool(getattr(session, "auto_decompress", True))


class _Arriving(deque[bytes]):
    """An answer's buffer that tells a recording what is put into it. Left to the garbage collector it ends its call."""

    __slots__ = ("_orphan",)

    def __init__(self, pieces: deque[bytes], orphan: Orphan) -> None:
        super().__init__(pieces)
        self._orphan = orphan

    def append(self, piece: bytes, /) -> None:
        """Put in a piece that came."""
        super().append(piece)
        try:
            self._orphan.recording.feed(piece)
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow("record.feed", error)


class _Ends(list[Any]):
    """What an answer calls at its end; cleared when it ended, well or not."""

    __slots__ = ("_content", "_recording")

    def __init__(self, callbacks: list[Any], recording: Any, content: Any) -> None:
        super().__init__(callbacks)
        self._recording = recording
        self._content = content

    def clear(self) -> None:
        """Let go of what was to be called, and end the call if it has not ended."""
        super().clear()
        content, self._content = self._content, None
        with boundary.ending(self._recording):
            if content is not None and not self._recording.ended:
                _end(self._recording, content)

    def finish(self) -> None:
        """The answer came to its end."""
        with boundary.ending(self._recording):
            self._recording.finish()


class _Waits:
    """The timer under which a reader waits for each piece; tells whether the last wait was cancelled.

    Who reads without ``async with`` lets go of the answer later, when the cancellation is no longer being handled.
    """

    __slots__ = ("_recording", "_timer")

    def __init__(self, timer: Any, recording: Any) -> None:
        self._timer = timer
        self._recording = recording

    def __enter__(self) -> Any:
        self._recording.left = semconv.OUTCOME_ABANDONED
        return self._timer.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> Any:
        if kind is asyncio.CancelledError:
            self._recording.left = semconv.OUTCOME_CANCELLED
        return self._timer.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._timer, name)


def _end(recording: Any, content: Any) -> None:
    """End a call whose answer did not come to its end."""
    error = content.exception()
    handled = sys.exc_info()[1]
    if getattr(content._timer, "_cancelled", False):  # noqa: SLF001 - no other way to tell
        fail(recording, TimeoutError())
    elif error is not None and not _is_closing(error):
        fail(recording, error)
    elif isinstance(handled, asyncio.CancelledError):
        fail(recording, handled)
    else:
        leave(recording)


def _is_closing(error: BaseException) -> bool:
    """Whether ``error`` is what aiohttp leaves in an answer that its reader closed."""
    return type(error).__name__ == "ClientConnectionError" and str(error) == "Connection closed"
