"""Draw where a call's time went: one bar a phase over a common axis. Cli storey; pure: takes an attempt, gives lines.

Only what was measured is drawn. The client's phases come from its own clock and stand where they happened. What the
server says of itself are lengths on another clock; they are laid so that its decoding begins at the first token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from otel_llm.cli import output
from otel_llm.cli.cells import Attempt

_LABEL: Final = 18
_VALUE: Final = 8
_TICK_ROOM: Final = 10
"""[characters] An axis label and the blank after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a call: ``begin`` and ``end`` are seconds [s] on the axis."""

    label: str
    begin: float
    end: float
    glyph: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glyphs:
    queue: str
    connect: str
    wait: str
    decode: str
    tick: str


_UNICODE: Final = _Glyphs(queue="░", connect="▒", wait="▓", decode="█", tick="╵")
_ASCII: Final = _Glyphs(queue=".", connect=":", wait="=", decode="#", tick="|")


def draw(attempt: Attempt, width: int, *, ascii_only: bool = False) -> list[Text]:
    """The waterfall of ``attempt`` as lines of at most ``width`` [characters]."""
    glyphs = _ASCII if ascii_only else _UNICODE
    phases = client_phases(attempt, glyphs)
    server = server_phases(attempt, glyphs)
    total = max(phase.end for phase in [*phases, *server])
    room = max(20, width - _LABEL - _VALUE - 2)
    lines = [*_axis(total, room, glyphs.tick)]
    lines += [_row(phase.label, [phase], total, room) for phase in phases]
    if server:
        lines.append(_row("server's clock", server, total, room))
        parts = [f"{phase.label} {output.duration(phase.end - phase.begin)}" for phase in server]
        lines += _notes(parts, width)
    return lines + _notes(stream_facts(attempt), width)


def client_phases(attempt: Attempt, glyphs: _Glyphs = _UNICODE) -> list[Phase]:
    """The phases that the client measured, in order; the axis begins with the wait in the application's queue."""
    call = attempt.call
    start = call.queue_wait or 0.0
    end = start + attempt.span.duration
    phases = []
    if call.queue_wait:
        phases.append(Phase(label="queue wait", begin=0.0, end=start, glyph=glyphs.queue, style="magenta"))
    if call.connection_wait:
        connected = min(start + call.connection_wait, end)
        phases.append(Phase(label="connection wait", begin=start, end=connected, glyph=glyphs.connect, style="cyan"))
        begin = connected
    else:
        begin = start
    if call.time_to_first_token is None:
        label = "until it failed" if attempt.failed else "response"
        style = "red" if attempt.failed else "green"
        return [*phases, Phase(label=label, begin=begin, end=end, glyph=glyphs.decode, style=style)]
    first = min(max(begin, start + call.time_to_first_token), end)
    phases.append(Phase(label="wait, prefill", begin=begin, end=first, glyph=glyphs.wait, style="yellow"))
    phases.append(Phase(label="decode", begin=first, end=end, glyph=glyphs.decode, style="green"))
    return phases


def server_phases(attempt: Attempt, glyphs: _Glyphs = _UNICODE) -> list[Phase]:
    """What the server's own clock measured, side by side."""
    call = attempt.call
    before = (call.server_queue_time or 0.0) + (call.server_prefill_time or 0.0)
    begin = call.queue_wait or 0.0
    if call.time_to_first_token is not None:
        begin += max(0.0, call.time_to_first_token - before)
    else:
        begin += call.connection_wait or 0.0
    phases = []
    for label, length, glyph, style in (
        ("queue", call.server_queue_time, glyphs.queue, "magenta"),
        ("prefill", call.server_prefill_time, glyphs.wait, "yellow"),
        ("decode", call.server_decode_time, glyphs.decode, "green"),
    ):
        if length is not None:
            phases.append(Phase(label=label, begin=begin, end=begin + length, glyph=glyph, style=style))
            begin += length
    return phases


def stream_facts(attempt: Attempt) -> list[str]:
    """``TTFT 311ms``, ``96 tokens``, ``TPOT 14.0ms``, ...: what is known of a stream; nothing of a plain call."""
    call = attempt.call
    if not call.stream and call.stream_chunks is None:
        return []
    facts = []
    if call.time_to_first_token is not None:
        facts.append(f"TTFT {output.duration(call.time_to_first_token)}")
    if call.output_tokens is not None:
        facts.append(f"{attempt.tokens(call.output_tokens)} tok")
    if call.time_per_output_token is not None:
        facts.append(f"TPOT {output.duration(call.time_per_output_token)}")
    if call.stream_chunks is not None:
        facts.append(f"{output.count(call.stream_chunks)} chunks")
    if call.stream_max_gap is not None:
        facts.append(f"longest gap {output.duration(call.stream_max_gap)}")
    return facts


def _axis(total: float, room: int, tick: str) -> list[Text]:
    """A line of times and, under it, a line of ticks."""
    labels, ticks = "", ""
    step = _step(total, max(2, room // _TICK_ROOM))
    for number in range(int(total / step + 1e-9) + 1):
        place = round(number * step / total * (room - 1)) if total else 0
        label = output.tick(number * step, step, total)
        if place + len(label) <= room + _VALUE:
            labels = labels.ljust(place) + label
            ticks = ticks.ljust(place) + tick
    return [Text(" " * _LABEL + line, style="dim") for line in (labels, ticks)]


def _step(total: float, most: int) -> float:
    """The smallest 1, 2 or 5 times a power of ten [s] that divides ``total`` into at most ``most`` parts."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if total <= step * factor * most:
                return step * factor
        step *= 10


def _row(label: str, phases: Sequence[Phase], total: float, room: int) -> Text:
    bar, column = Text(), 0
    for phase in phases:
        begin = round(phase.begin / total * room) if total else 0
        end = round(phase.end / total * room) if total else room
        # A phase that was measured is seen, however short it is.
        begin = min(max(begin, column), room - 1)
        end = max(end, begin + 1)
        bar.append(" " * (begin - column))
        bar.append(phase.glyph * (end - begin), style=phase.style)
        column = end
    length = phases[-1].end - phases[0].begin
    value = output.duration(length).rjust(_VALUE)
    return Text.assemble(label.ljust(_LABEL), bar, " " * max(0, room - column), "  ", value)


def _notes(parts: Sequence[str], width: int) -> list[Text]:
    """``parts`` under the bars, on as few lines of ``width`` [characters] as hold them."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(" " * _LABEL + part)
    return [Text(line) for line in lines]
