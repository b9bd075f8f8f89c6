"""API keys: made once, known by their hash, narrower than their role, and gone when they are taken back."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from palaestra import Client, PalaestraError
from palaestra.api_keys import api_key
from palaestra.channel import authorization
from palaestra.roles import HOUSE_ROLES, VENDOR_ROLES
from palaestra.v1 import api_key_service_pb2, api_key_service_pb2_grpc, venue_service_pb2, venue_service_pb2_grpc
from scheduler import keys
from scheduler.commands import keying, running
from scheduler.commands.submitting import Catalogue
from scheduler.configuration import settings_of
from scheduler.core import RunnerConnection
from scheduler.roles import ROLES, Role, in_scope
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, error_of, job

PROJECTS = {"project": [{"id": "walk", "vendor": "acme"}, {"id": "reach", "vendor": "acme"}]}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("keys"), settings_of(VENUE | PROJECTS, "test")) as server:
        yield server


@pytest.fixture
def acme(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def operator(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
        yield client


def holder(live: LiveServer, secret: str) -> Client:
    return Client(live.address, secret, timeout_s=PATIENCE_S)


def reason(live: LiveServer, secret: str) -> str:
    """Return why a secret opens nothing."""
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)

    def call() -> Message:
        request = venue_service_pb2.GetIdentityRequest()
        answer: Message = stub.GetIdentity(request, timeout=PATIENCE_S, metadata=authorization(secret))
        return answer

    return error_of(call).reason


def test_the_names_of_roles_are_the_same_everywhere() -> None:
    assert {role.value for role in Role if role.acts_for_vendor} == set(VENDOR_ROLES)
    assert {role.value for role in Role if not role.acts_for_vendor} == set(HOUSE_ROLES)


def test_a_key_opens_as_its_role_and_its_secret_is_told_once(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("engineer", display_name="ci"))

    with holder(live, made.secret) as client:
        who = client.identity()
        assert (who.role, who.vendor, who.credential) == ("engineer", "vendors/acme", made.api_key.name)
        assert client.submit(job()).name.startswith("vendors/acme/jobs/")
    listed = next(key for key in acme.api_keys.list() if key.name == made.api_key.name)
    assert listed.display_name == "ci"
    assert listed.creator == "vendor acme by token"
    assert made.secret.startswith(listed.prefix)
    secret = made.secret.removeprefix(listed.prefix)
    assert secret not in str(listed) + str(acme.api_keys.get(listed.name))


def test_neither_the_database_nor_events_hold_a_secret(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader"))
    rotated = acme.api_keys.rotate(made.api_key.name, overlap_s=60.0)

    dump = "\n".join(live.core.read.iterdump()).encode()
    for each in (made, rotated):
        random = each.secret.removeprefix(each.api_key.prefix)
        assert len(random) == 43
        assert random.encode() not in dump
        assert random.encode().hex().encode() not in dump.lower()


def test_what_happens_to_a_key_is_an_event_of_its_vendor_and_of_operators(
    live: LiveServer, acme: Client, operator: Client
) -> None:
    name = acme.api_keys.create(api_key("reader")).api_key.name
    acme.api_keys.rotate(name)
    operator.api_keys.revoke(name)
    house = operator.api_keys.create(api_key("host")).api_key.name

    def kinds(token: str, resource: str) -> list[tuple[str, str]]:
        with holder(live, live.token(token)) as client:
            batch = next(client.watch_events(0))
            found: list[Any] = list(batch.events)
            while batch.events:
                batch = next(client.watch_events(batch.sequence))
                found += batch.events
        return [(event.kind, event.message) for event in found if event.resource == resource]

    told = [
        ("key.created", "by vendor acme by token"),
        ("key.rotated", "by vendor acme by token"),
        ("key.revoked", "by operator by token"),
    ]
    assert kinds("vendor-acme", name) == kinds("operator", name) == told
    assert kinds("vendor-rival", name) == []
    assert kinds("operator", house) == [("key.created", "by operator by token")]
    assert kinds("vendor-acme", house) == []


@pytest.mark.parametrize(
    ("spec", "parent", "problem"),
    [
        (api_key("operator"), "", "INVALID_FIELD"),
        (api_key("boss"), "", "INVALID_FIELD"),
        (api_key("reader", methods=["JobService/SubmitJob"]), "", "INVALID_FIELD"),
        (api_key("reader", methods=["JobService/Dance"]), "", "INVALID_FIELD"),
        (api_key("engineer", projects=["swim"]), "", "INVALID_FIELD"),
        (api_key("reader", expire=datetime.now(UTC) - timedelta(seconds=1)), "", "INVALID_FIELD"),
        (api_key("reader"), "vendors/rival", "NOT_FOUND"),
        (api_key("reader"), "vendors/none", "NOT_FOUND"),
        (api_key("operator"), "venues/hall", "NOT_FOUND"),
        (api_key("reader"), "vendors/venue", "NOT_FOUND"),
    ],
)
def test_a_vendor_makes_no_key_for_more_than_it_is(acme: Client, spec: Any, parent: str, problem: str) -> None:
    held = len(list(acme.api_keys.list(show_ended=True)))

    with pytest.raises(PalaestraError) as caught:
        acme.api_keys.create(spec, parent=parent)

    assert caught.value.reason == problem
    assert len(list(acme.api_keys.list(show_ended=True))) == held


def test_the_house_makes_keys_for_itself_and_sees_those_of_vendors(live: LiveServer, operator: Client) -> None:
    for role in HOUSE_ROLES:
        made = operator.api_keys.create(api_key(role))
        assert made.api_key.name.startswith("venues/hall/apiKeys/")
        with holder(live, made.secret) as client:
            assert (client.identity().role, client.identity().vendor) == (role, "")
    theirs = live.key("reader", "rival")
    house = {key.name for key in operator.api_keys.list(parent="venues/-")}
    assert made.api_key.name in house
    assert theirs.api_key.name not in house
    assert theirs.api_key.name in {key.name for key in operator.api_keys.list()}
    for wrong in (api_key("reader"), api_key("operator", projects=["walk"])):
        with pytest.raises(PalaestraError) as caught:
            operator.api_keys.create(wrong)
        assert caught.value.reason == "INVALID_FIELD"
    with pytest.raises(PalaestraError) as caught:
        operator.api_keys.create(api_key("reader"), parent="vendors/venue")
    assert caught.value.reason == "NOT_FOUND"


def test_nobody_of_the_house_gets_a_secret_that_acts_for_a_vendor(live: LiveServer, operator: Client) -> None:
    """Neither a new key nor another secret of one that is there; but whatever leaked can be taken back."""
    theirs = live.key("engineer", "rival")
    for wrong in (
        lambda: operator.api_keys.create(api_key("reader"), parent="vendors/rival"),
        lambda: operator.api_keys.create(api_key("reader"), parent="vendors/rival", validate_only=True),
        lambda: operator.api_keys.rotate(theirs.api_key.name),
    ):
        with pytest.raises(PalaestraError) as caught:
            wrong()
        assert caught.value.reason == "VENDOR_ONLY"
    with holder(live, theirs.secret) as client:
        assert client.identity().vendor == "vendors/rival"
    operator.api_keys.revoke(theirs.api_key.name)
    assert reason(live, theirs.secret) == "KEY_REVOKED"


def test_a_key_that_has_changed_since_it_was_read_is_not_changed_by_its_etag(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader")).api_key
    stub = api_key_service_pb2_grpc.ApiKeyServiceStub(live.channel)
    options = {"timeout": PATIENCE_S, "metadata": live.metadata("vendor-acme")}
    rotate = api_key_service_pb2.RotateApiKeyRequest(name=made.name, etag=made.etag)
    rotated = stub.RotateApiKey(rotate, **options)
    assert rotated.api_key.etag != made.etag
    for call, request in (
        (stub.RotateApiKey, rotate),
        (stub.RevokeApiKey, api_key_service_pb2.RevokeApiKeyRequest(name=made.name, etag=made.etag)),
    ):
        assert error_of(lambda call=call, request=request: call(request, **options)).reason == "ETAG_MISMATCH"
    acme.api_keys.get(made.name)
    revoke = api_key_service_pb2.RevokeApiKeyRequest(name=made.name, etag=rotated.api_key.etag)
    revoked = stub.RevokeApiKey(revoke, **options)
    # As a caller does whose answer was lost.
    assert stub.RevokeApiKey(revoke, **options) == revoked


def test_validate_only_makes_nothing(acme: Client) -> None:
    held = len(list(acme.api_keys.list(show_ended=True)))
    checked = acme.api_keys.create(api_key("reader"), validate_only=True)

    assert (checked.secret, checked.api_key.name) == ("", "")
    assert len(list(acme.api_keys.list(show_ended=True))) == held


def test_methods_in_its_scopes_are_all_that_a_key_opens(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("engineer", methods=["JobService/SubmitJob", "EpisodeService/*"]))

    with holder(live, made.secret) as client:
        assert list(client.identity().methods) == ["EpisodeService/*", "JobService/SubmitJob"]
        name = client.submit(job()).name
        assert list(client.episodes()) == []
        with pytest.raises(PalaestraError) as caught:
            client.job(name)
        assert caught.value.reason == "SCOPE_DENIED"
        with pytest.raises(PalaestraError) as caught:
            client.api_keys.create(api_key("reader"))
        # What the role may not do, no scope is asked about.
        assert caught.value.reason == "ROLE_DENIED"


def test_a_narrow_key_makes_and_rotates_no_keys(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("vendor", methods=["ApiKeyService/*"]))

    with holder(live, made.secret) as client:
        for attempt in (
            lambda: client.api_keys.create(api_key("vendor")),
            lambda: client.api_keys.rotate(made.api_key.name),
        ):
            with pytest.raises(PalaestraError) as caught:
                attempt()
            assert caught.value.reason == "SCOPE_DENIED"


def test_no_key_outlives_the_key_that_made_it(live: LiveServer, acme: Client) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = acme.api_keys.create(api_key("vendor", expire=soon))

    with holder(live, made.secret) as client:
        for expire in (None, soon + timedelta(seconds=1)):
            with pytest.raises(PalaestraError) as caught:
                client.api_keys.create(api_key("reader", expire=expire))
            assert caught.value.metadata["field"] == "api_key.expire_time"
        assert client.api_keys.create(api_key("reader", expire=soon)).secret
        # Nor does it get the secret of one that does.
        lasting = acme.api_keys.create(api_key("vendor")).api_key.name
        with pytest.raises(PalaestraError) as caught:
            client.api_keys.rotate(lasting)
        assert caught.value.reason == "SCOPE_DENIED"
        assert client.api_keys.rotate(made.api_key.name).secret


def test_a_key_of_projects_reaches_their_jobs_alone(live: LiveServer, acme: Client) -> None:
    outside, other = acme.submit(job()), acme.submit(job(project="reach"))
    made = acme.api_keys.create(api_key("engineer", projects=["walk"]))

    with holder(live, made.secret) as client:
        own = client.submit(job(project="walk"))
        assert [found.name for found in client.jobs()] == [own.name]
        assert client.job(own.name).name == own.name
        for name in (outside.name, other.name):
            with pytest.raises(PalaestraError) as caught:
                client.job(name)
            assert caught.value.reason == "NOT_FOUND"
        for body in (job(), job(project="reach")):
            for attempt in (lambda body=body: client.submit(body), lambda body=body: client.submit_many([body])):
                with pytest.raises(PalaestraError) as caught:
                    attempt()
                assert caught.value.reason == "SCOPE_DENIED"
        with pytest.raises(PalaestraError) as caught:
            client.usage()
        assert caught.value.reason == "SCOPE_DENIED"
        told = {
            event.resource for event in next(client.watch_events(0)).events if event.resource.startswith("vendors/")
        }
        assert told == {own.name}
    assert {outside.name, other.name, own.name} <= {found.name for found in acme.jobs()}


def test_a_key_of_projects_does_not_see_what_holds_a_slot(live: LiveServer, acme: Client) -> None:
    live.run(running.register_runner("r", "r/one", 1))
    live.core.runners["r"] = RunnerConnection("r/one", Catalogue(frozenset(), frozenset({"sway"}), frozenset()))
    other = acme.submit(job(0, 1, project="reach"))
    made = acme.api_keys.create(api_key("reader", projects=["walk"]))
    live.until(lambda: acme.job(other.name), lambda found: bool(found.attempts))
    lease = acme.job(other.name).attempts[0].lease

    with holder(live, made.secret) as client:
        assert [slot.lease for slot in acme.sim_slots()] == [lease]
        assert [(slot.occupied, slot.lease) for slot in client.sim_slots()] == [(True, "")]
        told = next(client.watch_events(0)).events
        assert "simSlots" in {event.resource.split("/")[2] for event in told}
        assert not [event for event in told if lease in str(event)]


def test_to_a_key_of_projects_the_vendor_s_keys_are_as_if_missing(live: LiveServer, acme: Client) -> None:
    other = acme.api_keys.create(api_key("engineer")).api_key.name
    made = acme.api_keys.create(api_key("vendor", projects=["walk"]))

    with holder(live, made.secret) as client:
        for attempt in (client.api_keys.get, client.api_keys.rotate, client.api_keys.revoke):
            told = []
            for name in (other, f"{other[:-4]}0000"):
                with pytest.raises(PalaestraError) as caught:
                    attempt(name)
                told.append((caught.value.reason, caught.value.message.replace(name, "ASKED")))
            assert told[0] == told[1]
            assert told[0][0] == "NOT_FOUND"
    assert not acme.api_keys.get(other).HasField("revoke_time")


def test_a_rotated_key_s_former_secret_opens_for_the_overlap_and_not_after(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader"))
    rotated = acme.api_keys.rotate(made.api_key.name, overlap_s=3600.0)
    for secret in (made.secret, rotated.secret):
        with holder(live, secret) as client:
            assert client.identity().credential == made.api_key.name

    again = acme.api_keys.rotate(made.api_key.name)

    # Of those from before, the last is ended by the rotation without overlap, and the first by the second rotation.
    assert reason(live, rotated.secret) == "KEY_REVOKED"
    assert reason(live, made.secret) == "BAD_TOKEN"
    with holder(live, again.secret) as client:
        assert client.identity().role == "reader"


def test_a_revoked_key_opens_nothing_and_gets_no_new_secret(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader"))
    first = acme.api_keys.revoke(made.api_key.name)

    assert reason(live, made.secret) == "KEY_REVOKED"
    assert acme.api_keys.revoke(made.api_key.name) == first
    with pytest.raises(PalaestraError) as caught:
        acme.api_keys.rotate(made.api_key.name)
    assert caught.value.reason == "KEY_ENDED"
    assert made.api_key.name not in {key.name for key in acme.api_keys.list()}
    assert made.api_key.name in {key.name for key in acme.api_keys.list(show_ended=True)}


def test_a_change_of_a_key_costs_the_same_however_many_have_ended(live: LiveServer, acme: Client) -> None:
    """A vendor may make and revoke keys all day; nobody else waits for that to be read again."""
    statements: list[str] = []

    async def traced(trace: Any) -> None:
        live.core.read.set_trace_callback(trace)

    made = acme.api_keys.create(api_key("reader"))
    live.act(traced(statements.append))
    try:
        acme.api_keys.create(api_key("reader"))
        acme.api_keys.rotate(made.api_key.name)
        acme.api_keys.revoke(made.api_key.name)
    finally:
        live.act(traced(None))
    read = [statement for statement in statements if "api_key" in statement]
    assert read
    assert all("WHERE uid = " in statement for statement in read)


def test_of_keys_that_have_ended_only_the_latest_stay_and_the_audit_tells_of_the_others(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is bounded in the database and in memory; a secret of one that is gone is of no key."""
    monkeypatch.setattr(keying, "ENDED_KEPT", 2)
    with holder(live, live.token("vendor-third")) as third:
        made = [third.api_keys.create(api_key("reader", display_name=str(number))) for number in range(5)]
        for each in made[:4]:
            third.api_keys.revoke(each.api_key.name)
        assert reason(live, made[0].secret) == "KEY_REVOKED"
        last = third.api_keys.create(api_key("reader")).api_key.name
        names = [key.name for key in third.api_keys.list(show_ended=True)]
        assert names == [last, *(each.api_key.name for each in (made[4], made[3], made[2]))]
        assert [reason(live, each.secret) for each in made[:3]] == ["BAD_TOKEN", "BAD_TOKEN", "KEY_REVOKED"]
        gone = [entry for entry in third.audit.entries() if entry.method == "forget"]
        assert {entry.resource for entry in gone} == {each.api_key.name for each in made[:2]}
        assert {entry.actor for entry in gone} == {"scheduler"}
        third.audit.verify()


def test_a_key_is_gone_also_for_who_hung_up_while_revoking_it(live: LiveServer, acme: Client) -> None:
    """The change is committed whether or not somebody waits for the answer; what is known in memory must follow."""
    made = acme.api_keys.create(api_key("reader"))
    stub = api_key_service_pb2_grpc.ApiKeyServiceStub(live.channel)
    request = api_key_service_pb2.RevokeApiKeyRequest(name=made.api_key.name)
    for wait_s in (0.0, 0.001, 0.002, 0.003, 0.005):
        call = stub.RevokeApiKey.future(request, timeout=PATIENCE_S, metadata=live.metadata("vendor-acme"))
        threading.Event().wait(wait_s)
        call.cancel()

    live.until(
        lambda: live.core.read.execute(
            "SELECT revoke_ns FROM api_key WHERE uid = ?", (made.api_key.name[-26:],)
        ).fetchone(),
        lambda row: row[0] is not None or acme.api_keys.revoke(made.api_key.name) is not None,
    )
    live.act(_settled())
    assert reason(live, made.secret) == "KEY_REVOKED"


async def _settled() -> None:
    """Let what was begun on the server's loop end."""
    for _ in range(10):
        await asyncio.sleep(0.01)


def test_only_who_shows_what_was_the_secret_learns_that_it_has_ended(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader"))
    acme.api_keys.revoke(made.api_key.name)
    forged = made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B")

    for secret in (forged, made.api_key.prefix + "A" * 43, "pal_" + "0" * 26 + "_" + "A" * 43, made.secret + "A"):
        assert reason(live, secret) == "BAD_TOKEN"


def test_a_key_expires_in_its_second(live: LiveServer, acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made = acme.api_keys.create(api_key("reader", expire=end))
    clock, end_ns = live.core.clock, int(end.timestamp() * 1e9)

    monkeypatch.setattr(clock, "now_ns", lambda: end_ns - 1_000_000)
    with holder(live, made.secret) as client:
        assert client.identity().HasField("expire_time")
    monkeypatch.setattr(clock, "now_ns", lambda: end_ns + 1_000_000)
    assert reason(live, made.secret) == "KEY_EXPIRED"


@pytest.mark.parametrize("ending", ["revoked", "rotated", "expired"])
def test_a_stream_ends_soon_after_the_key_that_opened_it(
    live: LiveServer, acme: Client, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The venue's events go on for ever; the reader is told why they end."""
    expire = datetime.now(UTC) + timedelta(hours=1) if ending == "expired" else None
    made = acme.api_keys.create(api_key("reader", expire=expire))
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)
    stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=authorization(made.secret))
    next(stream)
    ended: list[grpc.RpcError] = []

    def read() -> None:
        try:
            for _ in stream:
                pass
        except grpc.RpcError as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    if ending == "revoked":
        acme.api_keys.revoke(made.api_key.name)
    elif ending == "rotated":
        acme.api_keys.rotate(made.api_key.name)
    else:
        now_ns = live.core.clock.now_ns
        monkeypatch.setattr(live.core.clock, "now_ns", lambda: now_ns() + 2 * 3600 * 10**9)
    reader.join(PATIENCE_S)

    assert not reader.is_alive()
    assert error_of(lambda: _raise(ended[0])).reason == ("KEY_EXPIRED" if ending == "expired" else "KEY_REVOKED")


def test_a_stream_of_a_good_key_goes_on(live: LiveServer, acme: Client) -> None:
    """Others' keys may come and go."""
    kept, gone = (acme.api_keys.create(api_key("reader")) for _ in range(2))
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)
    stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=authorization(kept.secret))
    acme.api_keys.revoke(gone.api_key.name)

    async def look() -> None:
        live.server._streams.look()

    live.act(look())
    name = acme.submit(job()).name

    assert any(name in {event.resource for event in batch.events} for batch in stream)
    stream.cancel()


def test_when_a_key_was_used_is_written_down(live: LiveServer, acme: Client) -> None:
    made = acme.api_keys.create(api_key("reader"))
    with holder(live, made.secret) as client:
        client.identity()

    async def look() -> None:
        await live.server._write_used()

    live.act(look())
    assert acme.api_keys.get(made.api_key.name).HasField("use_time")


def test_an_authorization_header_that_comes_twice_is_refused(live: LiveServer) -> None:
    """Also if both are good: which of them counted would be anybody's guess."""
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)
    good, other = live.metadata("vendor-acme"), live.metadata("vendor-rival")
    for metadata in (good + other, good + good, good + authorization("x")):
        error = error_of(
            lambda metadata=metadata: stub.GetIdentity(venue_service_pb2.GetIdentityRequest(), PATIENCE_S, metadata)
        )
        assert (error.reason, "2 times" in error.message) == ("BAD_TOKEN", True)


def test_oversized_metadata_is_refused_and_the_server_goes_on(live: LiveServer) -> None:
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)
    for metadata in (
        (*live.metadata("vendor-acme"), ("x-much", "y" * 100_000)),
        authorization("z" * 100_000),
        tuple((f"x-{number}", "y" * 100) for number in range(1000)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetIdentity(venue_service_pb2.GetIdentityRequest(), PATIENCE_S, metadata)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    answer = stub.GetIdentity(venue_service_pb2.GetIdentityRequest(), PATIENCE_S, live.metadata("vendor-acme"))
    assert answer.vendor == "vendors/acme"


def test_keys_and_what_became_of_them_survive_a_restart(tmp_path: Any) -> None:
    with LiveServer(tmp_path) as first:
        good, gone = first.key("reader", "acme"), first.key("reader", "acme")
        request = api_key_service_pb2.RevokeApiKeyRequest(name=gone.api_key.name)
        first.channel.unary_unary("/palaestra.v1.ApiKeyService/RevokeApiKey")(
            request.SerializeToString(), timeout=PATIENCE_S, metadata=first.metadata("operator")
        )
    with LiveServer(tmp_path) as second:
        with holder(second, good.secret) as client:
            assert client.identity().role == "reader"
        assert reason(second, gone.secret) == "KEY_REVOKED"
        without = settings_of(VENUE | {"vendor": [{"id": "rival"}]}, "test")
    with LiveServer(tmp_path, without) as third:
        assert reason(third, good.secret) == "KEY_REVOKED"


def test_the_hash_is_bound_to_the_venue_and_to_the_key() -> None:
    secret = keys.new_secret("0" * 26)

    assert keys.digest(b"one venue", secret) != keys.digest(b"another", secret)
    assert keys.digest(b"one venue", secret) != keys.digest(b"one venue", secret.replace("0" * 26, "1" * 26))


def test_a_scope_of_a_service_holds_its_methods_and_no_others() -> None:
    scopes = frozenset({"JobService/*"})
    for method in ROLES:
        always = method in ("VenueService/GetIdentity", "VenueService/GetVenue")
        assert in_scope(method, scopes) == (method.startswith("JobService/") or always)
        assert in_scope(method, frozenset())


def _raise(error: grpc.RpcError) -> None:
    raise error
