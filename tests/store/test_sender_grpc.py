"""What a gRPC backend's answers mean, from a real grpc server."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from otel_llm.store.sender import GRPC, Answer, Destination, Verdict, connect


@pytest.fixture
def backend():
    """``answer(context)`` is called for each request; gives the address and the metadata that came."""
    told = {"answer": lambda _: b"", "metadata": {}}

    def export(_, context):
        told["metadata"] = dict(context.invocation_metadata())
        return told["answer"](context)

    class Handler(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(1), handlers=(Handler(),))
    told["url"] = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield told
    server.stop(None)


def send(backend, **parts):
    sender = connect(Destination(url=backend["url"], protocol=GRPC, timeout=60.0, **parts))
    try:
        return sender.send("spans", b"")
    finally:
        sender.close()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (grpc.StatusCode.UNAVAILABLE, Verdict.AGAIN),
        (grpc.StatusCode.ABORTED, Verdict.AGAIN),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Verdict.REFUSED),
        (grpc.StatusCode.INVALID_ARGUMENT, Verdict.REFUSED),
        (grpc.StatusCode.UNIMPLEMENTED, Verdict.UNKNOWN),
        (grpc.StatusCode.UNAUTHENTICATED, Verdict.STOP),
    ],
)
def test_a_status_is_understood(backend, code, verdict):
    backend["answer"] = lambda context: context.abort(code, "for a reason")
    answer = send(backend)
    assert (answer.verdict, answer.reason) == (verdict, f"gRPC {code.name} for a reason")


def test_a_backend_that_is_full_says_when_to_come_back(backend):
    def answer(context):
        status = Status(code=8)
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=3)))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    backend["answer"] = answer
    assert send(backend) == Answer(verdict=Verdict.AGAIN, wait=3.0, reason="gRPC RESOURCE_EXHAUSTED full")


def test_headers_are_sent_as_metadata(backend):
    assert send(backend, headers={"X-Key": "a"}, compressed=True).verdict is Verdict.DELIVERED
    assert backend["metadata"]["x-key"] == "a"


def test_a_backend_that_is_away_is_tried_again():
    sender = connect(Destination(url="http://127.0.0.1:1", protocol=GRPC, timeout=1.0))
    assert sender.send("spans", b"").verdict is Verdict.AGAIN
    sender.close()
