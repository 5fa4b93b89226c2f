"""Room probe: the cards as sources, whoever made them. Nothing is loaded until one is opened.

What is offered here goes to `observation.Observer`. Cards are slow to read (a sample of PCIe alone takes 20 ms), so
that a thread of their own does it.
"""

from otel_llm.probe import nvml
from otel_llm.probe.instruments import GPU, GPU_PROCESS
from otel_llm.probe.observation import Offer


def offers() -> tuple[Offer, ...]:
    """The cards of this host, and what they hold for this process."""
    return (
        Offer(open=nvml.open_cards, instruments=GPU, shared=True, slow=True),
        Offer(open=nvml.open_own, instruments=GPU_PROCESS, slow=True),
    )
