"""Which formats there are in this process: ours, those of other packages, and the paths that the user's settings name.

Made with the recorder, at the first request: other packages are looked up and imported then, and not before.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Self

import msgspec
from opentelemetry.util._importlib_metadata import entry_points

from otel_llm import boundary
from otel_llm.record import providers
from otel_llm.record.exchange import Format, Opening, Request
from otel_llm.record.settings import Config

GROUP: Final = "otel_llm.provider"
"""Entry points of this group name a format: a module or an object as `exchange.Format` describes it."""

_VALUE: Final = re.compile(r"([\w.-]+)([/:].*)?")


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The formats, in the order in which they are asked.

    Attributes:
        formats: Those of other packages first: who installs one means it.
        named: By path ending from the user's settings, the format and the ending that it knows in its place.
        hosts: The user's provider names.
        paths: All path endings; what ends otherwise is nobody's.
    """

    formats: tuple[Format, ...]
    named: tuple[tuple[str, Format, str], ...]
    hosts: dict[str, str]
    paths: tuple[str, ...]

    @classmethod
    def load(cls, config: Config) -> Self:
        """All formats that can be found. A broken one is told in the log and left out."""
        others = dict(_others())
        formats = (*others.values(), *providers.FORMATS)
        names = {_name(known): known for known in providers.FORMATS} | others
        named = tuple(_named(config.paths, names))
        paths = (*(ending for ending, _, _ in named), *(path for known in formats for path in known.PATHS))
        return cls(formats=formats, named=named, hosts=config.hosts, paths=paths)

    def open(self, request: Request) -> tuple[Format, Opening] | None:
        """The format that reads ``request`` and what it asks, or ``None`` when it is no inference."""
        for ending, known, own in self.named:
            if request.path.endswith(ending):
                opening = _ask(known, _renamed(request, request.path.removesuffix(ending) + own), self.hosts)
                if opening is not None:
                    return known, opening
        for known in self.formats:
            if request.path.endswith(known.PATHS):
                opening = _ask(known, request, self.hosts)
                if opening is not None:
                    return known, opening
        return None


def _ask(known: Format, request: Request, hosts: dict[str, str]) -> Opening | None:
    """What ``known`` makes of ``request``; one that fails leaves it to the next."""
    try:
        return known.open(request, hosts)
    except Exception as error:  # noqa: BLE001 - the boundary, cheaper than `guard`
        boundary.swallow("record.open", error)
        return None


def _renamed(request: Request, path: str) -> Request:
    """``request`` as though it went to ``path``, which the user's settings say."""
    return Request(
        host=request.host, port=request.port, path=path, headers=request.headers, body=request.body, certain=True
    )


def _name(known: Any) -> str:
    return str(known.__name__).rpartition(".")[2]


def _others() -> Iterator[tuple[str, Format]]:
    """The formats of other packages, by name."""
    for point in entry_points(group=GROUP):
        with boundary.guard("record.provider"):
            known = point.load()
            if _is_format(known):
                yield point.name, known
            else:
                boundary.logger.warning(
                    "%s %s: expected an object with PATHS, open and read, found %s; left out", GROUP, point.name, known
                )


def _is_format(known: Any) -> bool:
    paths = getattr(known, "PATHS", None)
    named = isinstance(paths, tuple) and all(isinstance(path, str) and path for path in paths)
    return named and callable(getattr(known, "open", None)) and callable(getattr(known, "read", None))


def _named(paths: dict[str, str], names: dict[str, Format]) -> Iterator[tuple[str, Format, str]]:
    """What the setting ``record.paths`` means."""
    for ending, value in paths.items():
        match = _VALUE.fullmatch(value)
        known = names.get(match[1]) if match else None
        if not ending or match is None or known is None:
            boundary.logger.warning(
                "record.paths.%s: expected one of %s, found %r; left out", ending, ", ".join(sorted(names)), value
            )
            continue
        own = match[2] or known.PATHS[0]
        if own.endswith(known.PATHS):
            yield ending, known, own
        else:
            boundary.logger.warning(
                "record.paths.%s: expected an ending that %s knows (%s), found %r; left out",
                *(ending, match[1], ", ".join(known.PATHS), own),
            )
