"""Room fleet: from a URL to a client of redis-py. The one place that knows that package, which is an extra.

Nothing here waits longer than 0.4 s for a byte, and nothing is tried more than twice: who asks has a deadline.
"""

import contextlib
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from otel_llm.ledger import LedgerError
from otel_llm.redaction import scrub

PATIENCE: Final = 0.4
"""To connect, and for each answer [s]."""

INSTALL: Final = "pip install 'otel-llm[redis]'"
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_EXPECTED: Final = f"expected a URL that begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"


class FaultyUrlError(LedgerError):
    """The URL can never lead anywhere, or the extra is missing: there is nothing to try again."""


def connect(url: str) -> Any:
    """A client for ``url``; of a cluster where the server says that it is a node of one.

    Raises:
        FaultyUrlError: It is no URL of Redis, or redis-py is not installed.
        LedgerError: Nobody answers there, or not as a Redis.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme not in SCHEMES:
        message = f"redis.url: {_EXPECTED}, found {place(url)}"
        raise FaultyUrlError(message)
    try:
        from redis import Redis, RedisCluster  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        message = f"redis.url is set, but the package redis cannot be loaded: {INSTALL}"
        raise FaultyUrlError(message) from error
    options: dict[str, Any] = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    with told():
        try:
            if scheme.endswith("+sentinel"):
                return _through_sentinels(url, options)
            client = Redis.from_url(url, retry=Retry(NoBackoff(), 1), **options)
        except (ValueError, TypeError) as error:
            message = f"redis.url: {scrub(str(error))}"
            raise FaultyUrlError(message) from error
        if scheme == "unix" or not _is_cluster(client):
            return client
        client.close()
        return RedisCluster.from_url(url, retry=Retry(NoBackoff(), 1), **options)


class told:  # noqa: N801 - read as a word: ``with told():``
    """Context manager that makes a `LedgerError` of whatever redis-py raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, LedgerError):
            return
        text = scrub(str(error).partition("\n")[0], 160)
        raise LedgerError(text or type(error).__name__) from error


def place(url: str) -> str:
    """Where ``url`` leads, without user, password and options."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{hosts or parts.path}" if parts.scheme else hosts


def _is_cluster(client: Any) -> bool:
    from redis.exceptions import ResponseError  # noqa: PLC0415

    with contextlib.suppress(ResponseError):  # a user who may not ask; then it is told by its redirects
        return bool(client.info("cluster").get("cluster_enabled"))
    return False


def _through_sentinels(url: str, options: dict[str, Any]) -> Any:
    """A client for the master that Sentinels name: ``redis+sentinel://[USER:PASSWORD@]HOST:PORT,.../MASTER[/DB]``."""
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.connection import parse_url  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415
    from redis.sentinel import Sentinel  # noqa: PLC0415

    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    master, _, database = parts.path.lstrip("/").partition("/")
    if not master or not hosts:
        message = "expected redis+sentinel://HOST:PORT,HOST:PORT/MASTER"
        raise ValueError(message)
    asked = dict(parse_qsl(parts.query))
    own = {name: asked.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in asked}
    tls = parts.scheme == "rediss+sentinel"
    plain = f"{'rediss' if tls else 'redis'}://{user}{'@' if user else ''}localhost/{database}?{urlencode(asked)}"
    said: dict[str, Any] = dict(parse_url(plain))
    for name in ("host", "port", "connection_class"):
        said.pop(name, None)
    said = {**options, **said, **({"ssl": True} if tls else {})}
    secured = {name: value for name, value in said.items() if name.startswith("ssl")}
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]
    sentinel = Sentinel(
        [(address.hostname or "localhost", address.port or 26379) for address in addresses],
        sentinel_kwargs={**options, **secured, **own, "retry": Retry(NoBackoff(), 1)},
        **said,
    )
    return sentinel.master_for(master, retry=Retry(NoBackoff(), 1))
