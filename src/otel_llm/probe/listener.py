"""Room probe: who on this host listens on a port, and which addresses are its own. Slow; never on a call's path."""

import psutil


def addresses() -> frozenset[str]:
    """The host's own addresses, without the scope that IPv6 adds to some."""
    interfaces = psutil.net_if_addrs()
    return frozenset(one.address.partition("%")[0] for found in interfaces.values() for one in found)


def listeners(port: int) -> frozenset[int]:
    """Processes that listen on ``port``, and those below them: servers leave the card to a child.

    Nothing where this user may not know, as of another user's process.
    """
    try:
        heads = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.pid
            and connection.laddr
            and connection.laddr.port == port
        }
    except (psutil.Error, OSError):
        return frozenset()
    pids = set(heads)
    for pid in heads:
        try:
            pids |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        except psutil.Error:
            continue
    return frozenset(pids)
