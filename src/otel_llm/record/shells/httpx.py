"""The shell on ``httpx`` and ``httpx2``, sync and async.

Patched is the clients' own send method of one request (below redirects and auth, above every transport): each attempt
is seen, whatever transport carries it, and spans of HTTP instrumentations on the transports become children. Only the
innermost byte stream of an answer is wrapped.

Every call and every piece of an answer passes here, so the boundary is written out: ``try`` costs nothing until it
catches, `boundary.guard` 0.1 us. Sync and async are the same text twice, since neither can be made of the other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import wrapt

from otel_llm import boundary
from otel_llm.record.transport import Orphan, fail, ignore, leave, reaper, recorder_for


def patch(module: Any) -> None:
    """Wrap the send methods of ``module``."""
    wrapt.wrap_function_wrapper(module, "Client._send_single_request", _send)
    wrapt.wrap_function_wrapper(module, "AsyncClient._send_single_request", _send_async)


def _begin(request: Any) -> Any:
    """A recording of ``request``, or ``None``; one tuple scan for what is no inference."""
    if request.method != "POST":
        return None
    url = request.url
    path = url.path
    recorder = recorder_for(path)
    if recorder is None:
        return None
    try:
        body = request.content
    except Exception:  # noqa: BLE001 - one that is streamed raises RequestNotRead
        body = None
    return recorder.begin_request(
        url.scheme, host=url.host, port=url.port, path=path, headers=request.headers, body=body
    )


def _send(wrapped: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request: Any = args[0] if args else kwargs["request"]
    recording = token = None
    try:
        recording = _begin(request)
    except Exception as fault:  # noqa: BLE001 - the boundary, cheaper than `guard`
        boundary.swallow("record.begin", fault)
    if recording is None:
        return wrapped(*args, **kwargs)
    extensions = request.extensions
    try:
        request.extensions = {**extensions, "trace": _tracer(recording, extensions.get("trace"))}
        token = recording.enter()
    except Exception as fault:  # noqa: BLE001 - the boundary
        boundary.swallow("record.enter", fault)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(recording):
            recording.fail(error)
        raise
    finally:
        request.extensions = extensions
        try:
            recording.leave(token)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.swallow("record.leave", fault)
    try:
        _watch(response, recording, SyncPieces)
    except Exception as fault:  # noqa: BLE001 - the boundary
        boundary.give_up(recording, fault)
    return response


async def _send_async(
    wrapped: Callable[..., Awaitable[Any]], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    request: Any = args[0] if args else kwargs["request"]
    recording = token = None
    try:
        recording = _begin(request)
    except Exception as fault:  # noqa: BLE001 - the boundary, cheaper than `guard`
        boundary.swallow("record.begin", fault)
    if recording is None:
        return await wrapped(*args, **kwargs)
    extensions = request.extensions
    try:
        request.extensions = {**extensions, "trace": _async_tracer(recording, extensions.get("trace"))}
        token = recording.enter()
    except Exception as fault:  # noqa: BLE001 - the boundary
        boundary.swallow("record.enter", fault)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(recording):
            recording.fail(error)
        raise
    finally:
        request.extensions = extensions
        try:
            recording.leave(token)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.swallow("record.leave", fault)
    try:
        _watch(response, recording, AsyncPieces)
    except Exception as fault:  # noqa: BLE001 - the boundary
        boundary.give_up(recording, fault)
    return response


def _tracer(recording: Any, users: Callable[..., Any] | None) -> Callable[[str, Any], Any]:
    def trace(event: str, info: Any) -> Any:
        try:
            recording.trace(event)
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow("record.trace", error)
        # Returned, for the transport to refuse if it is of the wrong kind.
        return users(event, info) if users is not None else None

    return trace


def _async_tracer(recording: Any, users: Callable[..., Any] | None) -> Callable[[str, Any], Any]:
    def trace(event: str, info: Any) -> Any:
        try:
            recording.trace(event)
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow("record.trace", error)
        return users(event, info) if users is not None else _nothing()

    return trace


async def _nothing() -> None:
    pass


def _watch(response: Any, recording: Any, pieces: type["_Pieces"]) -> None:
    """Wrap the innermost byte stream of an answer, so that its outer types stay as they are."""
    content = getattr(response, "_content", None)
    if content is not None:
        # A transport that answers with a whole body (mocks, caches): nothing will pass by any more.
        plain = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        recording.respond(response.status_code, plain)
        recording.feed(content)
        recording.finish()
        return
    recording.respond(response.status_code, response.headers.raw)
    reaper.attend()
    bound = response.stream
    bound._stream = pieces(bound._stream, recording)  # noqa: SLF001 - see above


class _Pieces(Orphan):
    """A byte stream that tells a recording what passes by."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any, recording: Any) -> None:
        super().__init__(recording)
        self._stream = stream


class SyncPieces(_Pieces):
    """See `_Pieces`."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        recording = self.recording
        try:
            feed = recording.feeder()
        except Exception as fault:  # noqa: BLE001 - the boundary
            feed = ignore
            boundary.give_up(recording, fault)
        inner = iter(self._stream)
        try:
            for piece in inner:
                try:
                    feed(piece)
                except Exception as error:  # noqa: BLE001 - the boundary: of ours alone, and free while nothing fails
                    feed = ignore
                    with boundary.ending(recording):
                        recording.stop_reading(error)
                yield piece
        except BaseException as error:
            with boundary.ending(recording):
                fail(recording, error)
            raise
        finally:
            close = getattr(inner, "close", None)
            if close is not None:
                close()
        try:
            recording.finish()
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.give_up(recording, fault)

    def close(self) -> None:
        """Close the stream, then end the call if it has not ended."""
        try:
            self._stream.close()
        except BaseException as error:
            with boundary.ending(self.recording):
                fail(self.recording, error)
            raise
        try:
            leave(self.recording)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.give_up(self.recording, fault)


class AsyncPieces(_Pieces):
    """See `_Pieces`."""

    __slots__ = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        recording = self.recording
        try:
            feed = recording.feeder()
        except Exception as fault:  # noqa: BLE001 - the boundary
            feed = ignore
            boundary.give_up(recording, fault)
        inner = aiter(self._stream)
        try:
            async for piece in inner:
                try:
                    feed(piece)
                except Exception as error:  # noqa: BLE001 - the boundary: of ours alone, and free while nothing fails
                    feed = ignore
                    with boundary.ending(recording):
                        recording.stop_reading(error)
                yield piece
        except BaseException as error:
            with boundary.ending(recording):
                fail(recording, error)
            raise
        finally:
            close = getattr(inner, "aclose", None)
            if close is not None:
                await close()
        try:
            recording.finish()
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.give_up(recording, fault)

    async def aclose(self) -> None:
        """Close the stream, then end the call if it has not ended."""
        try:
            await self._stream.aclose()
        except BaseException as error:
            with boundary.ending(self.recording):
                fail(self.recording, error)
            raise
        try:
            leave(self.recording)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.give_up(self.recording, fault)
