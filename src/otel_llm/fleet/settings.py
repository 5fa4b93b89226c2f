"""What a user may set about the fleet: YAML section ``redis``, environment ``OTEL_LLM_REDIS_*``."""

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of what several hosts share.

    Attributes:
        url: A Redis that the hosts share, as redis-py takes it: ``redis://``, ``rediss://`` (TLS) or ``unix://``; any
            node of a cluster; ``redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB`` for Sentinels. It may hold a password.
        namespace: Hosts with the same one are judged as one; by default service and environment, as the resource
            says them.
    """

    url: str | None = None
    namespace: str | None = None
