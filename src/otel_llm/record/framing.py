"""Cut a response body into JSON messages. No I/O, no clock.

Framing is a matter of content type, not of provider: any provider may use any of these. Content types lie, so the
first bytes have the last word. Source: WHATWG HTML 9.2 (server-sent events); ndjson.org.
"""

import contextlib
import enum
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from otel_llm.record import followed

DONE: Final = b"[DONE]"
"""The message that ends a stream of OpenAI's kind; no JSON."""

_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a line of server-sent events begins."""


class Framing(enum.Enum):
    """How messages follow each other in a body."""

    EVENTS = "server-sent events"
    LINES = "one JSON value a line"
    ARRAY = "one JSON array of objects"
    FRAMES = "binary frames that tell their length"
    WHOLE = "one JSON value"


FOLLOWED: Final = (Framing.ARRAY, Framing.FRAMES)
"""Framings whose messages cannot be found from behind or in the middle: a reader follows them from the start."""


def choose(content_type: str, start: bytes, *, array: bool = False) -> Framing | None:
    """The framing of a body, by its content type and its first bytes; ``None`` while those are too few to tell.

    Args:
        content_type: The header's value; may be empty or wrong.
        start: What came first, inflated; may be empty.
        array: A JSON array is a stream of its elements, not one value.
    """
    opening = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = content_type.partition(";")[0].strip().lower()
    if opening.startswith(_FIELDS) or (kind == "text/event-stream" and not opening.startswith((b"{", b"["))):
        return Framing.EVENTS
    if opening and any(name.startswith(opening) for name in _FIELDS):
        return None
    if array and opening.startswith(b"["):
        return Framing.ARRAY
    if kind == "application/vnd.amazon.eventstream":
        return Framing.FRAMES
    if kind.endswith(("ndjson", "jsonl", "json-lines", "jsonlines", "stream+json")):
        return Framing.LINES
    return Framing.WHOLE


def split(framing: Framing, data: bytes) -> tuple[list[bytes], bytes]:
    """The complete messages at the start of ``data``, and the rest that waits for more bytes.

    Cutting a body anywhere and feeding the pieces through, each behind the last rest, gives the same messages.
    """
    if framing is Framing.EVENTS:
        return _split_events(data)
    if framing is Framing.LINES:
        *lines, rest = data.split(b"\n")
        return [line for line in map(bytes.strip, lines) if line], rest
    if framing in FOLLOWED:
        messages, rest, _ = follow(framing, data, followed.START)
        return messages, rest
    return [], data


def follow(framing: Framing, data: bytes, mark: followed.Mark) -> tuple[list[bytes], bytes, followed.Mark]:
    """`split` for one of `FOLLOWED`, going on at ``mark``; also returns where to go on with the rest.

    Args:
        framing: Of the body.
        data: The last rest and what came since.
        mark: Returned with the last rest; `followed.START` at first, and for a rest that was made shorter.
    """
    if framing is Framing.ARRAY:
        return followed.split_array(data, mark)
    return (*followed.split_frames(data), mark)


def finish(framing: Framing, rest: bytes) -> list[bytes]:
    """The messages that the end of the body completes."""
    if framing is Framing.EVENTS:
        return _split_events(rest.rstrip(b"\r\n") + b"\n\n")[0]
    if framing is Framing.LINES:
        return [rest.strip()] if rest.strip() else []
    if framing in FOLLOWED:
        return []
    return [rest] if rest.strip() else []


def count(framing: Framing, data: bytes, *, before: bytes) -> int:
    """How many messages begin in ``data``, counted without reading them.

    Args:
        framing: Of the body; one that is `FOLLOWED` is counted by whoever follows it.
        data: A part of the body.
        before: What came right before it, `OVERLAP` bytes or more; all there is near the body's start.

    An event of several data lines, which no provider sends, counts as several.
    """
    # What the overlap holds by itself was counted with the part before; what only both together show is new.
    return _count(framing, b"\n" + before + data) - (_count(framing, b"\n" + before) if before else 0)


_LAST_MARK: Final = 32
"""Bytes at a body's end that hold the mark of its end, if there is one."""

OVERLAP: Final = 13
"""As long as the longest mark that is counted: no cut hides one."""


def _count(framing: Framing, data: bytes) -> int:
    if b"\r" in data:
        data = normalise(data)
    if framing is Framing.EVENTS:
        return data.count(b"\ndata:") - data[-_LAST_MARK:].count(b"[DONE]\n")
    return data.count(b"}\n") if framing is Framing.LINES else 0


def normalise(data: bytes) -> bytes:
    """``data`` with one kind of line end."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def join(framing: Framing, messages: Iterable[bytes]) -> bytes:
    """A body with these messages: what `split` undoes."""
    if framing is Framing.EVENTS:
        return b"".join(b"data: " + message.replace(b"\n", b"\ndata: ") + b"\n\n" for message in messages)
    return b"".join(message + b"\n" for message in messages)


_END_OF_EVENT: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")


def resume(framing: Framing, data: bytes) -> tuple[bytes, bytes]:
    """What is left of a message whose beginning was not kept, and what follows it.

    While the message has not ended, nothing follows.
    """
    if framing is Framing.LINES:
        left, _, rest = data.partition(b"\n")
        return left, rest
    if b"\n" not in data and b"\r" not in data:
        return data, b""  # a pattern takes a hundred times as long over a line without an end
    end = _END_OF_EVENT.search(data)
    return (data[: end.start()], data[end.end() :]) if end else (data, b"")


def _split_events(data: bytes) -> tuple[list[bytes], bytes]:
    if b"\r" in data:
        # A \r at the very end may be half of \r\n: it waits.
        held = b"\r" if data.endswith(b"\r") else b""
        data = normalise(data[: len(data) - len(held)])
    else:
        held = b""
    if b"\n\n" not in data:
        return [], data + held
    *blocks, rest = data.split(b"\n\n")
    return [message for message in map(_event_data, blocks) if message], rest + held


def _event_data(block: bytes) -> bytes:
    """The data of one event, its lines joined as the standard says; empty for comments."""
    block = block.lstrip(b"\xef\xbb\xbf\n")
    if block.startswith(b"data:") and b"\n" not in block:
        return block[5:].strip()
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines).strip()


def shorten(framing: Framing, rest: bytes) -> bytes:
    """Make ``rest``, which waits for the end of a large message, smaller; what is left still ends where it did."""
    if framing is Framing.ARRAY:
        return followed.shorten_array(rest)
    return followed.shorten_frame(rest) if framing is Framing.FRAMES else rest


def decode(message: bytes) -> Any:
    """The JSON value in ``message``, read as leniently as clients do, or ``None`` when it is none.

    NaN, lone surrogates, invalid UTF-8, a byte-order mark and numbers of any size are let pass.
    """
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(message.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


_VALUE: Final = re.compile(r'"([A-Za-z_.]{1,40})"\s*:\s*(?=[\[{"\d\-tfn])')
_NAMES: Final = frozenset({"id", "model", "object", "type", "status"})
_DEEPEST: Final = 2
"""Brackets around a name of the answer at most: a body's own, and those of the event that carries it."""
_OF_TAIL: Final = frozenset(
    {
        *("usage", "timings", "stop_reason", "finish_reason", "status", "error"),
        *("usageMetadata", "modelVersion", "responseId", "finishReason"),
        *("meta", "stopReason", "inputTextTokenCount"),
        *("done", "done_reason", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"),
        *("stop_type", "tokens_predicted", "tokens_evaluated", "details"),
    }
)


_PART: Final = re.compile(rb'"token_count"\s*:\s*(\d{1,9})[^\d]')
PART: Final = 64
"""Most bytes that the count of one part takes."""


def tally(data: bytes, *, before: bytes = b"") -> int:
    """The tokens that the parts in ``data`` count one by one, as Vertex's embeddings do; ``before`` is not counted."""
    whole = before + data
    if b'"token_count"' not in whole:
        return 0
    return sum(int(part[1]) for part in _PART.finditer(whole) if part.end() > len(before))


BEGINNING: Final = 1024
"""Bytes of a message's beginning that tell what it is."""


def beginning(framing: Framing, before: bytes, data: bytes) -> bytes:
    """How the message begins in whose midst ``data`` ends; ``before`` is how the one began in whose midst it begins."""
    if b"\r" in data:
        data = normalise(data)
    mark = b"\n" if framing is Framing.LINES else b"\n\n"
    end = data.rfind(mark)
    return (before + data)[:BEGINNING] if end < 0 else data[end + len(mark) :][:BEGINNING]


def salvage(head: bytes, tail: bytes) -> Mapping[str, Any]:
    """What a JSON object whose middle was not kept still says: its own names, and whole values of its tail.

    Serves bodies larger than what is held (embeddings, images): their usage stands at the end.
    """
    found = _values(tail, _OF_TAIL)
    found.update(_names(head, tail))
    reason = found.get("finish_reason")
    if isinstance(reason, str):
        found["choices"] = [{"index": 0, "finish_reason": reason}]
    if "status" in found:
        found["object"] = "response"
    error = found.get("error")
    if not (isinstance(error, dict) and isinstance(error.get("message"), str)):
        found.pop("error", None)  # a tool's parameter of that name
    return found


def _names(head: bytes, tail: bytes) -> dict[str, Any]:
    """The answer's own names: those of its parts (a tool's call has an ``id`` too) stand deeper."""
    named: dict[str, tuple[int, str]] = {}
    for source, closed in ((head, False), (tail, True)):
        for key, value, depth in followed.strings(source, closed=closed):
            if key in _NAMES and depth <= _DEEPEST and (key not in named or depth < named[key][0]):
                named[key] = depth, value
    return {key: value for key, (_, value) in named.items()}


_TRIES: Final = 8
"""How many values that stand behind one key are tried: what cannot be read can be long."""


def _values(source: bytes, keys: frozenset[str]) -> dict[str, Any]:
    """For each of ``keys`` its last value in ``source``, of any kind."""
    decoder = json.JSONDecoder()
    window = source.decode("latin-1")
    places = [match for match in _VALUE.finditer(window) if match[1] in keys]
    found: dict[str, Any] = {}
    tries: Counter[str] = Counter()
    for match in reversed(places):
        key = match[1]
        if key in found or tries[key] >= _TRIES:
            continue
        tries[key] += 1
        with contextlib.suppress(ValueError, RecursionError):
            found[key] = decoder.raw_decode(window, match.end())[0]
    return found


Inflate = Callable[[bytes, int], bytes]
"""Takes compressed bytes and the most it may return; a second call with ``b""`` goes on with what is left."""

_PIECE: Final = 65_536


class Inflater:
    """Undo a content encoding piece by piece, bounded: a bomb stops the reading, not the host.

    Args:
        inflate: One codec's step.
        limit: Most bytes to inflate in all.
    """

    __slots__ = ("_inflate", "_left", "broken")

    def __init__(self, inflate: Inflate, limit: int) -> None:
        self._inflate = inflate
        self._left = limit
        self.broken = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The inflated bytes of ``piece`` in bounded parts; none once the limit is met or the data is damaged."""
        while not self.broken:
            try:
                part = self._inflate(piece, _PIECE)
            except Exception:  # noqa: BLE001 - each codec raises its own class for damaged data
                self.broken = True
                return
            if not part:
                return
            self._left -= len(part)
            if self._left < 0:
                self.broken = True
                return
            yield part
            piece = b""


def inflater(encoding: str, limit: int, modules: Mapping[str, Any]) -> Inflater | None:
    """What undoes ``encoding``; ``None`` where nothing must be undone.

    Args:
        encoding: The header's value.
        limit: Most bytes to inflate in all.
        modules: Imported modules by name (``sys.modules``): br and zstd are read with the library that the host's
            HTTP client itself has loaded; without one the client cannot read the body either.
    """
    names = [name.strip().lower() for name in encoding.split(",") if name.strip()]
    names = [name for name in names if name != "identity"]
    if not names:
        return None
    if len(names) > 1:
        return Inflater(_unreadable, 0)
    make = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}.get(names[0])
    step = make(modules) if make else None
    return Inflater(step or _unreadable, limit)


def _unreadable(piece: bytes, most: int) -> bytes:
    raise ValueError(piece[:0], most)


def _zlib(wbits: int) -> Inflate:
    inflate = zlib.decompressobj(wbits)
    return lambda piece, most: inflate.decompress(piece or inflate.unconsumed_tail, most)


def _gzip(_modules: Mapping[str, Any]) -> Inflate:
    return _zlib(zlib.MAX_WBITS | 16)


def _deflate(_modules: Mapping[str, Any]) -> Inflate:
    """Zlib's wrapping as the standard says, or the bare stream that some servers send."""
    wrapped, bare = _zlib(zlib.MAX_WBITS), _zlib(-zlib.MAX_WBITS)
    step: Inflate | None = None

    def inflate(piece: bytes, most: int) -> bytes:
        nonlocal step
        if step is None and piece:
            # Zlib's header: method 8 in the low half of the first byte.
            step = wrapped if piece[0] & 0x0F == 8 else bare  # noqa: PLR2004 - RFC 1950
        return step(piece, most) if step else b""

    return inflate


def _brotli(modules: Mapping[str, Any]) -> Inflate | None:
    library = modules.get("brotli") or modules.get("brotlicffi")
    if library is None:
        return None
    decompressor = library.Decompressor()
    if not hasattr(decompressor, "process"):
        return _at_once(decompressor.decompress)

    def inflate(piece: bytes, most: int) -> bytes:
        try:
            return bytes(decompressor.process(piece, output_buffer_limit=most))
        except TypeError:  # brotli before 1.2 knows no limit
            return bytes(decompressor.process(piece)) if piece else b""

    return inflate


def _zstd(modules: Mapping[str, Any]) -> Inflate | None:
    for name in ("compression.zstd", "backports.zstd"):
        if name in modules:
            decompressor = modules[name].ZstdDecompressor()

            def inflate(piece: bytes, most: int, zstd: Any = decompressor) -> bytes:
                if zstd.eof or (not piece and zstd.needs_input):
                    return b""
                return bytes(zstd.decompress(piece, max_length=most))

            return inflate
    if "zstandard" in modules:
        return _at_once(modules["zstandard"].ZstdDecompressor().decompressobj().decompress)
    return None


def _at_once(step: Callable[[bytes], bytes]) -> Inflate:
    return lambda piece, _most: bytes(step(piece)) if piece else b""
