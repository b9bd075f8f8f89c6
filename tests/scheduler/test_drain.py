"""A scheduler that is asked to end does so in good order, however busy it is."""

import threading
from contextlib import closing
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaestra import Client, PalaestraError
from palaestra.chain import Chain
from palaestra.errors import Unreachable
from palaestra.ids import new_request_id
from scheduler import audit, database
from tests.scheduler.process import PATIENCE_S, Process
from tests.scheduler.site import job

CLIENTS = 4
# As long as the scheduler lets calls finish, and more; it must end by itself before.
GRACE_S = 10.0


def test_a_scheduler_asked_to_end_under_load_says_so_first_and_loses_nothing_it_has_acknowledged(
    tmp_path: Path,
) -> None:
    """Probes are told that it serves no more; each call is answered, refused with a reason, or cut; and it ends."""
    acknowledged: list[str] = []
    reasons: set[str] = set()
    process = Process(tmp_path)
    address = process.address()
    token = process.token("vendor-acme")
    enough = threading.Event()

    def submit() -> None:
        with Client(address, token, timeout_s=1.0) as client:
            while True:
                try:
                    acknowledged.append(client.submit(job(), request_id=new_request_id()).name)
                except PalaestraError as error:
                    reasons.add("cut" if isinstance(error, Unreachable) else error.reason)
                    return
                if len(acknowledged) >= 60:
                    enough.set()

    with grpc.insecure_channel(address) as channel:
        probe = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(probe).status == health_pb2.HealthCheckResponse.SERVING
        threads = [threading.Thread(target=submit) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        assert enough.wait(PATIENCE_S)
        process.ask_to_end()
        assert next(probe).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert process.code(GRACE_S) == 0
        for thread in threads:
            thread.join(PATIENCE_S)
    assert reasons <= {"cut", "SHUTTING_DOWN"}
    assert "Traceback" not in process.output()
    with closing(database.open_reader(process.data / database.FILE)) as db:
        kept = {f"vendors/acme/jobs/{row['uid']}" for row in db.execute("SELECT uid FROM job")}
        assert kept >= set(acknowledged)
        # One of each client may have been written without the answer reaching it.
        assert len(kept) - len(acknowledged) <= CLIENTS
        written = audit.entries(db, "acme", 0, 1_000_000)
        chain = Chain()
        for entry in written:
            chain.take(entry)
        assert {entry.resource for entry in written} == kept, "and each of them is in the audit"
