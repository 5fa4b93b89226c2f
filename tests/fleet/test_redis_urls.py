"""Every kind of Redis that a URL may lead to: TLS, a password, a unix socket, a cluster's node, Sentinels."""

import time

import pytest
import redis
import trustme

from otel_llm.alert.memory import MemoryLedger
from otel_llm.fleet.keys import Keys
from otel_llm.fleet.ledger import FleetLedger
from otel_llm.fleet.line import Line
from otel_llm.fleet.remote import Remote
from otel_llm.ledger import Kept, LedgerMovedError, Message, Row, Shared
from parts.waiting import wait_for

pytestmark = pytest.mark.usefixtures("unhurried")
LINES = []
MASTER = "mymaster"
PASSWORD = "right"  # noqa: S105


class Ledger(FleetLedger):
    def __init__(self, url):
        line = Line(url)
        LINES.append(line)
        remote = Remote(line, Keys("test"), boot="me", now=time.monotonic, name="me")
        super().__init__(MemoryLedger(), remote, line, place="there", host="me")


@pytest.fixture(autouse=True)
def _lines_end():
    yield
    while LINES:
        LINES.pop().close()


def share(ledger):
    slot = Shared(group="g", key=(), worker="w", number=int(time.monotonic() / 5), until=10**9, content=[1], boot="me")
    ledger.share([slot], time.monotonic())


def is_joined(ledger):
    try:
        share(ledger)
    except LedgerMovedError:
        return False
    return ledger.joined


def leased(ledger):
    """Joined, and with an epoch; the first questions on a machine that is shared may come back too late."""
    return is_joined(ledger) and ledger.lease("me", time.monotonic())


def works(url):
    """Everything that a ledger asks of Redis, once."""
    ledger = Ledger(url)
    wait_for(lambda: leased(ledger))
    epoch = ledger.lease("me", time.monotonic())
    said = Message(
        status="firing", labels={}, annotations={}, starts_at=1.0, ends_at=None, fingerprint="f", episode=1, repeat=1
    )
    row = Row(identity=f"ops:{said.identity}", receiver="ops", message=said, created=time.time())
    kept = Kept(
        fingerprint="f", rule="R", digest="", state="firing", content={}, labels={}, at=1.0, wall=1.0, boot="me"
    )
    assert epoch
    assert ledger.commit(epoch, [kept], [row])
    (due,) = ledger.due("ops", time.monotonic(), 10)
    assert ledger.claim(epoch, [due], time.monotonic()) == [due]
    ledger.settle(due, "sent", 0.0, None)
    ledger.accept([row])
    assert not ledger.due("ops", time.monotonic(), 10)
    assert [one.content for one in ledger.shared(0, "somebody else")[0]] == [[1]]
    assert [one.rule for one in ledger.kept()] == ["R"]
    ledger._remote.tidy()
    assert ledger.joined
    return ledger


def test_a_plain_url(redis_server):
    works(redis_server.url)


def test_a_password(redis_servers):
    server = redis_servers("--requirepass", PASSWORD, password=PASSWORD)
    server.start()
    works(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")


def test_a_unix_socket(redis_servers, tmp_path):
    server = redis_servers("--unixsocket", str(tmp_path / "s"))
    server.start()
    works(f"unix://{tmp_path / 's'}?db=1")


@pytest.fixture
def certificates(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    return tmp_path


def test_tls_with_an_authority_of_one_s_own(redis_servers, certificates):
    def answers(server):
        try:
            return redis.Redis(
                host="localhost", port=server.port, ssl=True, ssl_ca_certs=str(certificates / "ca.pem")
            ).ping()
        except redis.RedisError:
            return False

    server = redis_servers(ready=answers)
    pair = ("--tls-cert-file", str(certificates / "cert.pem"), "--tls-key-file", str(certificates / "key.pem"))
    authority = ("--tls-ca-cert-file", str(certificates / "ca.pem"), "--tls-auth-clients", "no")
    server.start("--port", "0", "--tls-port", str(server.port), *pair, *authority)
    works(f"rediss://localhost:{server.port}/0?ssl_ca_certs={certificates / 'ca.pem'}")
    distrusting = Ledger(f"rediss://localhost:{server.port}/0")
    assert not is_joined(distrusting)


def _is_ok(client):
    return client.cluster("info")["cluster_state"] == "ok"


@pytest.mark.slow
def test_a_node_of_a_cluster(redis_servers, free_port):
    server = redis_servers("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server.start()
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(lambda: _is_ok(client))
    ledger = works(server.url)
    assert type(ledger._line._client).__name__ == "RedisCluster"


@pytest.mark.slow
def test_sentinels_lead_to_the_master_and_to_the_next_one(redis_servers, tmp_path):
    first, second = redis_servers(), redis_servers()
    first.start()
    second.start("--replicaof", "127.0.0.1", str(first.port))
    with second.client() as client:
        wait_for(lambda: client.info("replication")["master_link_status"] == "up")
    sentinel = redis_servers()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {sentinel.port}\nbind 127.0.0.1\ndir {sentinel.folder}\n"
        f"sentinel monitor {MASTER} 127.0.0.1 {first.port} 1\n"
        f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n"
    )
    sentinel.command = ["redis-server", str(config), "--sentinel"]
    sentinel.start()
    ledger = works(f"redis+sentinel://127.0.0.1:{sentinel.port}/{MASTER}/0")
    first.kill()
    wait_for(lambda: is_joined(ledger) and ledger._line._client is not None and _leads_to(ledger, second), 30.0)
    assert [one.rule for one in ledger.kept()] == ["R"]


def _leads_to(ledger, server):
    return ledger._line.ask(lambda client: client.info("server")["tcp_port"]) == server.port
