"""Objects in an S3 service: the contract of all stores, against a real server of moto's, and what is special of it."""

import hashlib
import http.client
import http.server
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store import BrokenObject, LocalObjects, Status, StoreUnreachable, open_objects, read_episode, recover_spool
from store.remote import RemoteObjects
from tests.store.conftest import House
from tests.store.test_objects import ObjectStoreContract

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "the-key",
    "AWS_SECRET_ACCESS_KEY": "the-secret-that-nobody-prints",
    "AWS_REGION": "eu-central-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of this module's own."""
    pytest.importorskip("obstore")
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and the environment that opens it."""
    _environment(monkeypatch, server)
    bucket = f"bucket-{secrets.token_hex(8)}"
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=60)
    connection.request("PUT", f"/{bucket}", body=_WHERE, headers={"Authorization": _SIGNED})
    assert connection.getresponse().status == 200
    connection.close()
    return f"s3://{bucket}/venue/objects"


def _environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}).items():
        monkeypatch.setenv(name, value)


_WHERE = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>"
_SIGNED = "AWS4-HMAC-SHA256 Credential=the-key/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class TestThroughObstore(ObjectStoreContract):
    """The same client over obstore's own store in memory, which is there wherever obstore is."""

    @pytest.fixture
    def objects(self, tmp_path: Path) -> Any:
        """An empty store."""
        pytest.importorskip("obstore")
        from obstore.store import MemoryStore

        return RemoteObjects(MemoryStore(), tmp_path / "copies", name="memory")


class TestRemoteObjects(ObjectStoreContract):
    """Objects in a bucket."""

    @pytest.fixture
    def objects(self, address: str, tmp_path: Path) -> Any:
        """An empty store."""
        return open_objects(address, tmp_path / "copies")

    def test_another_machine_reads_what_was_put(self, objects: Any, address: str, tmp_path: Path) -> None:
        """With copies of its own, in the layout of a local store; a range alone makes no copy."""
        (tmp_path / "source").write_bytes(b"x" * 100_000)
        stored = objects.put_file(tmp_path / "source", move=True)
        other = open_objects(address, tmp_path / "other")

        assert other.read(stored.sha256, 99_990, 100) == b"x" * 10
        assert list(LocalObjects(tmp_path / "other").digests()) == []
        assert other.path_of(stored.sha256).read_bytes() == b"x" * 100_000
        assert list(LocalObjects(tmp_path / "other").digests()) == [stored.sha256]
        assert list(open_objects(address.rsplit("/", 1)[0], tmp_path / "o").digests()) == []

    def test_an_object_of_many_parts_is_whole(self, objects: Any, address: str, tmp_path: Path) -> None:
        """Larger than a part of an upload."""
        content = os.urandom(1 << 20) * 20
        (tmp_path / "source").write_bytes(content)

        stored = objects.put_file(tmp_path / "source")

        assert objects.verify(stored.sha256).size_bytes == len(content)
        assert open_objects(address, tmp_path / "other").path_of(stored.sha256).read_bytes() == content

    def test_bytes_that_the_service_altered_never_become_a_copy(
        self, objects: Any, address: str, tmp_path: Path
    ) -> None:
        """They are found by their hash, and putting again heals."""
        import obstore

        (tmp_path / "source").write_bytes(b"true bytes")
        stored = objects.put_file(tmp_path / "source")
        obstore.put(objects._store, f"sha256/{stored.sha256[:2]}/{stored.sha256}", b"true bytez")

        for method in (objects.path_of, objects.verify):
            with pytest.raises(BrokenObject, match=stored.sha256):
                method(stored.sha256)
        assert list(LocalObjects(tmp_path / "copies").digests()) == []
        assert list((tmp_path / "copies" / "incoming").iterdir()) == []
        objects.put_file(tmp_path / "source")
        assert objects.verify(stored.sha256) == stored

    def test_episodes_are_recorded_and_recovered_into_it(self, objects: Any, tmp_path: Path, make_header: Any) -> None:
        """A recorder seals into the bucket; what a dead one left is sealed there, too."""
        house = House(tmp_path, objects, tmp_path / "spool")
        sealed = house.seal(make_header())
        held = house.recorder(make_header(name="e-2"), clock=iter([0.0, 9.0, 18.0, 27.0]).__next__)
        held.extend([0.0], {signal: np.ones((1, 3)) for signal in held.header.signals})
        held._segment.close()
        held._segment = None
        held._claim.leave()

        (found,) = recover_spool(tmp_path / "spool", objects)

        assert read_episode(found.sealed.path, sha256=found.sealed.sha256).header.name == "e-2"
        assert read_episode(objects.path_of(sealed.sha256)).header.name == make_header().name
        assert set(objects.digests()) == {sealed.sha256, found.sealed.sha256}

    def test_a_bucket_that_is_not_there_is_said(self, address: str, tmp_path: Path) -> None:
        objects = open_objects("s3://no-such-bucket-anywhere", tmp_path / "copies")
        (tmp_path / "source").write_text("x")

        with pytest.raises(StoreUnreachable, match="s3://no-such-bucket-anywhere"):
            objects.put_file(tmp_path / "source")
        with pytest.raises(StoreUnreachable, match="s3://no-such-bucket-anywhere"):
            list(objects.digests())

    def test_no_error_and_no_line_of_a_log_tells_a_key(
        self, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody listens at the port: what is said names the address, in few words, and not how it was asked."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
            monkeypatch.setattr("store.remote.RETRIES", 1)
            objects = open_objects(address, tmp_path / "copies")
            with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnreachable) as caught:
                objects.verify("0" * 64)

        said = f"{caught.value!r} {objects!r} {caplog.text} {caught.value.__cause__}"
        assert address in said
        assert not any(secret in said for secret in ("the-key", "the-secret-that-nobody-prints"))


class Flaky(http.server.BaseHTTPRequestHandler):
    """A service that is overloaded at first."""

    refusals = 2
    content = b"what came at last"

    def do_GET(self) -> None:
        kind = type(self)
        kind.refusals -= 1
        self.send_response(503 if kind.refusals >= 0 else 200)
        body = b"" if kind.refusals >= 0 else self.content
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


def test_a_service_that_is_overloaded_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice 503, then the object: the reader sees the object alone."""
    pytest.importorskip("obstore")
    sha256 = hashlib.sha256(Flaky.content).hexdigest()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            _environment(monkeypatch, f"http://127.0.0.1:{running.server_port}")
            assert open_objects("s3://bucket", tmp_path).path_of(sha256).read_bytes() == Flaky.content
        finally:
            running.shutdown()
            thread.join()
    assert Flaky.refusals == -1


def test_an_episode_that_could_not_be_stored_waits_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_header: Any
) -> None:
    """The service does not answer: sealing says so and loses nothing; recovery brings the file where it answers."""
    pytest.importorskip("obstore")
    monkeypatch.setattr("store.remote.RETRIES", 0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        _environment(monkeypatch, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        house = House(tmp_path, open_objects("s3://bucket", tmp_path / "copies"), tmp_path / "spool")  # type: ignore[arg-type]
        with pytest.raises(StoreUnreachable, match="s3://bucket"):
            house.seal(make_header())
        assert list(recover_spool(house.spool, house.objects)) == []

    (found,) = recover_spool(house.spool, LocalObjects(tmp_path / "objects"))

    assert (found.outcome.status, found.sealed.rows) == (Status.SUCCESS, 100)
    assert read_episode(found.sealed.path, sha256=found.sealed.sha256).header == make_header()


class Bucketless(http.server.BaseHTTPRequestHandler):
    """A service that has no bucket."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<Error><Code>NoSuchBucket</Code></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


def test_an_episode_whose_bucket_is_not_there_waits_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_header: Any
) -> None:
    """The service answers, and keeps nothing: as lost for the recorder as one that does not answer."""
    pytest.importorskip("obstore")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucketless) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            _environment(monkeypatch, f"http://127.0.0.1:{running.server_port}")
            house = House(tmp_path, open_objects("s3://bucket", tmp_path / "copies"), tmp_path / "spool")  # type: ignore[arg-type]
            with pytest.raises(StoreUnreachable, match="s3://bucket"):
                house.seal(make_header())
        finally:
            running.shutdown()
            thread.join()

    (found,) = recover_spool(house.spool, LocalObjects(tmp_path / "objects"))

    assert (found.outcome.status, found.sealed.rows) == (Status.SUCCESS, 100)


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("s3://key:sec/ret@bucket", "keys belong into the environment"),
        ("s3://key:secret@bucket", "keys belong into the environment"),
        ("s3://bucket?secret=1", "keys belong into the environment"),
        ("ftp://bucket", "is no address of objects"),
        ("s3://", "is no address of objects"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(address: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match=match) as caught:
        open_objects(address, tmp_path)

    assert not any(key in str(caught.value) for key in ("secret", "sec/ret"))


def test_a_folder_is_an_address(tmp_path: Path) -> None:
    """Without any client of a service."""
    assert isinstance(open_objects(str(tmp_path / "objects"), tmp_path / "copies"), LocalObjects)
    assert not (tmp_path / "copies").exists()


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)

    with pytest.raises(StoreUnreachable, match="the extra `s3`"):
        open_objects("s3://bucket", tmp_path)
