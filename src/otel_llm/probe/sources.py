"""Room probe: the sources that there are, as offers to `observation`. A source is imported when it is opened."""

import sys
from functools import partial

from otel_llm.probe import gpu
from otel_llm.probe.instruments import HOST, LOOPS, PROCESS, SELF, SERVER
from otel_llm.probe.observation import Offer
from otel_llm.probe.reading import Source
from otel_llm.probe.settings import Config
from otel_llm.probe.sightings import Sightings


def offered(config: Config, sightings: Sightings, loops: Source, accounts: Source) -> list[Offer]:
    """What ``config`` asks for, and what otel-llm says of itself.

    Args:
        config: The room's settings.
        sightings: Which model servers were called.
        loops: The event loops that calls were made on.
        accounts: Otel-llm's own figures.
    """
    offers = [Offer(open=lambda: accounts, instruments=SELF)]
    if config.host:
        offers.append(Offer(open=_host, instruments=HOST, shared=True))
        offers.append(Offer(open=_process, instruments=PROCESS))
        offers.append(Offer(open=lambda: loops, instruments=LOOPS))
    if config.gpu:
        offers += gpu.offers()
    if config.server or config.servers:
        some = partial(_has_servers, config, sightings)
        offers.append(Offer(open=partial(_servers, config, sightings), instruments=SERVER, slow=True, is_there=some))
    return offers


def _host() -> Source:
    if _is_linux():
        from otel_llm.probe.host import Host  # noqa: PLC0415 - opened where it is read
    else:
        from otel_llm.probe.portable import Host  # type: ignore[assignment] # noqa: PLC0415
    return Host()


def _process() -> Source:
    if _is_linux():
        from otel_llm.probe.process import Process  # noqa: PLC0415
    else:
        from otel_llm.probe.portable import Process  # type: ignore[assignment] # noqa: PLC0415
    return Process()


def _has_servers(config: Config, sightings: Sightings) -> bool:
    return bool(config.servers or sightings.servers)


def _servers(config: Config, sightings: Sightings) -> Source:
    from otel_llm.probe.server import Servers  # noqa: PLC0415

    return Servers(sightings, config.servers)


def _is_linux() -> bool:
    """Whether this is Linux; psutil, which serves elsewhere, would read the same files there."""
    return sys.platform == "linux"
