"""Every method x {own, other's, missing} x every role, against the real server.

Which methods there are, and which fields of their requests name something of a vendor, is read from the contract: a new
method, or a new field that names a job, is looked at without anybody writing it down here, and fails where nobody said
how to fill its request.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from palaestra import rules
from palaestra.channel import authorization
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import (
    calendar_service_pb2,
    data_service_pb2,
    episode_pb2,
    host_service_pb2,
    job_array_service_pb2,
    job_pb2,
    job_service_pb2,
    reservation_pb2,
    reservation_service_pb2,
    rules_pb2,
    runner_service_pb2,
    venue_pb2,
)
from scheduler.commands import reserving, running
from scheduler.commands.submitting import Catalogue
from scheduler.configuration import settings_of
from scheduler.core import RunnerConnection
from scheduler.roles import ROLES, VENDORS, Role
from tests.scheduler.contract import METHODS
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, job

KNOWN = Catalogue(frozenset({"reach"}), frozenset({"sway"}), frozenset({"own_arm"}))
# Refusals that say nothing about what is there; an own thing must get past them.
RUNNER = "r/one"
DENIED = {
    "NO REASON",
    "ROLE_DENIED",
    "NOT_FOUND",
    "BAD_TOKEN",
    "SCOPE_DENIED",
    "INVALID_FIELD",
    "INTERNAL",
    "MALFORMED_MESSAGE",
}
# Every table in which a row is a vendor's.
TABLES = ("job", "lease", "episode", "reservation", "job_array", "api_key", "sim_result", "usage")


@dataclass(frozen=True)
class Names:
    """What one vendor has, by collection, and what it is called itself."""

    vendor: str
    things: dict[str, str]

    def of(self, pattern: str) -> str:
        """Return what a field with this pattern may name."""
        collections = re.findall(r"/([a-zA-Z]+)/", pattern)
        return self.things[collections[-1]] if collections else f"vendors/{self.vendor}"


def _pattern(field: FieldDescriptor) -> str:
    options: Any = field.GetOptions()
    return str(options.Extensions[rules_pb2.rules].pattern) if options.HasExtension(rules_pb2.rules) else ""


def _paths(message: Descriptor, prefix: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    """Yield every input field, at any depth, that names something of a vendor, with its pattern."""
    for field in message.fields:
        options: Any = field.GetOptions()
        if field_behavior_pb2.OUTPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]:
            continue
        path = f"{prefix}{field.name}"
        if field.message_type is not None:
            if field.message_type.full_name.startswith("palaestra.") and depth:
                yield from _paths(field.message_type, f"{path}.", depth - 1)
        elif "vendors" in _pattern(field):
            yield path, _pattern(field)


def _put(message: Any, path: str, value: str) -> None:
    """Set a field by its path; of repeated messages, the first."""
    head, _, rest = path.partition(".")
    repeated = message.DESCRIPTOR.fields_by_name[head].is_repeated
    if rest:
        child = getattr(message, head)
        if repeated:
            child = child[0] if child else child.add()
        _put(child, rest, value)
    elif repeated:
        getattr(message, head).append(value)
    else:
        setattr(message, head, value)


CELLS = [(name, path, pattern) for name, method in METHODS.items() for path, pattern in _paths(method.input_type)]
FIRST = {name: (path, pattern) for name, path, pattern in reversed(CELLS)}
"""The field by which a request says whose it is: the first."""


class Hall:
    """A live server with two vendors that have one of each thing, and a caller of every role."""

    def __init__(self, live: LiveServer) -> None:
        self.live = live
        live.run(running.register_runner("r", RUNNER, 2))
        live.core.runners["r"] = RunnerConnection(RUNNER, KNOWN)
        self.acme, self.bolt = self._furnish("acme"), self._furnish("bolt")
        self.callers: dict[str, Any] = {
            role: live.metadata(role) for role in ("operator", "host", "runner", "gateway")
        } | {"vendor": live.metadata("vendor-acme")}
        for role in ("engineer", "reader"):
            self.callers[role] = authorization(live.key(role, "acme").secret)
        self.callers["safety"] = authorization(live.key("safety").secret)
        self.scoped = authorization(live.key("engineer", "acme", projects=["walk"]).secret)

    def _furnish(self, vendor: str) -> Names:
        live, parent = self.live, f"vendors/{vendor}"
        body = job(0, 1)
        name = self.send("JobService/SubmitJob", job_service_pb2.SubmitJobRequest(parent=parent, job=body), vendor).name
        get = job_service_pb2.GetJobRequest(name=name)
        found = live.until(lambda: self.send("JobService/GetJob", get, vendor), lambda answer: bool(answer.attempts))
        attempt = found.attempts[0]
        live.run(running.start(attempt.name, RUNNER))
        episode = runner_service_pb2.CatalogueEpisodeRequest(
            attempt=attempt.name,
            instance=RUNNER,
            episode=episode_pb2.Episode(robot_model="own_arm", content=job_pb2.Artifact(sha256="ab" * 32)),
        )
        entered = live.run(running.catalogue(episode)).name
        made = data_service_pb2.CreateDatasetRequest(parent=parent, dataset_id=f"walks-of-{vendor}")
        dataset = self.send("DataService/CreateDataset", made, vendor).name
        frozen = data_service_pb2.CreateDatasetVersionRequest(parent=dataset, episodes=[entered])
        array = job_array_service_pb2.SubmitJobArrayRequest(parent=parent, job=job(), size=2)
        booking = reservation_service_pb2.CreateReservationRequest(parent=parent, reservation=self.reservation())
        return Names(
            vendor,
            {
                "jobs": name,
                "attempts": attempt.name,
                "leases": attempt.lease,
                "episodes": entered,
                "datasets": dataset,
                "versions": self.send("DataService/CreateDatasetVersion", frozen, vendor).name,
                "jobArrays": self.send("JobArrayService/SubmitJobArray", array, vendor).name,
                "reservations": live.run(reserving.reserve(vendor, booking, live.core.bounds)).name,
                "apiKeys": live.key("reader", vendor).api_key.name,
            },
        )

    def reservation(self) -> reservation_pb2.Reservation:
        now_s = self.live.core.clock.now_ns() // 1_000_000_000
        return reservation_pb2.Reservation(
            claim={"sim_slots": 1, "duration": {"seconds": 60}},
            start_time=Timestamp(seconds=now_s + 3600),
            end_time=Timestamp(seconds=now_s + 7200),
        )

    def request(self, name: str, values: dict[str, str]) -> Message:
        """Return a request of a method with these fields, and whatever else it needs to be valid."""
        now_s = self.live.core.clock.now_ns() // 1_000_000_000
        evaluate = any("job.evaluate" in path for path in values)
        work: dict[str, Any] = {"evaluate": {"task": "reach", "robot_model": "own_arm"}} if evaluate else {}
        submitted = (
            job_pb2.Job(**{"claim": {"sim_slots": 1, "duration": {"seconds": 600}}, **work}) if work else job(0, 1)
        )
        item = {"parent": values.get("parent", "vendors/acme"), "job": submitted}
        unit = "venues/hall/units/arm-1"
        closure = {"end_time": Timestamp(seconds=now_s + 60), "units": [unit]}
        more: dict[str, dict[str, Any]] = {
            "ApiKeyService/CreateApiKey": {"api_key": {"role": "reader"}},
            "CalendarService/CreateClosure": {"parent": "venues/-", "closure": closure},
            "CalendarService/DeleteClosure": {"name": "venues/hall/closures/none"},
            "CalendarService/ListClosedTimes": {"parent": "venues/-"},
            "CalendarService/ListClosures": {"parent": "venues/-"},
            "DataService/CreateDataset": {"dataset_id": "another-one"},
            "DataService/CreateDatasetVersion": {"query": {}},
            "DataService/LabelEpisodes": {"labels": {"seen": "yes"}, "names": [self.acme.things["episodes"]]},
            "EstimateService/GetEstimateCalibration": {"parent": "venues/-"},
            "FleetService/CalibrateUnit": {"name": unit},
            "FleetService/SetUnitHealth": {"name": unit, "health": venue_pb2.UNIT_HEALTH_MAINTENANCE},
            "FleetService/StopCell": {"name": "venues/hall/cells/bench"},
            "FleetService/StopVenue": {"name": "venues/-"},
            "HostService/Connect": {"beat": host_service_pb2.HostBeat()},
            "JobArrayService/SubmitJobArray": {"job": submitted, "size": 2},
            "JobService/BatchSubmitJobs": {"requests": [item]},
            "JobService/ReorderJob": {"priority": 7, "reason": "a visit"},
            "JobService/SubmitJob": {"job": submitted},
            "JobService/WhatIf": {"job": submitted},
            "ReservationService/CreateReservation": {"reservation": self.reservation()},
            "ReviewService/AnswerReview": {"answer": {"note": "seen"}},
            "RunnerService/AppendLog": {"lines": ["x"]},
            "RunnerService/CatalogueEpisode": {
                "instance": RUNNER,
                "episode": {"robot_model": "own_arm", "content": {"sha256": "cd" * 32}},
            },
            "RunnerService/FinishAttempt": {"instance": RUNNER, "outcome": job_pb2.ATTEMPT_STATE_SUCCEEDED},
            "RunnerService/HeartbeatAttempts": {"instance": RUNNER},
            "RunnerService/SaveCheckpoint": {"instance": RUNNER, "checkpoint": {"sha256": "ef" * 32}},
            "RunnerService/StartAttempt": {"instance": RUNNER},
            "RunnerService/WatchAssignments": {"runner": "s", "instance": "s/one"},
            "VenueService/GetUnit": {"name": unit},
            "VenueService/GetVenue": {"name": "venues/-"},
            "VenueService/InjectUnitFault": {"name": unit, "kind": "FAULT_KIND_JOINT_STUCK"},
            "VenueService/ListCells": {"parent": "venues/-"},
            "VenueService/ListSimSlots": {"parent": "venues/-"},
            "VenueService/ListUnits": {"parent": "venues/-"},
            "VenueService/ResetUnit": {"name": unit},
            "VenueService/StopUnit": {"name": unit},
        }
        request = GetMessageClass(METHODS[name].input_type)(**more.get(name, {}))
        for path, value in values.items():
            _put(request, path, value)
        # A method that nobody has said how to fill stops here.
        rules.check(request)
        return request

    def ask(self, name: str, request: Message, metadata: Any) -> bytes:
        """Return the first answer. Raises grpc.RpcError."""
        method, path, data = METHODS[name], f"/palaestra.v1.{name}", request.SerializeToString()
        channel = self.live.channel
        if not method.server_streaming:
            return bytes(channel.unary_unary(path)(data, timeout=PATIENCE_S, metadata=metadata))
        if method.client_streaming:
            stream = channel.stream_stream(path)(iter([data]), timeout=PATIENCE_S, metadata=metadata)
        else:
            stream = channel.unary_stream(path)(data, timeout=PATIENCE_S, metadata=metadata)
        try:
            return bytes(next(stream, b""))
        finally:
            stream.cancel()

    def send(self, name: str, request: Message, vendor: str) -> Any:
        answer = self.ask(name, request, self.live.metadata(f"vendor-{vendor}"))
        return GetMessageClass(METHODS[name].output_type).FromString(answer)

    def outcome(self, name: str, values: dict[str, str], metadata: Any, asked: str) -> tuple[str, bytes]:
        """Return the reason of a refusal, "" for an answer; and all bytes of either, without what was asked for."""
        try:
            reason, data = "", self.ask(name, self.request(name, values), metadata)
        except grpc.RpcError as error:
            call: Any = error
            trailing = b"".join(key.encode() + b"=" + _bytes(value) for key, value in call.trailing_metadata())
            reason = from_rpc(error).reason if b"grpc-status-details-bin" in trailing else "NO REASON"
            data = repr((call.code(), call.details())).encode() + trailing
        return reason, data.replace(asked.encode(), b"ASKED")

    def traces(self) -> list[bytes]:
        """Return what would betray bolt: its name and the ids of its things."""
        return [b"bolt", *(name.split("/")[3].encode() for name in self.bolt.things.values())]

    def kept(self) -> list[tuple[Any, ...]]:
        """Return all rows of bolt."""
        found = []
        for table in TABLES:
            rows = self.live.core.read.execute(f"SELECT * FROM {table} WHERE vendor = 'bolt'").fetchall()
            found += [(table, *row) for row in rows]
        return found


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


@pytest.fixture(scope="module")
def hall(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    # A lease must outlive the test: nobody sends heartbeats.
    settings = settings_of(
        VENUE
        | {
            "vendor": [{"id": "acme"}, {"id": "bolt"}],
            "project": [{"id": "walk", "vendor": "acme"}],
            "scheduler": {"lease_ttl_s": 3600.0},
        },
        "test",
    )
    with LiveServer(tmp_path_factory.mktemp("hall"), settings) as live:
        yield Hall(live)


def forms(name: str) -> list[str]:
    """Return names that nothing has, as like `name` as can be: another id, another vendor, one's own vendor."""
    if name.count("/") == 1:
        return ["vendors/none"]
    parts = name.split("/")
    other_id = "/".join([*parts[:3], parts[3][:-4] + "0000", *parts[4:]])
    return [other_id, name.replace("vendors/bolt", "vendors/none"), name.replace("vendors/bolt", "vendors/acme")]


def test_every_method_has_a_row_and_every_row_a_method() -> None:
    """The server lets nobody call a method without a row; this says so before anybody wonders."""
    assert set(ROLES) == set(METHODS)


def test_a_method_that_nobody_entered_is_open_to_nobody(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.guard.ROLES", {k: v for k, v in ROLES.items() if k != "VenueService/GetVenue"})

    for metadata in hall.callers.values():
        assert hall.outcome("VenueService/GetVenue", {}, metadata, "-")[0] == "ROLE_DENIED"


@pytest.mark.parametrize("name", METHODS)
def test_who_may_not_call_a_method_learns_nothing_by_trying(hall: Hall, name: str) -> None:
    """Denied for one's own, another's and nothing alike, in the same bytes; and bolt's rows stay as they are."""
    before = hall.kept()
    path, pattern = FIRST.get(name, ("", ""))
    asked = [hall.acme.of(pattern), hall.bolt.of(pattern), forms(hall.bolt.of(pattern))[0]] if path else ["-"]
    for role, metadata in hall.callers.items():
        if Role(role) not in ROLES[name]:
            told = {hall.outcome(name, {path: each} if path else {}, metadata, each) for each in asked}
            assert len(told) == 1
            assert {reason for reason, _ in told} == {"ROLE_DENIED"}
    for each in asked:
        assert hall.outcome(name, {path: each} if path else {}, None, each)[0] == "BAD_TOKEN"

    assert hall.kept() == before


@pytest.mark.parametrize("name", FIRST)
def test_vendors_reach_their_own_and_cannot_tell_anothers_from_nothing(hall: Hall, name: str) -> None:
    before = hall.kept()
    path, pattern = FIRST[name]
    own, other = hall.acme.of(pattern), hall.bolt.of(pattern)
    for role in VENDORS:
        if role in ROLES[name]:
            metadata = hall.callers[role.value]
            told = {hall.outcome(name, {path: each}, metadata, each) for each in [other, *forms(other)]}
            assert len(told) == 1, f"{role} can tell them apart"
            reason, data = next(iter(told))
            assert reason == "NOT_FOUND"
            assert not [trace for trace in hall.traces() if trace in data]
            assert hall.outcome(name, {path: own}, metadata, own)[0] not in DENIED
            if "|-" in pattern:
                assert hall.outcome(name, {path: "vendors/-"}, metadata, "vendors/-")[0] == "NOT_FOUND"

    assert hall.kept() == before


@pytest.mark.parametrize(("name", "path", "pattern"), [cell for cell in CELLS if cell[1] != FIRST[cell[0]][0]])
def test_what_a_request_names_besides_is_anothers_or_nothing_alike(
    hall: Hall, name: str, path: str, pattern: str
) -> None:
    """A filter, a job to come after, a policy, a reservation: what is not one's own does not exist."""
    before = hall.kept()
    whose, whose_pattern = FIRST[name]
    other = hall.bolt.of(pattern)
    for role in VENDORS:
        if role in ROLES[name]:
            told = {
                hall.outcome(name, {whose: hall.acme.of(whose_pattern), path: each}, hall.callers[role.value], each)
                for each in [other, *forms(other)]
            }
            assert len(told) == 1, f"{role} can tell them apart"
            reason, data = next(iter(told))
            assert reason not in {"INVALID_FIELD", "INTERNAL", "NO REASON"}
            assert not [trace for trace in hall.traces() if trace in data]

    assert hall.kept() == before


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FIRST])
def test_answers_about_the_venue_hold_nothing_of_anothers(hall: Hall, name: str) -> None:
    for role in VENDORS:
        if role in ROLES[name]:
            _, data = hall.outcome(name, {}, hall.callers[role.value], "-")
            assert not [trace for trace in hall.traces() if trace in data]


@pytest.mark.parametrize("name", FIRST)
def test_who_sees_everybody_finds_every_vendors_and_not_what_is_missing(hall: Hall, name: str) -> None:
    path, pattern = FIRST[name]
    other = hall.acme.of(pattern)
    missing = forms(hall.bolt.of(pattern))[0]
    for role in (Role.OPERATOR, Role.SAFETY):
        if role in ROLES[name]:
            metadata = hall.callers[role.value]
            assert hall.outcome(name, {path: other}, metadata, other)[0] not in DENIED
            assert hall.outcome(name, {path: missing}, metadata, missing)[0] == "NOT_FOUND"


@pytest.mark.parametrize("name", [name for name, (path, _) in FIRST.items() if path == "name"])
def test_what_is_outside_of_a_keys_projects_is_as_if_missing(hall: Hall, name: str) -> None:
    path, pattern = FIRST[name]
    own = hall.acme.of(pattern)
    if Role.ENGINEER in ROLES[name]:
        missing = "/".join([*own.split("/")[:3], own.split("/")[3][:-4] + "0000", *own.split("/")[4:]])
        told = {hall.outcome(name, {path: each}, hall.scoped, each) for each in (own, missing, hall.bolt.of(pattern))}
        assert len(told) == 1
        assert {reason for reason, _ in told} == {"NOT_FOUND"}


def test_closures_are_found_by_those_who_may_delete_them(hall: Hall) -> None:
    """The one thing of the house that is made and taken away by name."""
    name = "CalendarService/CreateClosure"
    made = hall.ask(name, hall.request(name, {}), hall.callers["safety"])
    closure = GetMessageClass(METHODS[name].output_type).FromString(made).name  # type: ignore[attr-defined]
    delete = calendar_service_pb2.DeleteClosureRequest(name=closure)

    hall.ask("CalendarService/DeleteClosure", delete, hall.callers["operator"])
    with pytest.raises(grpc.RpcError) as caught:
        hall.ask("CalendarService/DeleteClosure", delete, hall.callers["operator"])
    error: PalaestraError = from_rpc(caught.value)
    assert error.reason == "NOT_FOUND"
