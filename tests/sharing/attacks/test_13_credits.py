"""Attack 13, for credits: copies, pieces, noise and idle hours that should earn; and dealing with oneself."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharing.credits import accounts as accounts_module
from sharing.credits import sketch
from sharing.errors import BudgetExhausted
from sharing.grant import Grant
from tests.sharing.credits.mill import RATE_HZ, Mill, movement
from tests.sharing.projection.ground import grant

SECONDS = 20


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mill]:
    """Aurora has earned with a movement."""
    made = Mill(tmp_path_factory.mktemp("mill"))
    assert made.earned("aurora", [made.record("aurora", movement(1, SECONDS))]) > 5_000
    yield made
    made.close()


def _noisy(path: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(7).standard_normal(path.shape)
    return (path + amount * noise).astype(np.float32)


COPIES = {
    "its own recording, sealed once more": ("aurora", movement(1, SECONDS)),
    "another's recording": ("borealis", movement(1, SECONDS)),
    "a piece of it, from the middle": ("aurora", movement(1, SECONDS)[313:813]),
    "with a little noise": ("borealis", _noisy(movement(1, SECONDS), 0.02)),
    "with much noise": ("borealis", _noisy(movement(1, SECONDS), 0.3)),
    "slowed down": ("borealis", np.repeat(movement(1, SECONDS), 2, axis=0)),
    "at a third of the samples": ("borealis", np.repeat(movement(1, SECONDS)[::3], 3, axis=0)),
}


@pytest.mark.parametrize("what", COPIES)
def test_what_was_there_before_earns_nothing_again(mill: Mill, what: str) -> None:
    vendor, path = COPIES[what]
    to = "borealis" if vendor == "aurora" else "aurora"
    assert mill.earned(vendor, [mill.record(vendor, path)], to=to) == 0


def test_without_the_search_for_what_was_there_copies_do_earn(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: nothing is ever near."""
    monkeypatch.setattr(sketch, "_near", lambda path, starts, other, own=False: np.zeros(len(starts), bool))
    monkeypatch.setattr(sketch, "_same_course", lambda one, other: False)
    piece = movement(1, SECONDS)[101:701]
    assert mill.earned("borealis", [mill.record("borealis", piece)], to="aurora") > 1_000


def test_the_same_recording_in_more_agreements_and_versions_earns_once(mill: Mill) -> None:
    number = mill.record("aurora", movement(2, SECONDS))
    assert mill.earned("aurora", [number]) > 5_000
    assert mill.earned("aurora", [number], to="cygnus") == 0
    other = mill.record("aurora", movement(3, SECONDS))
    assert mill.earned("aurora", [number, other], note="with one more") > 5_000
    assert mill.accounts.earn() == 0


def test_pieces_earn_no_more_than_the_whole_and_one_set_of_both_no_more_either(tmp_path: Path) -> None:
    path = movement(4, SECONDS)
    parts = [path[start : start + 200] for start in range(0, len(path), 200)]
    earned = {}
    for name, recordings in (("whole", [path]), ("pieces", parts), ("both", [*parts, path])):
        mill = Mill(tmp_path / name)
        earned[name] = mill.earned("aurora", [mill.record("aurora", one) for one in recordings])
        mill.close()
    assert 0 < earned["pieces"] <= earned["whole"]
    # Where two pieces meet there is a window that neither of them had.
    assert earned["both"] <= earned["whole"] * 1.01


@pytest.mark.parametrize("noise_rad", [0.0, 0.05, 0.5])
def test_a_robot_that_stands_earns_nothing_however_long_and_noisy(mill: Mill, noise_rad: float) -> None:
    still = _noisy(np.full((int(60 * RATE_HZ), 3), 1.5 + noise_rad, np.float32), noise_rad)
    assert mill.earned("cygnus", [mill.record("cygnus", still)]) == 0
    assert _last(mill)["novel_ms"] == 0


def test_without_the_rule_of_what_moves_noise_does_earn(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: anything that differs is movement. The score would still refuse this one, and not a gentler one."""
    monkeypatch.setattr(sketch, "NOISE_SHARE", 0.0)
    still = _noisy(np.full((int(60 * RATE_HZ), 3), -2.0, np.float32), 0.3)
    mill.earned("cygnus", [mill.record("cygnus", still)])
    assert _last(mill)["novel_ms"] > 50_000


def test_who_repeats_one_movement_earns_with_it_once(mill: Mill) -> None:
    once = movement(5, 4)
    loop = np.concatenate([once, once[::-1]] * 6)
    assert mill.earned("cygnus", [mill.record("cygnus", loop)]) <= 8.5 * 1e6 / 3600


def test_a_score_of_its_own_lifts_nothing(mill: Mill) -> None:
    """A vendor writes scores into the catalogue itself: more than was measured is not believed, less is."""
    broken = movement(6, SECONDS)
    broken[200:700] += np.float32(np.pi * 40)
    numbers = [mill.record("cygnus", broken), mill.record("cygnus", movement(7, SECONDS))]
    for number, score in zip(numbers, (1.0, 0.25), strict=True):
        _scored(mill, number, score)
    mill.earned("cygnus", numbers)
    bad, good = mill.accounts.ledger.postings("vendors/cygnus", size=200)[-1].items
    assert bad["quality_ppm"] < 950_000
    assert good["quality_ppm"] == 250_000


def test_what_was_brought_along_counts_a_tenth_and_takes_nobody_s_scarcity(mill: Mill) -> None:
    source = {"format": "lerobot", "file": "x", "place": "0", "sha256": "0" * 64, "mapping_sha256": "0" * 64}
    path = movement(8, SECONDS)
    number = mill.record("cygnus", path, source=source, scenario="a name of its own", robot_model="another")
    assert 0 < mill.earned("cygnus", [number]) < 600
    item = _last(mill)
    assert (item["class"], item["provenance_ppm"]) == ("imported", 100_000)


def test_an_agreement_that_ends_before_anything_was_given_earns_nothing(mill: Mill) -> None:
    """Signing, and revoking at once, costs two friends nothing; so it earns nothing."""
    number = mill.record("aurora", movement(9, SECONDS))
    before = mill.accounts.ledger.balance("vendors/aurora")
    made = mill.agree("aurora", [number])
    assert mill.accounts.earn() == 0
    assert mill.accounts.ledger.balance("vendors/aurora") == before
    # The mutant is what the guard waits for: that something was made for the consumer.
    mill.made(made)
    assert mill.accounts.earn() == 1
    assert mill.accounts.ledger.balance("vendors/aurora") > before


def test_two_who_deal_in_circles_have_no_more_than_before(mill: Mill) -> None:
    price = 1_000
    total = sum(mill.accounts.ledger.balance(f"vendors/{name}") for name in ("aurora", "borealis"))
    for vendor, to in (("aurora", "borealis"), ("borealis", "aurora")):
        mill.accounts.grant(f"vendors/{to}", price, f"begin-with-{to}")
        number = mill.record(vendor, movement(1, SECONDS))
        made = mill.deliver(vendor, [number], to=to, price_microcredits=price)
        # Until it is paid for, nothing is earned with it, and then it is a copy.
        assert mill.accounts.earn() == 0
        for _ in range(3):
            mill.accounts.settle(_granted(made.digest(), vendor, to), 1)
        assert mill.accounts.earn() == 1
    after = sum(mill.accounts.ledger.balance(f"vendors/{name}") for name in ("aurora", "borealis"))
    assert after == total + 2 * price


def test_who_has_not_got_the_price_gets_nothing_and_owes_nothing(mill: Mill) -> None:
    made = mill.agree("aurora", [mill.record("aurora", movement(10, SECONDS))], to="dorado", price_microcredits=10)
    with pytest.raises(BudgetExhausted, match="credits"):
        mill.accounts.settle(_granted(made.digest(), "aurora", "dorado"), 1)
    assert mill.accounts.ledger.balance("vendors/dorado") == 0
    # The mutant: asked of the book alone, without the look at the balance, the schema still refuses.
    document = accounts_module.document_of("paid", made.digest(), 1, "vendors/dorado", "vendors/aurora", 10, 1, [])
    with pytest.raises(BudgetExhausted):
        mill.accounts.ledger.add(document, [], 10**6)


def test_a_recording_with_hours_between_two_samples_earns_for_what_was_recorded(mill: Mill) -> None:
    sparse = sketch.sketch_of(np.array([0.0, 0.5, 3600.0, 7200.0]), np.array([[0.0], [1.0], [2.0], [3.0]]))
    assert sketch.novel_bins(sparse, []) == 0
    with pytest.raises(ValueError, match="a day"):
        sketch.sketch_of(np.array([0.0, 1e12]), np.zeros((2, 1)))


def _last(mill: Mill) -> Mapping[str, Any]:
    return mill.accounts.ledger.postings("vendors/cygnus", size=200)[-1].items[0]


def _granted(agreement: str, provider: str, consumer: str) -> Grant:
    return grant(agreement, provider=f"vendors/{provider}", consumer=f"vendors/{consumer}")


def _scored(mill: Mill, number: int, score: float) -> None:
    db = sqlite3.connect(mill.folder / "catalogue.db")
    db.execute("UPDATE episode SET quality = ? WHERE uid = ?", (score, f"e-{number}"))
    db.commit()
    db.close()
