"""Room probe: the NVIDIA GPUs of this host, read through NVML (``pynvml``).

One walk over the cards for each reading. NVML is opened by whoever reads first in a process, never carried over a fork.
A card that is lost is told once and absent until NVML, opened anew from time to time, has it back. Without a driver
there is nothing to read, and nothing is said; `diagnose` tells it to those who ask. Readings go to `observation`.
"""

import ctypes
import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from otel_llm import boundary, semconv
from otel_llm.probe.card import Card, ClosedError, Field, GoneError, identify, is_unsupported
from otel_llm.probe.driver import library_fault
from otel_llm.probe.fields import FIELDS, PROCESS_FIELDS
from otel_llm.probe.reading import Reading

REOPEN_AFTER: Final = 30.0
"""How long NVML is left alone after a card was lost or NVML could not be opened; twice as long each time [s]."""

_MOST_PAUSE: Final = 600.0
"""Longest time that NVML is left alone: opening it may wake cards up [s]."""


class Nvml:
    """The cards, as a source.

    Args:
        name: One word for messages.
        fields: What the cards are asked for.
    """

    def __init__(self, name: str = "gpu", fields: Sequence[Field] = FIELDS) -> None:
        self.name = name
        self.errors: dict[str, int] = {}
        self.why: str | None = None
        self._fields = fields
        self._nvml: Any = None
        self._pid = os.getpid()
        self._open = False
        self._count = 0
        self._cards: list[Card] = []
        self._known: dict[str, Card] = {}
        self._ids: dict[int, str] = {}
        self._lost: dict[str, str] = {}
        self._not_before = float("-inf")
        self._pause = REOPEN_AFTER

    def read(self, now: float) -> Sequence[Reading]:
        """What the cards say; nothing of those that are lost."""
        cards = self.cards(now)
        readings: list[Reading] = []
        for card in cards:
            readings += self._read(card, now)
        readings += [
            Reading(semconv.METRIC_SELF_GPU_READ_ERRORS, count, {semconv.SELF_WHERE: where})
            for where, count in self.errors.items()
        ]
        return readings

    def cards(self, now: float) -> list[Card]:
        """The cards that are there, after opening NVML where need be."""
        if self._pid != os.getpid():  # a forked child: its parent's NVML is not its own
            self._pid, self._open, self._not_before = os.getpid(), False, float("-inf")
        if self._open and (self._lost or self._has_changed()) and now >= self._not_before:
            self.close()
        if not self._open and now >= self._not_before:
            self._start()
            well = self._open and not self._lost
            self._not_before = now + self._pause
            self._pause = REOPEN_AFTER if well else min(2 * self._pause, _MOST_PAUSE)
        return [card for card in self._cards if card.id not in self._lost] if self._open else []

    @property
    def lost(self) -> tuple[str, ...]:
        """The cards that should be there and are not."""
        return tuple(self._lost)

    def close(self) -> None:
        """Close NVML, unless it was opened by the process that forked this one."""
        if self._open and self._pid == os.getpid():
            self._open = False
            self._shut()

    def _read(self, card: Card, now: float) -> Sequence[Reading]:
        if not self._open:  # closed while a card before this one was asked
            return ()
        try:
            return card.read(self._fields, now)
        except GoneError:
            self._lose(card.id, f"{card.identity.get(semconv.HW_NAME, 'GPU')} {card.id}")
            self._not_before = now + REOPEN_AFTER
        except ClosedError:
            self._count_error("driver")
            self.close()
            self._not_before = now + REOPEN_AFTER
        return ()

    def _has_changed(self) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetCount() != self._count)
        except self._nvml.NVMLError:
            return True

    def _start(self) -> None:
        """Open NVML and find the cards; ``why`` says why there are none."""
        self._cards = []
        try:
            self._nvml = self._nvml or import_module("pynvml")
            self._nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 - a library that is half there raises what it likes
            self.why = f"NVML does not open: {error}"
            return
        self._open, self.why = True, None
        try:
            self._count = self._nvml.nvmlDeviceGetCount()
            for index in range(self._count):
                self._find(index)
        except Exception:  # noqa: BLE001 - as above
            self._count_error("count")
        if not self._cards:
            self.why = "NVML knows no card"

    def _find(self, index: int) -> None:
        """Take up the card at ``index``; known ones keep what they have counted."""
        name = f"nvidia-{index}"
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            identity = identify(self._nvml, handle, name)
            card = self._known.get(identity[semconv.HW_ID])
            if card is None:
                card = Card(nvml=self._nvml, handle=handle, identity=identity, errors=self.errors)
                self._known[card.id] = card
            card.handle = handle
            card.check()
        except Exception as error:  # noqa: BLE001 - as above
            self._miss(self._ids.get(index, name), error)
            return
        self._ids[index] = card.id
        self._cards.append(card)
        if {self._lost.pop(card.id, None), self._lost.pop(name, None)} != {None}:
            boundary.logger.info("GPU %s is back", card.id)

    def _miss(self, key: str, error: Exception) -> None:
        """A card that should be there did not answer."""
        try:
            is_unsupported(error)
        except GoneError:
            self._lose(key, key)
        except ClosedError:
            self._count_error("driver")
        else:
            self._count_error("handle")

    def _lose(self, key: str, called: str) -> None:
        if key not in self._lost:
            boundary.logger.warning("%s is lost; its readings are absent until it is back", called)
        self._lost[key] = called

    def _count_error(self, where: str) -> None:
        self.errors[where] = self.errors.get(where, 0) + 1

    def _shut(self) -> None:
        try:
            self._nvml.nvmlShutdown()
        except Exception as error:  # noqa: BLE001 - as above
            boundary.logger.debug("NVML does not close: %s", error)


def open_cards() -> Nvml | None:
    """The cards, or ``None`` where there is no driver."""
    return Nvml() if library_fault() is None else None


def open_own() -> "Own | None":
    """What the cards hold for this process, or ``None`` where there is no driver."""
    return Own() if library_fault() is None else None


class Own(Nvml):
    """GPU memory of this process; nothing is opened in one that does not use CUDA."""

    def __init__(self) -> None:
        super().__init__("process_gpu", PROCESS_FIELDS)

    def read(self, now: float) -> Sequence[Reading]:
        """What the cards hold for this process."""
        return (
            [one for one in super().read(now) if one.name == semconv.METRIC_PROCESS_GPU_MEMORY] if _uses_cuda() else ()
        )


def _uses_cuda() -> bool:
    """Whether CUDA's library is loaded in this process; it loads nothing."""
    try:
        ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD)
    except (OSError, AttributeError):
        return False
    return True


def diagnose() -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Name and UUID of each card that can be read now; and why others, or all, cannot."""
    fault = library_fault()
    if fault is not None:
        return (), f"no NVIDIA driver: {fault}"
    source = Nvml()
    try:
        names = tuple((card.identity.get(semconv.HW_NAME, "GPU"), card.id) for card in source.cards(0.0))
        why = ", ".join((*(f"{lost} is lost" for lost in source.lost), *(f"{where} failed" for where in source.errors)))
        return names, source.why or why or None
    finally:
        source.close()
