"""Who on this host listens on a port, and which addresses are its own. Slow; never on a call's path.

On Linux from ``/proc``: psutil would read the same files, and where it is installed the OpenTelemetry SDK loads it into
every process. Elsewhere psutil is asked. Sources: proc(5), ``Documentation/networking`` of Linux.
"""

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
"""The state of a socket that listens, in ``/proc/net/tcp``."""


def addresses() -> frozenset[str]:
    """The host's own addresses, without the scope that IPv6 adds to some."""
    if not _is_linux():
        import psutil  # noqa: PLC0415 - see above

        found = psutil.net_if_addrs().values()
        return frozenset(one.address.partition("%")[0] for of_card in found for one in of_card)
    return frozenset((*_addresses_4(), *_addresses_6()))


def ports() -> frozenset[int]:
    """The TCP ports that this process listens on."""
    if not _is_linux():
        import psutil  # noqa: PLC0415

        mine = psutil.Process().net_connections("tcp")
        return frozenset(one.laddr.port for one in mine if one.status == psutil.CONN_LISTEN)
    own = _sockets(PROC / "self")
    return frozenset(port for port, inode in _listening() if inode in own)


def processes(port: int) -> frozenset[int]:
    """Processes that listen on ``port``, and those below them: servers leave the card to a child.

    Nothing where this user may not know, as of another user's process.
    """
    if not _is_linux():
        return _processes_elsewhere(port)
    wanted = {inode for one, inode in _listening() if one == port}
    if not wanted:
        return frozenset()
    parents, pids = {}, set()
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            parents[int(folder.name)] = _parent(folder)
            if wanted & _sockets(folder):
                pids.add(int(folder.name))
    while below := {pid for pid, parent in parents.items() if parent in pids} - pids:
        pids |= below
    return frozenset(pids)


def _is_linux() -> bool:
    return sys.platform == "linux"


def _listening() -> Iterator[tuple[int, str]]:
    """Port and inode of each TCP socket that listens."""
    for name in ("tcp", "tcp6"):
        for words in _lines(PROC / "net" / name):
            if len(words) > 9 and words[3] == _LISTEN:  # noqa: PLR2004 - the tenth is the inode
                yield int(words[1].rpartition(":")[2], 16), words[9]


def _sockets(process: Path) -> set[str]:
    """Inodes of the sockets that a process holds; none where that may not be known or it is gone."""
    held: set[str] = set()
    with suppress(OSError):
        for link in os.scandir(process / "fd"):
            with suppress(OSError):
                kind, _, inode = os.readlink(link.path).partition(":[")  # noqa: PTH115 - a path for each of thousands would cost more
                if kind == "socket":
                    held.add(inode[:-1])
    return held


def _parent(process: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        # The name, in brackets, may hold anything.
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return None


def _addresses_4() -> Iterator[str]:
    """The local leaves of the routing tree; each stands in the line before the one that says so."""
    before = ""
    for words in _lines(PROC / "net" / "fib_trie"):
        if words[-2:] == ["host", "LOCAL"]:
            yield before
        before = words[-1] if words else ""


def _addresses_6() -> Iterator[str]:
    for words in _lines(PROC / "net" / "if_inet6"):
        with suppress(ValueError):
            yield str(ipaddress.IPv6Address(bytes.fromhex(words[0])))


def _lines(file: Path) -> Iterator[list[str]]:
    """The words of each line; none where there is no such file."""
    with suppress(OSError), file.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            yield line.split()


def _processes_elsewhere(port: int) -> frozenset[int]:
    import psutil  # noqa: PLC0415

    try:
        listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):
        return frozenset()
    pids = heads = {one.pid for one in listening if one.pid and one.laddr and one.laddr.port == port}
    for pid in heads:
        with suppress(psutil.Error):
            pids = pids | {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return frozenset(pids)
