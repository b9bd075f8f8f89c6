"""Attack 8: two recipients join what they got, and a recipient looks for rows that stand alone."""

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from sharing.errors import NotReleasable
from sharing.projection import projector as module
from sharing.projection.anonymity import ORDER, smallest_class
from sharing.projection.tables import EPISODES, JOINTS
from tests.sharing.projection.ground import Ground, grant

NAMES = ("episode", "job", "unit", "cell", "venue")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Twelve episodes on two units, one of them on a third."""
    made = Ground(tmp_path_factory.mktemp("ground"))
    for number in range(12):
        unit = "venues/south/units/rare" if number == 7 else f"venues/north/units/arm-{number % 2}"
        made.record(number, rows=20, unit=unit)
    made.freeze(range(12))
    return made


def told(ground: Ground, agreement: str, name: str = "projections") -> tuple[set[str], list[dict[str, Any]]]:
    """Return all names that a recipient sees, and its rows of episodes."""
    made = ground.projector(name).project(grant(agreement))
    rows = pq.read_table(io.BytesIO(made.tables[EPISODES][0].path.read_bytes())).to_pylist()
    files = {file.name for file in (*made.tables[EPISODES], *made.tables[JOINTS])} - {"episodes.parquet"}
    return {row[name] for row in rows for name in NAMES if row[name]} | files, rows


def test_the_names_of_two_recipients_have_none_in_common(ground: Ground) -> None:
    """Nor does any equal a true one; of one recipient the same thing has the same name again."""
    mine, rows = told(ground, "a" * 64)
    others, _ = told(ground, "b" * 64)

    assert len(mine) > 12
    assert not mine & others
    assert not [name for name in mine if "arm" in name or "rare" in name or "north" in name]
    assert told(ground, "a" * 64)[1] == rows


def test_with_one_key_for_all_they_could_be_joined(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: keys that forget the agreement."""
    right = module.agreement_key
    monkeypatch.setattr(module, "agreement_key", lambda secret, _, use: right(secret, "c" * 64, use))

    mine, _ = told(ground, "a" * 64, "mutant")
    others, _ = told(ground, "b" * 64, "mutant")

    assert mine == others


def test_no_episode_stands_alone_by_what_is_told_of_it(ground: Ground) -> None:
    """The one on a rare unit is told with less, until five are alike; without that it would stand alone."""
    _, rows = told(ground, "a" * 64)

    assert smallest_class(rows) >= 5
    assert smallest_class([{"unit": unit} for unit in ("a", "a", "b")], ORDER) == 1


def test_without_k_anonymity_the_rare_one_stands_alone(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: rows are told as they are, as to the channel that shows none."""
    monkeypatch.setattr("sharing.projection.projector.generalises", lambda grant: False)
    _, rows = told(ground, "a" * 64, "told")

    assert smallest_class(rows) == 1


def test_an_agreed_k_is_met_or_nothing_leaves(ground: Ground) -> None:
    """More than there are episodes cannot be met."""
    with pytest.raises(NotReleasable, match="k-anonymity"):
        ground.projector().project(grant(transforms={"k-anonymity": {"k": "13"}}))
