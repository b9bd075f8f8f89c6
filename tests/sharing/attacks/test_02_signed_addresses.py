"""D6.2: an address of a file, altered, kept too long, used by another, or used after everything was taken back."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sharing.delta import shares
from sharing.delta.offers import NotReady
from sharing.delta.recipients import Recipients
from sharing.delta.secret import Secret
from sharing.delta.shares import Shares
from sharing.errors import NotShared
from sharing.gate import Gate
from sharing.problem import NOT_SHARED
from tests.sharing.delta.ground import WALKS, Delta, delta, lines_of, path_of
from tests.sharing.stage import AURORA, CYGNUS, NOW_S, agreed, terms


@pytest.fixture
def opened(tmp_path: Path, made_catalogue: Path) -> Iterator[Delta]:
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    made = delta(tmp_path)
    yield made
    made.stage.close()


class Given:
    """A borealis credential, and the address of a file that it got."""

    def __init__(self, opened: Delta, **fields: Any) -> None:
        self.opened, self.agreement = opened, opened.stage.agree(**fields)
        self.made = opened.credential("borealis", self.agreement.digest)
        self.client = opened.client(self.made)
        self.line = lines_of(self.client.post(f"{WALKS}/tables/joints/query", json={}))[2]["file"]
        self.path = path_of(self.line["url"])
        self.nobody = opened.nobody()

    def is_open(self, path: str | None = None, **headers: str) -> bool:
        """Whether an address gives the file; if not, it must be the one answer to everything."""
        answer = self.nobody.get(path or self.path, headers=headers)
        if answer.status_code == 200:
            assert len(answer.content) == self.line["size"]
            return True
        assert (answer.status_code, answer.content) == (404, NOT_SHARED)
        return False


@pytest.fixture
def given(opened: Delta) -> Given:
    return Given(opened)


def altered(path: str) -> Iterator[str]:
    """Give the address with each of its parts changed."""
    where, _, query = path.partition("?")
    *front, recipient, agreement, epoch, version, table, file = where.split("/")
    fields = {name: values[0] for name, values in parse_qs(query).items()}

    def made(*parts: str, **other: str) -> str:
        said = {"X-Amz-Expires": fields["X-Amz-Expires"], "X-Amz-Signature": fields["X-Amz-Signature"]}
        said |= {name.replace("_", "-"): value for name, value in other.items()}
        return "/".join([*front, *parts]) + "?" + "&".join(f"{name}={value}" for name, value in said.items())

    parts = [recipient, agreement, epoch, version, table, file]
    assert made(*parts) == path
    for index, other in enumerate(["0" * 16, "0" * 64, "2", "1", "episodes", f"{'0' * 32}.parquet"]):
        yield made(*parts[:index], other, *parts[index + 1 :])
    yield made(*parts[:-1], "../../../sharing.db")
    yield made(*parts, X_Amz_Expires=str(int(fields["X-Amz-Expires"]) + 1))
    yield made(*parts, X_Amz_Expires="9" * 15)
    yield made(*parts, X_Amz_Expires="1e9")
    yield made(*parts, X_Amz_Expires="")
    yield made(*parts, X_Amz_Signature="0" * 64)
    yield made(*parts, X_Amz_Signature="")
    yield made(*parts, X_Amz_Signature="é")
    yield where
    yield "/".join([*front, *parts[:3]])


def test_an_address_is_good_as_it_is_and_in_no_other_form(given: Given) -> None:
    assert given.is_open()
    assert not any(given.is_open(path) for path in altered(given.path))
    assert given.is_open()


def test_without_the_signature_altered_addresses_are_open(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secret, "holds", lambda *_: True)
    assert any(given.is_open(path) for path in altered(given.path))


def test_an_address_lasts_five_minutes_and_not_a_second_more(given: Given) -> None:
    assert given.line["expirationTimestamp"] == (NOW_S + 300) * 1_000
    given.opened.stage.hand.at_s = NOW_S + 299.9
    assert given.is_open()
    given.opened.stage.hand.at_s = NOW_S + 300
    assert not given.is_open()


def test_without_a_look_at_the_time_an_address_would_last(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: the second until which it is good is not looked at, and what signs it is not asked for that."""
    read = shares._address
    monkeypatch.setattr(shares, "_address", lambda path, expires: replace(read(path, expires), expires_s=10**12))
    given.opened.stage.hand.at_s = NOW_S + 301
    assert not given.is_open()
    monkeypatch.setattr(Secret, "holds", lambda *_: True)
    assert given.is_open()


def test_an_address_ends_with_the_term_and_with_its_credential(opened: Delta) -> None:
    short = Given(opened, valid_until_s=NOW_S + 100)
    assert short.line["expirationTimestamp"] == (NOW_S + 100) * 1_000
    agreement = opened.stage.agree(note="another")
    made = opened.credential("borealis", agreement.digest, lifetime_s=60)
    line = lines_of(opened.client(made).post(f"{WALKS}/tables/joints/query", json={}))[2]["file"]
    assert line["expirationTimestamp"] == (NOW_S + 60) * 1_000


def revoked_agreement(given: Given) -> None:
    given.opened.stage.room.register.revoke(given.agreement.digest, AURORA, "")


def revoked_credential(given: Given) -> None:
    given.opened.stage.as_("borealis").post(f"/sharing/v1/credentials/{given.made['credential']}:revoke")


def rotated_credential(given: Given) -> None:
    url = f"/sharing/v1/credentials/{given.made['credential']}:rotate"
    assert given.opened.stage.as_("borealis").post(url, json={}).status_code == 200


def suspended_consumer(given: Given) -> None:
    given.opened.stage.room.register.suspend("vendors/borealis", "", by="operator")


def suspended_and_resumed(given: Given) -> None:
    suspended_consumer(given)
    given.opened.stage.room.register.resume("vendors/borealis", by="operator")


def classed_column(given: Given) -> None:
    given.opened.stage.as_("aurora").put("/sharing/v1/classes/action", json={"class": "P4"})


ENDINGS = [
    revoked_agreement,
    revoked_credential,
    rotated_credential,
    suspended_consumer,
    suspended_and_resumed,
    classed_column,
]


@pytest.mark.parametrize("end", ENDINGS)
def test_an_address_ends_with_what_it_was_given_under(given: Given, end: Callable[[Given], None]) -> None:
    assert given.is_open()
    end(given)
    assert not given.is_open()


@pytest.mark.parametrize("end", ENDINGS)
def test_without_asking_again_it_would_stay_open(
    given: Given, end: Callable[[Given], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = given.opened.stage.room
    book = Recipients(room.database, room.gate, room.witness, room.clock)
    recipient = book.get("vendors/borealis", given.made["credential"])
    monkeypatch.setattr(Gate, "still", lambda *_: None)
    monkeypatch.setattr(Recipients, "still", lambda *_: None)
    monkeypatch.setattr(Recipients, "standing", lambda *_: recipient)
    end(given)
    assert given.is_open()


def test_an_address_is_not_good_with_anothers_token(opened: Delta, given: Given) -> None:
    theirs = opened.stage.room.register.add(agreed(terms(consumer=CYGNUS))).agreement
    secret = opened.credential("cygnus", theirs.digest)["profile"]["bearerToken"]
    other = opened.credential("borealis", given.agreement.digest)["profile"]["bearerToken"]
    mine = given.made["profile"]["bearerToken"]
    assert given.is_open(None, Authorization=f"Bearer {mine}")
    for bearer in (secret, other, "nobody", "x" * 600):
        assert not given.is_open(None, Authorization=f"Bearer {bearer}")


def test_two_consumers_of_one_data_set_get_files_of_which_neither_opens_the_others(opened: Delta, given: Given) -> None:
    theirs = opened.stage.room.register.add(agreed(terms(consumer=CYGNUS))).agreement
    client = opened.client(opened.credential("cygnus", theirs.digest))
    line = lines_of(client.post(f"{WALKS}/tables/joints/query", json={}))[2]["file"]
    assert line["id"] != given.line["id"]
    ours, others = urlsplit(given.path), urlsplit(path_of(line["url"]))
    assert not given.is_open(f"{others.path}?{ours.query}")
    assert not given.is_open(f"{ours.path}?{others.query}")


@pytest.mark.parametrize("ended", ["revoked", "expired", "unknown", "scheduler's", ""])
def test_a_token_that_is_not_good_opens_nothing_and_is_answered_in_one_form(opened: Delta, ended: str) -> None:
    agreement = opened.stage.agree()
    made = opened.credential("borealis", agreement.digest, lifetime_s=60)
    client = opened.client(made)
    if ended == "revoked":
        opened.stage.as_("borealis").post(f"/sharing/v1/credentials/{made['credential']}:revoke")
    elif ended == "expired":
        opened.stage.hand.at_s = NOW_S + 60
    else:
        client = opened.stage.as_({"unknown": "pds_x", "scheduler's": "borealis"}.get(ended, " "))
    answer, plain = client.get("/delta-sharing/shares"), opened.nobody().get("/delta-sharing/shares")
    assert (answer.status_code, answer.content) == (plain.status_code, plain.content)
    assert answer.status_code == 401


def test_the_secret_of_a_credential_is_nowhere_on_the_disk(opened: Delta, given: Given) -> None:
    secret = given.made["profile"]["bearerToken"].encode()
    given.opened.stage.room.database.reader().execute("PRAGMA wal_checkpoint")
    files = [path for path in opened.stage.room.folder.rglob("*") if path.is_file()]
    assert any(path.name == "sharing.db" for path in files)
    assert not any(secret in path.read_bytes() for path in files)
    assert (opened.stage.room.folder / "delta.key").stat().st_mode & 0o077 == 0


def test_an_answer_under_way_ends_when_the_agreement_does(opened: Delta, given: Given) -> None:
    shares = Shares(opened.stage.room)
    path, _, query = given.path.removeprefix("/delta-sharing/files/").partition("?")
    fields = {name: values[0] for name, values in parse_qs(query).items()}

    said = fields["X-Amz-Expires"], fields["X-Amz-Signature"]
    with pytest.raises(NotReady) as waiting:
        shares.opened(path, *said, None)
    assert waiting.value.done is not None
    waiting.value.done.result(60.0)
    file = shares.opened(path, *said, None)
    assert len(file.read(0, 4)) == 4
    revoked_agreement(given)
    with pytest.raises(NotShared):
        file.read(4, 4)
