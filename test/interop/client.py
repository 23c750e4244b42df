"""A Python orchestrator: calls the router through stubs that were generated from proto/ a moment ago.

Arguments: the router's host:port, the folder of the stubs. Prints what it saw as one JSON object; python.test.ts judges it.
"""

import json
import sys

import grpc
from grpc_status import rpc_status

address, stubs = sys.argv[1:]
sys.path.insert(0, stubs)

from buf.validate import validate_pb2  # noqa: E402
from gpurouter.v1 import router_pb2, router_pb2_grpc  # noqa: E402

channel = grpc.insecure_channel(address)
router = router_pb2_grpc.RouterServiceStub(channel)
seen = {}


def state(info):
    return router_pb2.RequestState.Name(info.state)


def failure(call):
    """The error of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


# Route, and Watch to the end.
request = router_pb2.RouteRequest(model_id="demo", user_id="python")
request.payload_json.update({"prompt": "hello"})
accepted = router.Route(request, timeout=10)
events = list(router.Watch(router_pb2.WatchRequest(request_id=accepted.request_id), timeout=20))
last = events[-1].request
seen["route"] = {
    "status": router_pb2.RouteStatus.Name(accepted.status),
    "assigned_gpu": accepted.assigned_gpu,
    "first_event": events[0].WhichOneof("event"),
    "final_state": state(last),
    "result": json.loads(last.result),
    "duration_ms": last.duration_ms,
}

# The details of an error: which fields, for machines.
refused = failure(lambda: router.Route(router_pb2.RouteRequest(priority=9), timeout=10))
details = rpc_status.from_call(refused)
violations = validate_pb2.Violations()
details.details[0].Unpack(violations)
seen["refused"] = {
    "code": refused.code().name,
    "details": refused.details(),
    "status_code": details.code,
    "fields": [violation.field.elements[0].field_name for violation in violations.violations],
}
unknown = failure(lambda: router.Status(router_pb2.StatusRequest(request_id="no-such"), timeout=10))
seen["unknown"] = {"code": unknown.code().name, "details": unknown.details()}

# A deadline ends the call, not the work.
slow = router.Route(
    router_pb2.RouteRequest(
        model_id="demo",
        timeout_ms=3_600_000,
        resource_requirements=router_pb2.ResourceRequirements(expected_duration_ms=3_600_000),
    ),
    timeout=10,
)
watching = router.Watch(router_pb2.WatchRequest(request_id=slow.request_id), timeout=0.5)
late = failure(lambda: list(watching))
still = router.Status(router_pb2.StatusRequest(request_id=slow.request_id), timeout=10).request
router.Cancel(router_pb2.CancelRequest(request_id=slow.request_id), timeout=10)
ends = [event.request for event in router.Watch(router_pb2.WatchRequest(request_id=slow.request_id), timeout=10) if event.HasField("request")]
seen["deadline"] = {"code": late.code().name, "state_after": state(still), "state_after_cancel": state(ends[-1])}

# A client that stops reading a stream that has no end.
watch = router.WatchGpus(router_pb2.WatchGpusRequest(min_interval_ms=100), timeout=20)
snapshot = next(watch)
change = next(watch)
watch.cancel()
seen["gpus"] = {
    "snapshot": snapshot.snapshot,
    "ids": [gpu.gpu_id for gpu in snapshot.gpus],
    "change_is_snapshot": change.snapshot,
    "change_sequence_grows": change.sequence > snapshot.sequence,
    "after_cancel": watch.code().name,
}

print(json.dumps(seen))
