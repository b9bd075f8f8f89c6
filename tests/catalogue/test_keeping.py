"""How long episodes are kept, and that nothing goes that anything names, in whatever order things happen."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from catalogue import Catalogue, Entry, Query
from catalogue.catalogue import Change
from catalogue.keeping import DAY_NS, BadPolicy, Held, Policy, Usage
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2
from store import LocalObjects
from store.spool import Claim, abandoned, clean_spool
from store.sweep import receipts, sweep

NOW_NS = 1_000 * DAY_NS
DAY_S = 86_400.0


def entry(
    uid: str, *, vendor: str = "acme", age_days: float = 100.0, came_days: float | None = None, **more: Any
) -> Entry:
    """Return an episode that was recorded so many days ago, and came in as many ago or less."""
    start_ns = NOW_NS - int(age_days * DAY_NS)
    came_ns = NOW_NS - int((age_days if came_days is None else came_days) * DAY_NS)
    body = episode_pb2.Episode(
        name=f"vendors/{vendor}/episodes/{uid}",
        seal_time=Timestamp(seconds=came_ns // 10**9, nanos=came_ns % 10**9),
    )
    values: dict[str, Any] = {
        "uid": uid,
        "vendor": vendor,
        "job": f"vendors/{vendor}/jobs/j",
        "session": f"vendors/{vendor}/jobs/j/attempts/1",
        "robot_model": "own_arm",
        "maker": "Own",
        "scenario": "",
        "level": 1,
        "task": "reach",
        "outcome": episode_pb2.EPISODE_OUTCOME_SUCCESS,
        "unit": "",
        "start_ns": start_ns,
        "duration_s": 1.5,
        "size_bytes": 10,
        "sha256": uid.encode().hex().rjust(64, "0"),
    }
    return Entry(**(values | more), body=body.SerializeToString())


@pytest.fixture
def catalogue(tmp_path: Path) -> Any:
    made = Catalogue(tmp_path / "catalogue.db")
    yield made
    made.close()


def expire(catalogue: Catalogue, policy: Policy, *held: Held, apply: bool = True, now_ns: int = NOW_NS) -> list[str]:
    return [one.uid for one in catalogue.keeping.expire(policy, held, now_ns=now_ns, apply=apply)]


def shown(catalogue: Catalogue, vendor: str = "acme") -> list[str]:
    rows = catalogue.search(Query(vendor=vendor), size=1_000).rows
    return sorted(episode_pb2.Episode.FromString(row.body).name.rpartition("/")[2] for row in rows)


def freeze(catalogue: Catalogue, name: str, *uids: str, now_ns: int = NOW_NS) -> None:
    catalogue.datasets.create("acme", name, "", by="test", now_ns=1)
    catalogue.datasets.freeze("acme", name, uids=uids, by="test", now_ns=now_ns)


def test_what_is_older_than_its_vendor_s_policy_goes_and_is_shown_no_more(catalogue: Catalogue) -> None:
    aged = [("old", "acme", 100), ("new", "acme", 20), ("long", "bolt", 100), ("ever", "cove", 900)]
    catalogue.enter([entry(uid, vendor=vendor, age_days=days) for uid, vendor, days in aged], (1, "x"))
    policy = Policy(days=30, vendors={"bolt": 200, "cove": None})

    assert expire(catalogue, policy, apply=False) == ["old"]
    assert shown(catalogue) == ["new", "old"]
    assert expire(catalogue, policy) == ["old"]
    assert expire(catalogue, policy) == []

    assert (shown(catalogue), shown(catalogue, "bolt"), shown(catalogue, "cove")) == (["new"], ["long"], ["ever"])
    assert list(catalogue.keeping.usage("acme")) == [Usage("acme", 1, 10, 1, 10)]
    assert list(catalogue.keeping.removed()) == [("old", entry("old").sha256)]
    assert "old" not in dict(catalogue.keeping.named())
    with pytest.raises(PalaestraError, match="not found"):
        catalogue.record("acme", "old")


def test_without_a_policy_nothing_goes(catalogue: Catalogue) -> None:
    catalogue.enter([entry("old", age_days=900)], (1, "x"))
    assert expire(catalogue, Policy()) == []
    assert expire(catalogue, Policy(rejected_days=1)) == []


def test_an_import_counts_from_when_it_came(catalogue: Catalogue) -> None:
    catalogue.add([entry("import", age_days=900, came_days=3)])
    assert expire(catalogue, Policy(days=30)) == []
    assert expire(catalogue, Policy(days=30), now_ns=NOW_NS + 28 * DAY_NS) == ["import"]


def test_what_failed_review_goes_earlier_and_never_later(catalogue: Catalogue) -> None:
    catalogue.enter([entry("bad", age_days=10), entry("good", age_days=10)], (1, "x"))
    catalogue.change("acme", ["bad"], Change({"review": "rejected"}), by="anna", now_ns=1)
    catalogue.change("acme", ["good"], Change({"review": "accepted"}), by="anna", now_ns=1)

    assert expire(catalogue, Policy(days=30, rejected_days=20)) == []
    assert expire(catalogue, Policy(days=5, rejected_days=20), apply=False) == ["bad", "good"]
    assert expire(catalogue, Policy(days=30, rejected_days=5)) == ["bad"]


def test_a_version_keeps_what_it_holds_for_ever_or_as_long_as_its_data_set_does(catalogue: Catalogue) -> None:
    catalogue.enter([entry(uid) for uid in ("kept", "loan", "both", "none")], (1, "x"))
    freeze(catalogue, "ever", "kept", "both")
    freeze(catalogue, "loan", "loan", "both")
    policy = Policy(days=30, datasets={"vendors/acme/datasets/loan": 50})

    assert expire(catalogue, policy) == ["none"]
    assert expire(catalogue, policy, now_ns=NOW_NS + 49 * DAY_NS) == []
    held = Held("vendors/acme/datasets/loan", 1, 0)
    assert expire(catalogue, policy, held, now_ns=NOW_NS + 51 * DAY_NS) == []
    other = (Held("vendors/acme/datasets/loan", 2, 0), Held("vendors/acme/datasets/ever"))
    assert expire(catalogue, policy, *other, now_ns=NOW_NS + 51 * DAY_NS) == ["loan"]
    assert expire(catalogue, policy, now_ns=NOW_NS + 10**4 * DAY_NS) == []


def test_what_goes_while_a_version_is_made_is_not_in_it(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the query, gone before the version has it: the version is refused, whole."""
    catalogue.enter([entry("one"), entry("two")], (1, "x"))
    catalogue.datasets.create("acme", "d", "", by="test", now_ns=1)
    begin = catalogue.datasets._begin

    def late(*given: Any) -> int:
        version = begin(*given)
        assert expire(catalogue, Policy(days=30)) == ["one", "two"]
        return version

    monkeypatch.setattr(catalogue.datasets, "_begin", late)
    with pytest.raises(PalaestraError, match="not there any more"):
        catalogue.datasets.freeze("acme", "d", uids=["one", "two"], by="test", now_ns=1)
    assert catalogue.datasets.versions("acme", "d", before=None, size=5) == []


def test_what_a_version_that_is_being_made_has_stays(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the version came after the look: the removal looks once more."""
    catalogue.enter([entry("one")], (1, "x"))
    older = catalogue.keeping._older

    def late(*given: Any) -> Any:
        rows = older(*given)
        if rows:
            freeze(catalogue, "d", "one")
        return rows

    monkeypatch.setattr(catalogue.keeping, "_older", late)
    assert expire(catalogue, Policy(days=30)) == []
    assert shown(catalogue) == ["one"]


def test_what_was_removed_stays_away_when_the_scheduler_tells_of_it_again_and_comes_back_by_an_import(
    catalogue: Catalogue,
) -> None:
    catalogue.enter([entry("one")], (1, "one"))
    expire(catalogue, Policy(days=30))

    assert catalogue.enter([entry("one")], (1, "one")) == 0
    assert shown(catalogue) == []
    assert catalogue.add([entry("one", job="vendors/acme/imports/i")]) == 1
    assert shown(catalogue) == ["one"]
    assert "one" in dict(catalogue.keeping.named())


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"days": 0}, "days is 0"),
        ({"days": 1e9}, "days is 1000000000.0"),
        ({"days": -1.0}, "days is -1.0"),
        ({"days": float("nan")}, "days is nan"),
        ({"rejected_days": float("inf")}, "rejected_days is inf"),
        ({"vendors": {"acme": "never"}}, "vendors.acme is 'never'"),
        ({"datasets": {"vendors/acme/datasets/d": True}}, "datasets.vendors/acme/datasets/d is True"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BadPolicy, match=why):
        Policy(**fields)


def test_a_data_set_that_is_no_name_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(BadPolicy, match=r"datasets\.walks"):
        expire(catalogue, Policy(days=1, datasets={"walks": 5}))


def test_the_commands_tell_and_do_the_same(tmp_path: Path) -> None:
    """As a process: what is named, what would go, what goes; a policy that is none is refused in words."""
    path = tmp_path / "catalogue.db"
    made = Catalogue(path)
    made.enter([entry("one")], (1, "one"))
    made.close()

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "catalogue", *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)

    given = json.dumps({"policy": {"days": 1}, "held": []})
    assert run("named", str(path)).stdout.split() == ["episode", "one", entry("one").sha256, "end"]
    assert json.loads(run("expire", str(path), "--apply", given=given).stdout)["uid"] == "one"
    refused = run("expire", str(path), given=json.dumps({"policy": {"days": 1, "hours": 3}, "held": []}))
    assert (refused.returncode, "hours" in refused.stderr) == (1, True)


class Killed(BaseException):
    """A process has died here."""


class Mortal(LocalObjects):
    """Objects that were put on a day of the test's, and a process that dies after so many removals."""

    put_day: dict[str, int]
    removals_left: int | None = None

    def put_at(self, sha256: str) -> tuple[int, int]:
        _, size_bytes = super().put_at(sha256)
        return self.put_day[sha256] * DAY_NS, size_bytes

    def delete_if_put_before(self, sha256: str, before_ns: int) -> int | None:
        if self.removals_left is not None:
            self.removals_left -= 1
            if self.removals_left < 0:
                raise Killed
        return super().delete_if_put_before(sha256, before_ns)


class Keep(RuleBasedStateMachine):
    """Recorders, a catalogue, freezing, removing, sweeping, deaths between any two steps: no named object is missing.

    Time goes in days; an object's age is by this clock, for no test waits a day.
    """

    sealed, told = Bundle("sealed"), Bundle("told")

    @initialize()
    def open(self) -> None:
        # Nothing here is about the machine's death: in memory, where there is such a folder, flushing costs nothing.
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
        root = Path(self.folder.name)
        self.root, self.spool = root / "objects", root / "spool"
        self.day = 1_000
        self.put_day: dict[str, int] = {}
        self.claims: dict[str, Claim] = {}
        self.count = 0
        self.objects = Mortal(self.root)
        self.objects.put_day = self.put_day
        self.catalogue = Catalogue(root / "catalogue.db")
        self.catalogue.datasets.create("acme", "d", "", by="test", now_ns=1)
        self.versions: list[list[str]] = []

    @rule(target=sealed, content=st.sampled_from("abc"))
    def seal(self, content: str) -> str:
        """Put an object, of the same bytes as others now and then; a receipt stays until it is told."""
        uid = f"e{self.count}"
        self.count += 1
        claim = Claim(self.spool)
        claim.extra.write_text(content)
        stored = self.objects.put_file(claim.extra, move=True, announce=claim.leave_receipt)
        self.put_day[stored.sha256] = self.day
        self.claims[uid] = claim
        return f"{uid} {stored.sha256}"

    @rule(target=told, one=consumes(sealed), settles=st.booleans())
    def tell(self, one: str, settles: bool) -> Any:
        """Enter it into the catalogue; or die before, and have it recovered by whoever comes: put once more."""
        uid, sha256 = one.split()
        if not settles:
            self.claims.pop(uid).leave()
            (self.claims[uid],) = abandoned(self.spool)
            assert self.claims[uid].receipt.read_text() == sha256
        came = entry(uid, sha256=sha256, age_days=1_000 - self.day, came_days=1_000 - self.day)
        self.catalogue.enter([came], (1, uid))
        self.claims.pop(uid).release()
        return uid

    @rule(one=consumes(sealed))
    def abort(self, one: str) -> None:
        """Nobody wants it: the object stays without a name."""
        self.claims.pop(one.split()[0]).release()

    @rule(uids=st.lists(told, min_size=1, max_size=3, unique=True))
    def freeze(self, uids: list[str]) -> None:
        before = set(shown(self.catalogue))
        try:
            self.catalogue.datasets.freeze("acme", "d", uids=uids, by="test", now_ns=self.day * DAY_NS)
            self.versions.append(uids)
            refused = False
        except PalaestraError:
            refused = True
        assert refused != (set(uids) <= before)

    @rule(days=st.integers(1, 4))
    def wait(self, days: int) -> None:
        self.day += days

    @rule(days=st.integers(1, 5))
    def expire(self, days: int) -> None:
        for _ in self.catalogue.keeping.expire(Policy(days=days), (), now_ns=self.day * DAY_NS, apply=True):
            pass

    @rule(dies_after=st.none() | st.integers(0, 2))
    def sweep(self, dies_after: int | None) -> None:
        """Sweep, or die after so many removals."""
        named = dict.fromkeys(receipts(self.spool), False)
        named |= {sha256: True for _, sha256 in self.catalogue.keeping.named()}
        self.objects.removals_left = dies_after
        try:
            now_ns = self.day * DAY_NS
            sweep(self.objects, self.root, named, apply=True, now_ns=now_ns, grace_s=DAY_S, wait_s=DAY_S)
        except Killed:
            pass
        self.objects.removals_left = None
        clean_spool(self.objects.incoming)

    @invariant()
    def no_named_object_is_missing(self) -> None:
        if not hasattr(self, "objects"):
            return
        there = set(self.objects.digests())
        assert {sha256 for _, sha256 in self.catalogue.keeping.named()} <= there
        assert set(receipts(self.spool)) <= there
        held = {uid for version in self.versions for uid in version}
        assert held <= {uid for uid, _ in self.catalogue.keeping.named()}

    def teardown(self) -> None:
        if hasattr(self, "objects"):
            for claim in self.claims.values():
                claim.release()
            self.catalogue.close()
            self.folder.cleanup()


TestKeep = Keep.TestCase
TestKeep.settings = settings(
    deadline=None, max_examples=12, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
