"""The shell on ``urllib3``, and so on ``requests`` and ``botocore``, which send through it.

Patched are the pool's methods that make one attempt, which urllib3 calls again for each redirect and retry of its own,
and the closing of an answer. How the answer of an inference is read is followed by what it holds itself: pieces as
they come off the wire, compressed or not, and the scope in which urllib3 turns low-level errors into its own. Where
pieces pass, the boundary is written out, as in `httpx`.
"""

import http.client
import io
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, urlsplit

import wrapt
from opentelemetry import context as otel_context

from otel_llm import boundary
from otel_llm.record.transport import Orphan, fail, leave, reaper, recorder_for

_attempt: ContextVar["_Attempt | None"] = ContextVar("otel_llm_urllib3_attempt", default=None)


def patch(module: Any) -> None:
    """Wrap the methods of ``module``."""
    wrapt.wrap_function_wrapper(module.connectionpool, "HTTPConnectionPool.urlopen", _urlopen)
    wrapt.wrap_function_wrapper(module.connectionpool, "HTTPConnectionPool._make_request", _make_request)
    wrapt.wrap_function_wrapper(module.response, "HTTPResponse.close", _close)


class _Attempt:
    """One attempt while it is sent."""

    __slots__ = ("_is_watched", "context", "pool", "recording")

    def __init__(self, pool: Any, recording: Any, context: Any) -> None:
        self.pool = pool
        self.recording = recording
        self.context = context
        self._is_watched = False

    def answer(self, response: Any) -> None:
        """Follow ``response``; urllib3 before 2 shows the answer of `http.client` first and its own later."""
        if not hasattr(response, "_error_catcher"):
            self.recording.respond(response.status, _encoded(response.headers))
        elif not self._is_watched:
            self._is_watched = True
            _watch(response, self.recording)


def _urlopen(wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    attempt = token = None
    with boundary.guard("record.begin"):
        attempt = _begin(pool, _attempt.get(), args, kwargs)
    if attempt is None:
        return wrapped(*args, **kwargs)
    recording = attempt.recording
    held = _attempt.set(attempt)
    with boundary.guard("record.enter"):
        token = recording.enter()
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(recording):
            recording.fail(error)
        raise
    finally:
        _attempt.reset(held)
        with boundary.guard("record.leave"):
            recording.leave(token)
    with boundary.ending(recording):
        attempt.answer(response)
    return response


def _begin(pool: Any, before: _Attempt | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Attempt | None:
    """An attempt that is recorded, or ``None``; one tuple scan for what is no inference.

    Args:
        pool: What sends it.
        before: The attempt in which this one was made.
        args: ``urlopen``'s own.
        kwargs: The same.
    """
    again = before is not None and before.pool is pool
    if again and before is not None:
        with boundary.ending(before.recording):
            before.recording.close()  # urllib3 sends it again: nobody will read that answer
    if (args[0] if args else kwargs["method"]) != "POST":
        return None
    url = args[1] if len(args) > 1 else kwargs["url"]
    path = url.partition("?")[0] if url.startswith("/") else urlsplit(url).path
    path = unquote(path) if "%" in path else path
    recorder = recorder_for(path)
    if recorder is None:
        return None
    context = before.context if again and before is not None else otel_context.get_current()
    token = otel_context.attach(context)
    try:
        recording = recorder.begin(*_seen(pool, url, path, args, kwargs, resent=again))
    finally:
        otel_context.detach(token)
    if recording is None:
        return None
    with boundary.ending(recording):
        return _Attempt(pool, recording, context)
    return None


def _seen(
    pool: Any, url: str, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, resent: bool
) -> tuple[Any, str]:
    """What is sent, and by which scheme."""
    from otel_llm.record.exchange import Request  # noqa: PLC0415 - loaded with the recorder, not by a bystander

    body = args[2] if len(args) > 2 else kwargs.get("body")  # noqa: PLR2004 - urlopen's own order
    headers = args[3] if len(args) > 3 else kwargs.get("headers")  # noqa: PLR2004
    host, port, scheme = pool.host, pool.port, pool.scheme
    if not url.startswith("/"):  # to a proxy
        target = urlsplit(url)
        host, port, scheme = target.hostname or host, target.port, target.scheme
    request = Request(
        host=host,
        port=port,
        path=path,
        headers={_text(name).lower(): _text(value) for name, value in (headers or pool.headers or {}).items()},
        body=_body(body),
        resent=resent,
    )
    return request, scheme


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(body: Any) -> bytes | None:
    """What will be sent, where it can be seen without taking it away."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, io.BytesIO):
        return body.getvalue()
    return bytes(body) if isinstance(body, (bytes, bytearray)) else None


def _make_request(wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    attempt = _attempt.get()
    if attempt is None or attempt.pool is not pool:
        return wrapped(*args, **kwargs)
    connection: Any = args[0] if args else kwargs.get("conn")
    with boundary.guard("record.connect"):
        _await_connection(connection, attempt.recording)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(attempt.recording):
            attempt.recording.fail(error)
        raise
    finally:
        with boundary.guard("record.connect"):
            vars(connection).pop("connect", None)
    with boundary.ending(attempt.recording):
        attempt.answer(response)
    return response


def _await_connection(connection: Any, recording: Any) -> None:
    """Hear when the connection, which the pool has handed out, is connected; at once where it is already."""
    if connection.sock is not None:
        recording.send()
        return
    connect = connection.connect

    def once(*args: Any, **kwargs: Any) -> Any:
        vars(connection).pop("connect", None)
        result = connect(*args, **kwargs)
        with boundary.guard("record.connect"):
            recording.send()
        return result

    connection.connect = once


def _close(wrapped: Callable[..., Any], response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    orphan = getattr(response, "_otel_llm", None)
    if orphan is None:
        return wrapped(*args, **kwargs)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        with boundary.ending(orphan.recording):
            fail(orphan.recording, error)
        raise
    with boundary.ending(orphan.recording):
        leave(orphan.recording)
    return result


def _encoded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]


def _watch(response: Any, recording: Any) -> None:
    """Follow an answer as it is read, or read what urllib3 has read by itself."""
    raw = _encoded(response.headers)
    whole = response._body  # noqa: SLF001 - asking for it by its public name reads it
    if isinstance(whole, bytes):
        if response.decode_content:
            raw = [(name, value) for name, value in raw if name.lower() != b"content-encoding"]
        recording.respond(response.status, raw)
        recording.feed_late(whole)
        recording.finish()
        return
    recording.respond(response.status, raw)
    _follow(response, recording)
    reaper.attend()


def _follow(response: Any, recording: Any) -> None:
    """Put in the place of three methods of this one answer what tells the recording and does the same.

    They hold the answer weakly: held by itself it would wait for the garbage collector, its connection with it.
    """
    kind = type(response)
    read, read_chunk, catch = kind._fp_read, kind._handle_chunk, kind._error_catcher  # noqa: SLF001
    here = weakref.ref(response)
    feed = recording.feed

    def fp_read(*args: Any, **kwargs: Any) -> Any:
        piece = read(here(), *args, **kwargs)
        if piece:
            try:
                feed(piece)
            except Exception as error:  # noqa: BLE001 - the boundary
                boundary.swallow("record.feed", error)
        return piece

    def handle_chunk(*args: Any, **kwargs: Any) -> Any:
        piece = read_chunk(here(), *args, **kwargs)
        if piece:
            try:
                feed(piece)
            except Exception as error:  # noqa: BLE001 - the boundary
                boundary.swallow("record.feed", error)
        return piece

    @contextmanager
    def error_catcher() -> Iterator[None]:
        answer = here()
        try:
            with catch(answer):
                yield
        except BaseException as error:
            with boundary.ending(recording):
                fail(recording, error)
            raise
        with boundary.ending(recording):
            if not recording.ended:
                _end(answer, recording)

    response._otel_llm = Orphan(recording)  # noqa: SLF001
    response._fp_read, response._handle_chunk, response._error_catcher = fp_read, handle_chunk, error_catcher  # noqa: SLF001


def _end(response: Any, recording: Any) -> None:
    """End the call if its answer has come to an end."""
    original = response._original_response  # noqa: SLF001
    if original is None or not original.isclosed():
        return
    missing = getattr(original, "length", None)
    if missing:
        recording.fail(http.client.IncompleteRead(b"", missing))
    else:
        recording.finish()
