"""Search, labels, scores and data sets, against a plain list."""

import random
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue import BadQuery, Catalogue, Entry, Key, Query, SchemaMismatch, dataset, words
from catalogue.catalogue import LABELS_MAX, Change
from catalogue.dataset import Source
from database.address import Place
from database.sql import ERRORS
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2

TASKS = ("pick the red cube", "pick the blue cup", "open a drawer", "抓取红色方块", "抓取蓝色杯子")


def entry(number: int, **fields: Any) -> Entry:
    """Return an episode; what the case does not say follows from its number."""
    chance = random.Random(number)
    values: dict[str, Any] = {
        "uid": f"e-{number}",
        "vendor": chance.choice(("acme", "bolt")),
        "job": f"vendors/acme/jobs/j-{number % 3}",
        "session": f"vendors/acme/jobs/j-{number % 3}/attempts/1",
        "robot_model": chance.choice(("own_arm", "own_dog")),
        "maker": chance.choice(("Own", "Other")),
        "scenario": chance.choice(("kitchen", "")),
        "level": chance.randrange(5),
        "task": chance.choice(TASKS),
        "outcome": chance.randrange(1, 5),
        "unit": chance.choice(("venues/v/units/a", "venues/v/units/b", "")),
        # Several start at once.
        "start_ns": 1_000 + chance.randrange(30),
        "duration_s": 1.5,
        "size_bytes": 10,
        "sha256": f"{number:064x}",
    }
    values |= fields
    name = f"vendors/{values['vendor']}/episodes/{values['uid']}"
    return Entry(**values, body=episode_pb2.Episode(name=name).SerializeToString())


@pytest.fixture
def catalogue(place: Place) -> Any:
    made = Catalogue(place)
    yield made
    made.close()


@pytest.fixture(scope="module")
def filled(shared_place: Place) -> Any:
    """300 episodes, of which a third has a score and a quarter a label."""
    made = Catalogue(shared_place)
    made.enter([entry(number) for number in range(300)], (300, "e-299"))
    for number in range(300):
        vendor = entry(number).vendor
        if number % 3 == 0:
            made.change(vendor, [f"e-{number}"], Change(quality=number / 300, method="m"), by="test", now_ns=1)
        if number % 4 == 0:
            labels = {"reviewed": ("anna", "ben")[number % 8 == 0]}
            made.change(vendor, [f"e-{number}"], Change(labels), by="test", now_ns=1)
    yield made
    made.close()


def fits(query: Query, number: int) -> bool:
    """Whether an episode of `filled` meets a query, said once more in other words."""
    one, quality = entry(number), number / 300 if number % 3 == 0 else None
    labels = {"reviewed": ("anna", "ben")[number % 8 == 0]} if number % 4 == 0 else {}
    plain = ("vendor", "robot_model", "maker", "scenario", "level", "outcome", "job")
    return (
        all(not getattr(query, key) or getattr(query, key) == getattr(one, key) for key in plain)
        and (not query.robot or query.robot == one.unit)
        and (query.quality_min is None or (quality is not None and quality >= query.quality_min))
        and (query.start_ns is None or one.start_ns >= query.start_ns)
        and (query.end_ns is None or one.start_ns < query.end_ns)
        and all(key in labels and value in (None, labels[key]) for key, value in query.labels)
        and (not query.text or (query.text.rstrip("*") in one.task))
    )


def some(values: Any) -> Any:
    return st.one_of(st.just(values[0]), st.sampled_from(values))


QUERIES = st.builds(
    Query,
    vendor=some((None, "acme", "bolt")),
    robot=some(("", "venues/v/units/a")),
    robot_model=some(("", "own_arm", "none_such")),
    maker=some(("", "Own")),
    scenario=some(("", "kitchen")),
    level=some((0, 1, 2)),
    text=some(("", "pick", "cube", "dra*", "红色", "抓取", "蓝色杯")),
    outcome=some((0, 1, 2)),
    quality_min=some((None, 0.0, 0.35, 0.5, 1.0)),
    start_ns=some((None, 1_010)),
    end_ns=some((None, 1_020)),
    job=some(("", "vendors/acme/jobs/j-1")),
    labels=some(((), (("reviewed", None),), (("reviewed", "ben"),), (("reviewed", "ben"), ("other", None)))),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES, st.integers(1, 40), st.sampled_from((0, 20_000)))
def test_all_pages_together_are_what_a_plain_look_finds_newest_first(
    filled: Catalogue, monkeypatch: Any, query: Query, size: int, scan_rows: int
) -> None:
    """By whichever way through the indices, and with pages of any size."""
    monkeypatch.setattr("catalogue.search.SCAN_ROWS", scan_rows)
    found: list[Any] = []
    after: Key | None = None
    for _ in range(400):
        page = filled.search(query, after=after, size=size)
        found += [record.body for record in page.rows]
        after = page.next
        if after is None:
            break

    fitting = [number for number in range(300) if fits(query, number)]
    wanted = sorted(fitting, key=lambda number: (entry(number).start_ns, number), reverse=True)
    assert found == [entry(number).body for number in wanted]


def test_a_text_without_a_word_is_refused_and_the_index_s_own_language_is_only_words(filled: Catalogue) -> None:
    with pytest.raises(BadQuery, match="no word"):
        filled.search(Query(text="*** --"))
    for hostile in ('" OR "', "pick NOT cube", "text:pick", "NEAR(pick cube)", "pick') --", '"'):
        try:
            assert len(filled.search(Query(text=hostile)).rows) <= 300
        except BadQuery:
            pass
    assert words.asked('pi*ck "red"') == '"pi"* AND "ck" AND "red"'


def test_what_others_did_on_a_unit_costs_a_vendor_nothing(tmp_path: Path) -> None:
    """Else the time of a search would tell how much it was. Counted in SQLite's steps; PostgreSQL's: test_scale."""
    catalogue = Catalogue(tmp_path / "catalogue.db")
    unit = "venues/v/units/a"
    catalogue.enter([entry(1, vendor="acme", unit=unit), entry(2, vendor="acme", unit=unit)], (2, "e-2"))

    def steps() -> int:
        taken: list[None] = []
        assert isinstance(catalogue.reader, sqlite3.Connection)
        catalogue.reader.set_progress_handler(lambda: taken.append(None), 100)
        assert len(catalogue.search(Query(vendor="acme", robot=unit)).rows) == 2
        catalogue.reader.set_progress_handler(None, 0)
        return len(taken)

    alone = steps()
    catalogue.enter([entry(n, vendor="bolt", unit=unit) for n in range(3, 1_003)], (1_002, "e-1002"))
    assert steps() <= alone + 2
    catalogue.close()


def test_words_are_found_however_their_marks_are_written(catalogue: Catalogue) -> None:
    """As one character or as two; and what is no word to the index hides nothing."""
    catalogue.enter([entry(1, task="pick_cube, caf\u00e9s"), entry(2, task="pick_cube, cafe\u0301s")], (2, "e-2"))

    for text in ("caf\u00e9s", "cafe\u0301s", "cafe\u0301*", "cafes", "pick_cube", "pick _ cube", "_pick_cu*"):
        assert len(catalogue.search(Query(text=text)).rows) == 2, text
    with pytest.raises(BadQuery, match="no word"):
        catalogue.search(Query(text="_ __*"))


def test_what_entered_twice_is_there_once(catalogue: Catalogue) -> None:
    assert catalogue.enter([entry(1), entry(2)], (2, "e-2")) == 2
    assert catalogue.enter([entry(2), entry(3)], (3, "e-3")) == 1

    assert catalogue.followed() == (3, "e-3")
    assert len(catalogue.search(Query()).rows) == 3
    assert sum(row["episode_count"] for row in catalogue.sessions(None)) == 3


def test_a_batch_enters_whole_or_not_at_all(catalogue: Catalogue) -> None:
    """The third one breaks; neither the others nor how far we have come is written."""
    broken = entry(3, start_ns="late")

    with pytest.raises(ERRORS):
        catalogue.enter([entry(1), entry(2), broken], (3, "e-3"))

    assert catalogue.search(Query()).rows == []
    assert catalogue.followed() == (0, "")


def test_labels_and_scores_are_set_for_all_or_none(catalogue: Catalogue) -> None:
    catalogue.enter([entry(1, vendor="acme"), entry(2, vendor="bolt")], (2, "e-2"))
    change = Change({"grasp": "slipped"}, quality=0.5, parts={"jerk": 0.25}, method="m/1")

    with pytest.raises(PalaestraError, match="vendors/acme/episodes/e-2 not found"):
        catalogue.change("acme", ["e-1", "e-2"], change, by="acme", now_ns=1)
    assert catalogue.record("acme", "e-1").labels == {}

    assert catalogue.change("acme", ["e-1"], change, by="acme", now_ns=1) == 1
    assert catalogue.change("acme", ["e-1"], change, by="acme", now_ns=2) == 0
    record = catalogue.record("acme", "e-1")
    assert (record.labels, record.quality, record.parts) == ({"grasp": "slipped"}, 0.5, {"jerk": 0.25})
    assert catalogue.change("acme", ["e-1"], Change(remove=["grasp", "none"]), by="acme", now_ns=3) == 1
    assert catalogue.record("acme", "e-1").labels == {}


def test_an_episode_has_no_more_labels_than_a_page_can_carry(catalogue: Catalogue) -> None:
    catalogue.enter([entry(1, vendor="acme"), entry(2, vendor="acme")], (2, "e-2"))
    said = {"by": "acme", "now_ns": 1}
    catalogue.change("acme", ["e-1"], Change({f"k{n}": "v" for n in range(LABELS_MAX)}), **said)

    with pytest.raises(PalaestraError, match=f"vendors/acme/episodes/e-1 would have {LABELS_MAX + 1}"):
        catalogue.change("acme", ["e-2", "e-1"], Change({"one": "more"}), **said)

    assert catalogue.record("acme", "e-2").labels == {}
    assert catalogue.change("acme", ["e-1"], Change({"one": "more"}, remove=["k0"]), **said) == 1
    assert catalogue.change("acme", ["e-1"], Change({"k1": "other"}), **said) == 1


def test_a_version_of_a_data_set_never_changes(catalogue: Catalogue) -> None:
    """Not by its own code, and not by whoever opens the file."""
    catalogue.enter([entry(n, vendor="acme", robot_model="own_arm") for n in range(4)], (4, "e-3"))
    sets, said = catalogue.datasets, {"by": "acme", "now_ns": 1}
    sets.create("acme", "walks", "for the walk", **said)
    first = sets.freeze("acme", "walks", uids=["e-2", "e-0"], **said)
    assert [n for n, _ in sets.episodes(first["id"])] == [0, 1]
    assert sets.freeze("acme", "walks", uids=["e-2", "e-0"], **said)["number"] == 1

    catalogue.change("acme", ["e-0"], Change(quality=1.0), by="acme", now_ns=2)
    second = sets.freeze("acme", "walks", query=Query(vendor="acme"), sources=[Source("elsewhere", "cleaned")], **said)

    assert (second["number"], second["episode_count"], second["size_bytes"]) == (2, 4, 40)
    assert [step.step for step in sets.lineage(second["id"])] == ["follows", "selected", "cleaned"]
    assert [body for _, body in sets.episodes(first["id"])] == [entry(n, vendor="acme").body for n in (2, 0)]
    assert catalogue.record("acme", "e-2").versions == [("walks", 2), ("walks", 1)]
    for statement in ("UPDATE dataset_episode SET episode = 1", "DELETE FROM dataset_version"):
        with pytest.raises(ERRORS, match="a version never changes"), catalogue.transaction() as db:
            db.execute(statement)
    assert sets.get("acme", "walks")["latest"] == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"uids": ["e-0", "e-0"]}, "INVALID_FIELD"),
        ({"uids": ["e-1"]}, "NOT_FOUND"),
        ({}, "INVALID_FIELD"),
        ({"uids": ["e-0"], "query": Query(vendor="acme")}, "INVALID_FIELD"),
        ({"query": Query(vendor="acme", maker="nobody")}, "NOT_FOUND"),
    ],
)
def test_a_version_that_cannot_be_is_refused_and_leaves_nothing(
    catalogue: Catalogue, arguments: dict[str, Any], reason: str
) -> None:
    catalogue.enter([entry(0, vendor="acme"), entry(1, vendor="bolt")], (2, "e-1"))
    catalogue.datasets.create("acme", "walks", "", by="acme", now_ns=1)

    with pytest.raises(PalaestraError) as refused:
        catalogue.datasets.freeze("acme", "walks", by="acme", now_ns=1, **arguments)

    assert refused.value.reason == reason
    assert catalogue.datasets.get("acme", "walks")["latest"] == 0


def test_a_name_is_taken_by_one_description(catalogue: Catalogue) -> None:
    sets, said = catalogue.datasets, {"by": "acme", "now_ns": 1}
    made = sets.create("acme", "walks", "a", **said)

    assert sets.create("acme", "walks", "a", **said)["id"] == made["id"]
    with pytest.raises(PalaestraError, match="another description"):
        sets.create("acme", "walks", "b", **said)
    sets.create("bolt", "walks", "b", **said)
    assert [row["vendor"] for row in sets.list(None)] == ["acme", "bolt"]
    assert [row["vendor"] for row in sets.list(None, after=("acme", "walks"))] == ["bolt"]


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    Catalogue(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()

    with pytest.raises(SchemaMismatch, match="revision 99"):
        Catalogue(path)


def test_what_was_written_is_there_after_opening_again(place: Place) -> None:
    first = Catalogue(place)
    first.enter([entry(1, vendor="acme")], (1, "e-1"))
    first.close()

    again = Catalogue(place)
    assert len(again.search(Query(vendor="acme")).rows) == 1
    again.close()


def test_once_another_scheduler_leads_the_former_one_writes_nothing_more(place: Place) -> None:
    """Neither labels nor versions nor episodes, though it has the file open; and it cannot lead again."""
    former, latter = Catalogue(place, "one"), Catalogue(place, "two")
    former.lead(7, lambda: None)
    former.enter([entry(1, vendor="acme")], (1, "e-1"))
    former.datasets.create("acme", "grasps", "", by="anna", now_ns=1)
    # Its epoch is older, as of a scheduler whose database was restored.
    latter.lead(3, lambda: None)
    writes = (
        lambda: former.change("acme", ["e-1"], Change({"task": "pick"}), by="anna", now_ns=2),
        lambda: former.datasets.freeze("acme", "grasps", uids=["e-1"], by="anna", now_ns=2),
        lambda: former.datasets.create("acme", "other", "", by="anna", now_ns=2),
        lambda: former.enter([entry(2)], (2, "e-2")),
    )
    for write in writes:
        with pytest.raises(PalaestraError, match="another scheduler, which led in epoch 3") as caught:
            write()
        assert caught.value.reason == "NOT_LEADER"

    def overtaken() -> None:
        raise PalaestraError("NOT_LEADER", "another one leads")

    with pytest.raises(PalaestraError):
        former.lead(7, overtaken)
    assert latter.change("acme", ["e-1"], Change({"task": "pick"}), by="anna", now_ns=2) == 1
    assert not latter.datasets.versions("acme", "grasps", before=None, size=5)
    former.close()
    latter.close()


def test_imported_episodes_come_in_whoever_leads_and_are_not_among_those_a_scheduler_must_know(place: Place) -> None:
    """No scheduler's table has them: after a restore they stay."""
    leader, tool = Catalogue(place, "one"), Catalogue(place)
    leader.lead(1, lambda: None)
    leader.enter([entry(1, vendor="acme")], (1, "e-1"))
    imported = entry(2, vendor="acme", job="vendors/acme/imports/0a1b")

    assert (tool.add([imported]), tool.add([imported])) == (1, 0)
    assert [uid for _, uid in leader.uids(0, 10)] == ["e-1"]
    assert len(leader.search(Query(vendor="acme")).rows) == 2
    tool.close()
    leader.close()


def test_what_the_scheduler_knows_no_more_is_found_no_more_and_comes_again_as_it_was(catalogue: Catalogue) -> None:
    """A version that names it holds it still; its vendor and operators find it nowhere, by no condition."""
    entries = [entry(n, vendor="acme", unit="venues/v/units/a", task=TASKS[0]) for n in range(4)]
    catalogue.enter(entries, (4, "e-3"))
    catalogue.change("acme", ["e-1", "e-2"], Change({"good": "yes"}, quality=0.7, method="eye"), by="anna", now_ns=1)
    catalogue.datasets.create("acme", "grasps", "", by="anna", now_ns=1)
    made = catalogue.datasets.freeze("acme", "grasps", uids=["e-1", "e-2"], by="anna", now_ns=1)
    queries = [
        Query(vendor=vendor, **more)
        for vendor in ("acme", None)
        for more in (
            {}, {"robot": "venues/v/units/a"}, {"job": "vendors/acme/jobs/j-2"}, {"labels": (("good", "yes"),)},
            {"quality_min": 0.5}, {"text": "pick"}, {"start_ns": 1},
        )
    ]  # fmt: skip
    before = [catalogue.search(query).rows for query in queries]
    sessions = [tuple(row) for row in catalogue.sessions(None)]
    catalogue.forget(["e-2", "e-2", "e-9"])

    for query, rows in zip(queries, before, strict=True):
        left = [row for row in rows if b"e-2" not in row.body]
        assert list(catalogue.search(query).rows) == left
    assert [uid for _, uid in catalogue.uids(0, 10)] == ["e-0", "e-1", "e-3"]
    for act in (
        lambda: catalogue.record("acme", "e-2"),
        lambda: catalogue.change("acme", ["e-2"], Change({"a": "b"}), by="anna", now_ns=2),
        lambda: catalogue.datasets.freeze("acme", "grasps", uids=["e-2"], by="anna", now_ns=2),
    ):
        with pytest.raises(PalaestraError, match="e-2 not found"):
            act()
    assert len(catalogue.datasets.episodes(made["id"])) == 2
    catalogue.enter(entries, (4, "e-3"))
    assert [catalogue.search(query).rows for query in queries] == before
    assert [tuple(row) for row in catalogue.sessions(None)] == sessions


def test_while_a_version_is_made_others_write_in_between_and_nobody_sees_a_part_of_it(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two portions the way is free; one that dies half-way is cleared away, and its number given again."""
    catalogue.enter([entry(n, vendor="acme") for n in range(10)], (10, "e-9"))
    catalogue.datasets.create("acme", "grasps", "", by="anna", now_ns=1)
    monkeypatch.setattr(dataset, "PORTION", 3)
    turns = []

    def between(duration_s: float) -> None:
        whole = len(turns) == 3
        assert len(catalogue.datasets.versions("acme", "grasps", before=None, size=5)) == whole
        assert catalogue.datasets.get("acme", "grasps")["latest"] == whole
        assert bool(catalogue.record("acme", "e-0").versions) == whole
        turns.append(catalogue.enter([entry(100 + len(turns))], (10, "e-9")))

    def died(duration_s: float) -> None:
        raise KeyboardInterrupt

    freeze = partial(
        catalogue.datasets.freeze, "acme", "grasps", uids=[f"e-{n}" for n in range(10)], by="anna", now_ns=1
    )
    monkeypatch.setattr(dataset.time, "sleep", died)
    with pytest.raises(KeyboardInterrupt):
        freeze()
    monkeypatch.setattr(dataset.time, "sleep", lambda duration_s: None)
    catalogue.datasets._clear()
    assert catalogue.reader.execute("SELECT count(*) FROM dataset_episode").fetchone()[0] == 0
    monkeypatch.setattr(dataset.time, "sleep", between)
    made = freeze()

    assert turns == [1, 1, 1, 1]
    assert (made["number"], made["episode_count"]) == (1, 10)
    assert [position for position, _ in catalogue.datasets.episodes(made["id"])] == list(range(10))
    for statement in ("DELETE FROM dataset_episode", "INSERT INTO dataset_episode VALUES (1, 99, 1)"):
        with pytest.raises(ERRORS, match="never changes"), catalogue.transaction() as db:
            db.execute(statement)
