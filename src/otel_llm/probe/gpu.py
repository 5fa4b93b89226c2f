"""Room probe: the cards as sources, whoever made them. Nothing is loaded until one is opened.

What is offered here goes to `observation.Observer`. Cards are slow to read (a sample of PCIe alone takes 20 ms), so
that a thread of their own does it.
"""

from otel_llm.probe import driver
from otel_llm.probe.instruments import GPU, GPU_PROCESS
from otel_llm.probe.observation import Offer
from otel_llm.probe.reading import Source


def offers() -> tuple[Offer, ...]:
    """The cards of this host, and what they hold for this process."""
    return (
        Offer(open=_nvidia, instruments=GPU, shared=True, slow=True, is_there=_has_nvidia),
        Offer(open=_amd, instruments=GPU, shared=True, slow=True, is_there=_has_amd),
        Offer(open=_nvidia_own, instruments=GPU_PROCESS, slow=True, is_there=_has_nvidia),
    )


def _has_nvidia() -> bool:
    return driver.library_fault() is None


def _has_amd() -> bool:
    return driver.DEVICE.exists()


def _nvidia() -> Source | None:
    from otel_llm.probe import nvml  # noqa: PLC0415 - opened where it is read

    return nvml.open_cards()


def _amd() -> Source | None:
    from otel_llm.probe import amd  # noqa: PLC0415 - opened where it is read

    return amd.open_cards()


def _nvidia_own() -> Source | None:
    from otel_llm.probe import nvml  # noqa: PLC0415 - opened where it is read

    return nvml.open_own()
